//! What a client of `switchboard.v1` has to say beside its messages, with `--v1`.
//!
//! ```text
//! we      {"type":"hello","client":"bench-5f0c21aa","next":10000000}     on each connection
//! server  {"type":"welcome",...}                                  then messages may go
//! we      {"id":10000000,...}  {"id":10000001,...}                {number} in a template
//! server  {"type":"ok","id":10000000}                             answered: the sender's latency
//! server  {"seq":57,...} ... {"seq":88,...}                       received: as in any dialect
//! we      {"type":"ack","seq":88}                                 after 32 of them, or 250 ms
//! ```
//!
//! The first id is high, so that all have the same number of digits and frames can be made
//! beforehand; with short ones a message is seven bytes shorter. The client is another in each run,
//! because the server knows which numbers it has seen of it.
//!
//! This module does not know which messages there should be. It knows the server's frames as
//! Switchboard writes them, byte for byte; what looks otherwise is none of ours.

use super::intake::Control;
use super::outgoing::append_frame;
use crate::wire::{MaskingKey, Opcode};

/// What is spoken on a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Whatever the templates say.
    Plain,
    /// `switchboard.v1`, as a client of it does.
    V1,
}

/// The subprotocol.
pub const V1: &str = "switchboard.v1";

/// The first frame of a connection, by a client of this number.
pub fn hello(client: u32) -> String {
    format!(r#"{{"type":"hello","client":"bench-{client:08x}","next":{FIRST_NUMBER}}}"#)
}

/// The first frame of one that goes on from where another was welcome.
pub fn resume(client: u32, Position { epoch, seq }: &Position) -> String {
    let client = format!(r#""client":"bench-{client:08x}","next":{FIRST_NUMBER}"#);
    format!(r#"{{"type":"hello",{client},"epoch":"{epoch}","seq":{seq}}}"#)
}

/// A place in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    epoch: String,
    seq: u64,
}

/// How one user writes to another.
pub const DIRECT_MESSAGE: &str = r#"{"id":{number},"receiver":"{to}","content":"{content}"}"#;

/// How the publisher of a fan-out writes to all.
pub const GROUP_MESSAGE: &str = r#"{"id":{number},"group":"bench","content":"{content}"}"#;

/// How everybody comes to be one of all.
pub const GROUP_HELLO: &str = r#"{"type":"join","group":"bench"}"#;

/// What `{number}` is in the first message of a stream.
pub const FIRST_NUMBER: u64 = 10_000_000;

/// How many digits it has, in each.
pub const NUMBER_DIGITS: usize = 8;

/// The digits of `{number}` in the message with this sequence number, which come round again when
/// there are no more of that length.
#[inline]
pub fn number_digits(sequence: u64) -> [u8; NUMBER_DIGITS] {
    let mut number = FIRST_NUMBER + sequence % (9 * FIRST_NUMBER);
    let mut digits = [b'0'; NUMBER_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
}

/// What one connection has to say, and has been told.
#[derive(Debug, Default)]
pub struct Duty {
    /// Where it stood when it was welcome.
    pub welcome: Option<Position>,
    /// The newest message.
    seq: u64,
    /// How many messages came since the last `ack`.
    unacknowledged: u32,
    /// How many of its messages were answered.
    pub answered: u64,
    /// How many refusals and gaps it was told.
    pub refused: u64,
}

/// What the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A message was taken: the one with this sequence number.
    Answer(u64),
    /// Something of the dialect that says nothing about messages.
    Notice,
    /// Something else, perhaps a message.
    Other,
    /// A message, or a frame, was refused; or some are gone.
    Refusal,
}

impl Duty {
    /// What a text of the server means. What is to be said back at once is in `control`.
    #[inline]
    pub fn hear(&mut self, payload: &[u8], control: &mut Control, key: MaskingKey) -> Said {
        let said = self.understand(payload, control, key);
        self.refused += u64::from(said == Said::Refusal);
        said
    }

    #[inline]
    fn understand(&mut self, payload: &[u8], control: &mut Control, key: MaskingKey) -> Said {
        if let Some(rest) = payload.strip_prefix(b"{\"seq\":") {
            self.seq = leading_number(rest);
            self.unacknowledged += 1;
            if self.unacknowledged >= UNACKNOWLEDGED_MAX {
                self.acknowledge(control, key);
            }
            return Said::Other;
        }
        let Some(kind) = payload.strip_prefix(b"{\"type\":\"") else { return Said::Other };
        if let Some(id) = kind.strip_prefix(b"ok\",\"id\":") {
            self.answered += 1;
            return Said::Answer(leading_number(id).saturating_sub(FIRST_NUMBER));
        }
        match kind {
            [b'w', b'e', b'l', ..] => {
                self.welcome = Some(position(payload));
                // A gap in the welcome: something that was kept is gone.
                match payload.windows(7).any(|window| window == b"\"gap\":{") {
                    true => Said::Refusal,
                    false => Said::Notice,
                }
            }
            [b'p', b'i', b'n', b'g', ..] => {
                self.acknowledge(control, key);
                Said::Notice
            }
            [b'e', b'r', b'r', ..] | [b'g', b'a', b'p', ..] => Said::Refusal,
            _ => Said::Notice,
        }
    }

    /// Acknowledges what has come, if it is time.
    pub fn acknowledge_rest(&mut self, control: &mut Control, key: MaskingKey) {
        if self.unacknowledged > 0 {
            self.acknowledge(control, key);
        }
    }

    fn acknowledge(&mut self, control: &mut Control, key: MaskingKey) {
        self.unacknowledged = 0;
        let ack = format!(r#"{{"type":"ack","seq":{}}}"#, self.seq);
        append_frame(&mut control.replies, Opcode::Text, key, ack.as_bytes());
    }
}

/// Where a welcome says that its receiver stands.
fn position(welcome: &[u8]) -> Position {
    let text = String::from_utf8_lossy(welcome);
    let behind = |key| text.split_once(key).map_or("", |(_, behind)| behind);
    let epoch = behind(r#""epoch":""#).split('"').next().unwrap_or_default().to_owned();
    Position { epoch, seq: leading_number(behind(r#""seq":"#).as_bytes()) }
}

fn leading_number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number.wrapping_mul(10) + u64::from(digit - b'0'))
}

/// After so many messages they are acknowledged at the latest.
const UNACKNOWLEDGED_MAX: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// A member of a hello.
    fn member(hello: &str, key: &str) -> serde_json::Value {
        let hello: serde_json::Value = serde_json::from_str(hello).unwrap();
        hello[key].clone()
    }

    fn hear(duty: &mut Duty, text: &str) -> (Said, usize) {
        let mut control = Control::default();
        let said = duty.hear(text.as_bytes(), &mut control, MaskingKey([1; 4]));
        (said, control.replies.len())
    }

    #[test]
    fn what_the_server_says_is_understood_and_answered() {
        let mut duty = Duty::default();
        let welcome = r#"{"type":"welcome","user":"a","epoch":"9f","seq":41,"resumed":true}"#;
        assert_eq!(hear(&mut duty, welcome), (Said::Notice, 0));
        assert_eq!(duty.welcome, Some(Position { epoch: "9f".to_owned(), seq: 41 }));
        assert_eq!(hear(&mut duty, r#"{"type":"ok","id":10000007,"online":1}"#).0, Said::Answer(7));
        assert_eq!(duty.answered, 1);
        for refused in [
            r#"{"type":"error","id":10000008,"code":503}"#,
            r#"{"type":"gap","after":1,"until":2}"#,
            r#"{"type":"welcome","user":"a","gap":{"after":1}}"#,
        ] {
            assert_eq!(hear(&mut duty, refused).0, Said::Refusal, "{refused}");
        }
        for seq in 1..32 {
            let message = format!(r#"{{"seq":{seq},"sender":"b"}}"#);
            assert_eq!(hear(&mut duty, &message), (Said::Other, 0));
        }
        let ack = r#"{"type":"ack","seq":99}"#.len() + 6;
        assert_eq!(hear(&mut duty, r#"{"seq":99,"sender":"b"}"#), (Said::Other, ack));
        assert_eq!(hear(&mut duty, r#"{"type":"ping","seq":99}"#), (Said::Notice, ack));
        let mut control = Control::default();
        duty.acknowledge_rest(&mut control, MaskingKey([1; 4]));
        assert_eq!(control.replies.len(), 0, "nothing came since");
        assert_eq!(hear(&mut duty, "hello").0, Said::Other);
    }

    #[test]
    fn numbers_have_eight_digits_and_the_first_is_the_one_of_the_hello() {
        for (sequence, digits) in [
            (0, b"10000000"),
            (7, b"10000007"),
            (89_999_999, b"99999999"),
            (90_000_000, b"10000000"),
        ] {
            assert_eq!(&number_digits(sequence), digits);
        }
        let position = Position { epoch: "9f".to_owned(), seq: 41 };
        for hello in [hello(7), resume(7, &position)] {
            assert_eq!(member(&hello, "client"), "bench-00000007");
            assert_eq!(member(&hello, "next"), FIRST_NUMBER);
        }
        assert!(member(&hello(7), "seq").is_null());
        let resumed = resume(7, &position);
        assert_eq!((member(&resumed, "epoch"), member(&resumed, "seq")), ("9f".into(), 41.into()));
    }
}
