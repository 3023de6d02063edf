//! What somebody types: lines in, frames out.
//!
//! ```text
//!   /to bob hi there      {"receiver":"bob","content":"hi there"}
//!   how are you?          the same to whoever was written to last
//!   /to "bob smith" hi    a name with a space in it
//!   //path                a line that begins with a slash
//! ```
//!
//! This module does not know who is there, and judges no name.

use serde_json::{Value, json};

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Send this frame.
    Frame(String),
    /// Send this text as it is: to the room, in the plain dialect.
    Bare(String),
    /// Show this.
    Say(String),
    /// It cannot be done, and why.
    Wrong(String),
    /// Nothing.
    Nothing,
    /// End.
    Quit,
}

/// Whom the next bare line is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Target {
    User(String),
    Group(String),
    #[default]
    Room,
}

impl Target {
    /// Reads a line; some change whom the next one is for.
    pub fn read(&mut self, line: &str) -> Typed {
        let Some(command) = line.strip_prefix('/').filter(|rest| !rest.starts_with('/')) else {
            let text = line.strip_prefix('/').unwrap_or(line);
            return if text.is_empty() { Typed::Nothing } else { self.message(text) };
        };
        let (command, rest) = command.split_once(' ').unwrap_or((command, ""));
        let rest = rest.trim_start();
        match command {
            "to" => self.turn_to(rest, Target::User),
            "group" => self.turn_to(rest, Target::Group),
            "room" => {
                *self = Target::Room;
                if rest.is_empty() { Typed::Nothing } else { self.message(rest) }
            }
            "join" | "leave" | "members" => {
                about(rest, |name| json!({ "type": command, "group": name }))
            }
            "presence" => about(rest, |name| json!({ "type": "presence", "user": name })),
            "ping" => Typed::Frame(r#"{"type":"ping"}"#.to_owned()),
            "raw" if !rest.is_empty() => Typed::Bare(rest.to_owned()),
            "quit" | "q" => Typed::Quit,
            "help" | "?" => Typed::Say(HELP.to_owned()),
            _ => Typed::Wrong(format!("no such command: /{command}; /help names them")),
        }
    }

    fn turn_to(&mut self, rest: &str, target: impl FnOnce(String) -> Target) -> Typed {
        let Some((name, text)) = name_and_rest(rest) else {
            return Typed::Wrong("whom to? /to NAME TEXT, or /group NAME TEXT".to_owned());
        };
        *self = target(name);
        if text.is_empty() { Typed::Nothing } else { self.message(text) }
    }

    fn message(&self, text: &str) -> Typed {
        let (key, name) = match self {
            Target::User(name) => ("receiver", name),
            Target::Group(name) => ("group", name),
            Target::Room => return Typed::Bare(text.to_owned()),
        };
        let (name, text) = (Value::from(&**name), Value::from(text));
        Typed::Frame(format!(r#"{{"{key}":{name},"content":{text}}}"#))
    }
}

fn about(rest: &str, frame: impl FnOnce(String) -> Value) -> Typed {
    match name_and_rest(rest) {
        Some((name, "")) => Typed::Frame(frame(name).to_string()),
        _ => Typed::Wrong("one name is needed; one with spaces stands in quotes".to_owned()),
    }
}

/// A name up to the next space, or in quotes as JSON has them, and what follows.
fn name_and_rest(text: &str) -> Option<(String, &str)> {
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let name = values.next()?.ok()?;
        return Some((name, text[values.byte_offset()..].trim_start()));
    }
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    (!name.is_empty()).then(|| (name.to_owned(), rest.trim_start()))
}

/// What `/help` says.
pub(super) const HELP: &str = "\
/to USER [TEXT]      to a user; the lines that follow go there too
/group NAME [TEXT]   the same to a group
/room [TEXT]         the same to everybody on this path (plain dialect)
/join NAME, /leave NAME, /members NAME
/presence USER       is somebody online?
/ping                is the server there?
/raw FRAME           exactly this JSON
/quit                the end, as is the end of input
//TEXT               a line that begins with a slash
A name with spaces stands in quotes. Ctrl-R shows a line again that others have interrupted.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_frames_for_whoever_was_written_to_last() {
        let mut target = Target::default();
        let frame = |text: &str| Typed::Frame(text.to_owned());
        let bob = |text: &str| frame(&format!(r#"{{"receiver":"bob","content":"{text}"}}"#));
        let table = [
            ("hi, room", Typed::Bare("hi, room".to_owned())),
            ("/to bob hi  there ", bob("hi  there ")),
            ("and more", bob("and more")),
            ("//etc", bob("/etc")),
            ("", Typed::Nothing),
            (r#"/group "room 1""#, Typed::Nothing),
            ("all", frame(r#"{"group":"room 1","content":"all"}"#)),
            ("/join room1", frame(r#"{"group":"room1","type":"join"}"#)),
            (r#"/leave "a\"b""#, frame(r#"{"group":"a\"b","type":"leave"}"#)),
            ("/presence bob", frame(r#"{"type":"presence","user":"bob"}"#)),
            ("/ping", frame(r#"{"type":"ping"}"#)),
            (r#"/raw {"a": 1}"#, Typed::Bare(r#"{"a": 1}"#.to_owned())),
            ("/room", Typed::Nothing),
            ("back", Typed::Bare("back".to_owned())),
            ("/help", Typed::Say(HELP.to_owned())),
            ("/quit", Typed::Quit),
        ];
        for (line, typed) in table {
            assert_eq!(target.read(line), typed, "{line}");
        }
        for line in ["/to", "/join", "/join a b", "/raw", "/nope x", r#"/to "bob"#] {
            assert!(matches!(target.read(line), Typed::Wrong(_)), "{line}");
        }
        assert_eq!(target, Target::Room);
    }
}
