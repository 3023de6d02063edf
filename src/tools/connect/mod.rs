//! `switchboard connect URL`: a client for people and for programs, in both dialects.
//!
//! ```text
//!   stdin --lines--> typed, or JSON --> talk --> link --> the server
//!   stdout <-------- show <------------ talk <-- link <--
//!                                         |
//!                                         '--> the state file, before anything leaves
//! ```
//!
//! What is hard about it is in [`client`](super::client), a machine without I/O; this is the I/O.
//!
//! * One thread waits for the network, and two more for the standard streams
//!   ([`streams`](crate::net::streams)): a terminal that is stopped stops neither acknowledgements
//!   nor pongs, until what waits for it is a mebibyte. From then on the network is not read, and
//!   the server keeps what comes.
//! * A message is *processed* when standard output has taken it. Only then is it acknowledged, and
//!   the position behind it stored.
//! * With a state file, whatever the machine wants to say is stored before it is written to the
//!   network: a client that is killed sends nothing twice, and loses nothing that it said was
//!   queued. It may show a message or an outcome a second time.
//!
//! This module does not know the command line.

mod driver;
mod ending;
mod link;
mod settings;
mod show;
mod talk;
mod typed;

pub use self::driver::run;
pub use self::ending::Ending;
pub use self::settings::{Choice, InputEnd, Reconnect, Settings};
pub use self::show::Form;
