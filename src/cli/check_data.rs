//! `switchboard check-data`: what is in a store, and whether it is whole.
//!
//! ```text
//! $ switchboard check-data /var/lib/switchboard
//! /var/lib/switchboard/switchboard.redb: 1142784 bytes, format 1
//!   epoch 6f1c…, newest seq 5130, written until 2026-11-22T14:06:38.000Z
//!   3 users with 4 clients, 7 memberships in 2 groups
//!   120 messages of 26112 bytes in 290 places, the oldest of 2026-11-20T08:00:00.000Z
//!   3 answers to backends
//!   31 changes in the journal, counted above               after a kill: not in the tables yet
//! nothing is wrong                                                       exit code 0
//! $ switchboard check-data /var/lib/switchboard --repair
//! ...
//! wrong: the log of "alice" names message 57, which is not there
//! --repair would drop what does not belong together, ...; with --yes it does   exit code 1
//! ```
//!
//! This module does not know what a store consists of.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::{Exit, Stream, usage_error};
use crate::logger::Timestamp;
use crate::store::OpenError;
use crate::store::check::{Action, Checked, check};

/// What is to be looked at, and done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    dir: PathBuf,
    action: Action,
    /// Whether somebody wants to know what a repair would do.
    asks: bool,
    form: Form,
}

/// How it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Words,
}

/// The name of the subcommand.
pub(super) const CHECK_DATA: &str = "check-data";

/// The subcommand.
pub(super) fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new(CHECK_DATA)
        .about("Looks at what --data DIR keeps, says whether it is whole, and repairs it")
        .next_line_help(true)
        .after_help(NOTES)
        .arg(flag(REPAIR, "say what a repair would drop; nothing is changed without --yes"))
        .arg(flag(YES, "repair it: drop that, and give the store a new epoch").requires(REPAIR))
        .arg(
            flag(NEW_EPOCH, "give the store a new epoch: after a backup was put in its place")
                .conflicts_with(REPAIR),
        )
        .arg(flag(JSON, "say it in JSON"))
        .arg(
            Arg::new(DIR)
                .value_name("DIR")
                .required(true)
                .value_parser(OsStringValueParser::new())
                .help("the directory that is given to --data; no server may have it open"),
        )
}

/// Reads what was typed.
pub(super) fn settings(matches: &ArgMatches) -> Result<Settings, Exit> {
    let dir = matches.get_one::<OsString>(DIR).filter(|dir| !dir.is_empty());
    let dir = dir.ok_or_else(|| usage_error("DIR is empty"))?;
    let action = if matches.get_flag(NEW_EPOCH) {
        Action::NewEpoch
    } else if matches.get_flag(YES) {
        Action::Repair
    } else {
        Action::Look
    };
    let form = if matches.get_flag(JSON) { Form::Json } else { Form::Words };
    Ok(Settings { dir: PathBuf::from(dir), action, asks: matches.get_flag(REPAIR), form })
}

/// Does it, and says what was found. `progress` is told what is done at the moment.
pub fn run(settings: &Settings, progress: &mut dyn FnMut(&str)) -> Exit {
    match check(&settings.dir, settings.action, progress) {
        Ok(checked) => {
            let is_whole = checked.problems.count == 0 || checked.dropped.is_some();
            let text = match settings.form {
                Form::Json => json_text(&checked),
                Form::Words => words(settings, &checked),
            };
            Exit { code: if is_whole { 0 } else { FAILED }, text, stream: Stream::Stdout }
        }
        Err(error) => {
            let mut text = format!("error: {error}\n");
            if let OpenError::Damaged { dir, what } = &error {
                text = format!("error: {}: the store is damaged: {what}\n{LOST}", dir.display());
            }
            Exit { code: FAILED, text, stream: Stream::Stderr }
        }
    }
}

