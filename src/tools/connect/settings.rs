//! What `switchboard connect` is asked to do, checked.

use std::fmt;
use std::path::PathBuf;

use super::show::Form;
use crate::tools::client::{Snapshot, Start};
use crate::tools::url::Url;

/// One client.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The server; with `?user=` if a name was given.
    pub url: Url,
    /// What may be spoken.
    pub dialect: Choice,
    /// The credential, which is sent in base64url as an entry of the subprotocols.
    pub token: Option<String>,
    /// Who the client is, from its state file if there is one.
    pub client: Snapshot,
    /// Where that is kept.
    pub state: Option<PathBuf>,
    /// From where messages come, if there is no position yet.
    pub start: Start,
    /// Whether receipts are asked for.
    pub receipts: bool,
    /// How things are shown, and what lines of input are.
    pub form: Form,
    /// Whether to come back after a connection that ended.
    pub reconnect: Reconnect,
    /// What the end of input means.
    pub input_end: InputEnd,
}

/// Which dialects are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// switchboard.v1, or the plain one if the server has no other.
    Any,
    /// The plain one.
    Plain,
    /// switchboard.v1 and no other.
    V1,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// Never.
    Never,
    /// After a connection that stood once.
    Once,
    /// From the beginning.
    Always,
}

/// What the end of input means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputEnd {
    /// Wait until everything is answered, and end.
    Finish,
    /// Go on receiving.
    Stay,
}

/// Without the token.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = &self.client.client;
        let mut shown = f.debug_struct("Settings");
        shown.field("url", &self.url).field("dialect", &self.dialect).field("client", client);
        shown.field("state", &self.state).field("start", &self.start).field("form", &self.form);
        shown.field("reconnect", &self.reconnect).finish_non_exhaustive()
    }
}
