//! What clients of switchboard.v1 say.

use super::{Seed, table};

/// The seeds of `sessions`.
pub fn seeds() -> Vec<Seed> {
    let rows = SCRIPTS.iter().map(|(name, script)| (*name, script.replace('\'', "\"")));
    table("sessions", &rows.collect::<Vec<_>>())
}

/// Quotes are single ones here.
const SCRIPTS: &[(&str, &str)] = &[
    (
        "message-and-answer",
        "0 {'type':'hello','client':'x'}\n2 {'type':'hello','client':'y'}\n.\n=\n\
         0 {'id':1,'receiver':'b','content':{'n': 1.0}}\n.\n=\n.\n2 {'type':'ack','seq':1}\n.\n=",
    ),
    (
        "resumed-after-a-loss",
        "2 {'type':'hello','client':'y'}\n.\n=\n2-\n0 {'type':'hello','client':'x'}\n.\n=\n\
         0 {'id':1,'receiver':'b','content':1}\n0 {'id':2,'receiver':'b','content':2}\n.\n=\n\
         2 {'type':'hello','client':'y','epoch':'e','seq':0}\n.\n=\n.",
    ),
    (
        "group-of-three-with-echo",
        "0 {'type':'hello','client':'x'}\n2 {'type':'hello','client':'y'}\n\
         4 {'type':'hello','client':'z'}\n.\n=\n0 {'type':'join','group':'g','id':1}\n\
         2 {'type':'join','group':'g','id':1}\n4 {'type':'join','group':'g','id':1}\n.\n=\n\
         0 {'id':2,'group':'g','content':1,'echo':true}\n2 {'id':2,'group':'*','content':2}\n.\n\
         =\n.",
    ),
    (
        "full-log-of-somebody-away",
        "2 {'type':'hello','client':'y'}\n.\n=\n2-\n0 {'type':'hello','client':'x'}\n.\n=\n\
         0 {'id':1,'receiver':'b','content':1}\n0 {'id':2,'receiver':'b','content':2}\n\
         0 {'id':3,'receiver':'b','content':3}\n0 {'id':4,'receiver':'b','content':4}\n\
         0 {'id':5,'receiver':'b','content':5}\n.\n=\n.",
    ),
    (
        "same-client-twice",
        "0 {'type':'hello','client':'x','attempt':2}\n\
         1 {'type':'hello','client':'x','attempt':1}\n.\n=\n\
         1 {'type':'hello','client':'x','attempt':3}\n.\n=\n.",
    ),
    (
        "live-behind-logged",
        "0 {'type':'hello','client':'x'}\n2 {'type':'hello','client':'y'}\n.\n=\n\
         0 {'id':1,'receiver':'b','content':1}\n0 {'id':2,'receiver':'b','content':2,'ttl':0}\n\
         p {'receiver':'b','content':3}\n.\n=\n.",
    ),
    (
        "guests-have-no-log",
        "6 {'type':'hello','client':'x'}\n7 {'type':'hello','client':'x'}\n.\n=\n\
         6 {'id':1,'receiver':'7','content':1}\n6 {'type':'join','group':'g','id':2}\n.\n=\n.",
    ),
    (
        "silence-and-age",
        "0 {'type':'hello','client':'x'}\n2 {'type':'hello','client':'y'}\n.\n=\n\
         0 {'id':1,'receiver':'b','content':1}\n.\n=\n~30000\n.\n~30000\n.\n=\n~3600000\n.\n=",
    ),
    (
        "receipts-once-for-all-devices",
        "0 {'type':'hello','client':'x'}\n2 {'type':'hello','client':'y'}\n\
         3 {'type':'hello','client':'z'}\n.\n=\n\
         0 {'id':1,'receiver':'b','content':1,'receipt':true}\n.\n=\n.\n\
         2 {'type':'ack','seq':1}\n3 {'type':'ack','seq':1}\n2 {'type':'ack','seq':9}\n.\n=",
    ),
    (
        "numbers-out-of-turn",
        "0 {'type':'hello','client':'x','next':5}\n.\n=\n0 {'id':7,'receiver':'b','content':1}\n\
         0 {'id':8,'receiver':'b','content':1}\n0 {'id':5,'receiver':'b','content':1}\n\
         0 {'type':'ping','id':4}\n.\n=\n.",
    ),
];