fn words(settings: &Settings, checked: &Checked) -> String {
    let Checked { tally, server, problems, .. } = checked;
    let epoch = match &*checked.epoch {
        "" => "no epoch yet".to_owned(),
        epoch => format!("epoch {epoch}"),
    };
    let oldest = tally.oldest.map(|oldest| format!(", the oldest of {}", Timestamp(oldest.0)));
    let mut text = format!(
        "{}: {} bytes, format {}\n  {epoch}, newest seq {}, written until {}\n  {} with {}, {} in \
         {}\n  {} of {} in {}{}\n  {} to backends\n",
        checked.file.display(),
        checked.file_bytes,
        checked.format,
        server.counter,
        Timestamp(server.stamp.0),
        counted(tally.users, "user"),
        counted(tally.clients, "client"),
        counted(tally.memberships, "membership"),
        counted(tally.groups, "group"),
        counted(tally.entries, "message"),
        counted(tally.bytes, "byte"),
        counted(tally.places, "place"),
        oldest.unwrap_or_default(),
        counted(tally.answers, "answer"),
    );
    if checked.journaled > 0 {
        // Writing into a `String` does not fail.
        let journaled = counted(checked.journaled, "change");
        let _ = writeln!(text, "  {journaled} in the journal, counted above");
    }
    for problem in &problems.first {
        // Writing into a `String` does not fail.
        let _ = writeln!(text, "wrong: {problem}");
    }
    let unsaid = problems.count - problems.first.len() as u64;
    if unsaid > 0 {
        let _ = writeln!(text, "wrong: {unsaid} more such things");
    }
    text.push_str(&verdict(settings, checked));
    text
}

fn verdict(settings: &Settings, checked: &Checked) -> String {
    let epoch = match (settings.action, checked.next_epoch) {
        (Action::NewEpoch, _) => "the epoch is a new one\n".to_owned(),
        (_, Some(why)) => format!("the next server begins a new epoch: {why}\n"),
        _ => String::new(),
    };
    let found = match (checked.problems.count, checked.dropped) {
        (0, _) => "nothing is wrong\n".to_owned(),
        (_, Some(dropped)) => format!(
            "repaired: {}, {}, {} of users without a record, {} to backends and {} of the journal \
             are dropped; the epoch is a new one\n",
            counted(dropped.entries, "message"),
            counted(dropped.places, "place"),
            counted(dropped.strays, "row"),
            counted(dropped.answers, "answer"),
            if dropped.batches == 1 {
                "1 batch".into()
            } else {
                format!("{} batches", dropped.batches)
            },
        ),
        (_, None) if settings.asks => "--repair would drop what does not belong together: the \
             messages, places in logs and rows above, with what is in the journal behind a batch \
             that cannot be read, and nothing else. Counts and the newest \
             seq are set right, and the epoch is a new one, so that all clients learn that they \
             may have missed something. With --yes it does\n"
            .to_owned(),
        (_, None) => "--repair says what can be done\n".to_owned(),
    };
    epoch + &found
}

fn json_text(checked: &Checked) -> String {
    let Checked { tally, server, problems, .. } = checked;
    let dropped = checked.dropped.map(|dropped| {
        json!({
            "messages": dropped.entries,
            "places": dropped.places,
            "strays": dropped.strays,
            "answers": dropped.answers,
            "batches": dropped.batches,
        })
    });
    let problems_first: Vec<String> = problems.first.iter().map(ToString::to_string).collect();
    let value = json!({
        "file": checked.file.display().to_string(),
        "file_bytes": checked.file_bytes,
        "format": checked.format,
        "epoch": checked.epoch,
        "next_epoch_is_new": checked.next_epoch.is_some(),
        "newest_seq": server.counter.0,
        "floor": server.floor.0,
        "written_until_ms": server.stamp.0,
        "users": tally.users,
        "clients": tally.clients,
        "groups": tally.groups,
        "memberships": tally.memberships,
        "messages": tally.entries,
        "message_bytes": tally.bytes,
        "places": tally.places,
        "answers": tally.answers,
        "journaled": checked.journaled,
        "oldest_ms": tally.oldest.map(|oldest| oldest.0),
        "problems": problems.count,
        "problems_first": problems_first,
        "dropped": dropped,
    });
    format!("{value}\n")
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

const DIR: &str = "dir";
const JSON: &str = "json";
const NEW_EPOCH: &str = "new-epoch";
const REPAIR: &str = "repair";
const YES: &str = "yes";
const FAILED: u8 = 1;

/// What is said of a file whose pages are damaged.
const LOST: &str = "\
This cannot be repaired: what is in the damaged part is not known. Put a backup in its place and
run `switchboard check-data --new-epoch DIR` on it, or move the file away and begin anew: all
clients learn that they may have missed something.
";

const NOTES: &str = "\
Without --yes and --new-epoch nothing is written, not even to a store that was not closed.

Exit codes:
  0  nothing is wrong, or it was repaired
  1  something is wrong, or the store cannot be read, or a server has it open
  2  the command line is wrong";
