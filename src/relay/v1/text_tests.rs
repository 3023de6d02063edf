//! That the protocol's text shows what is read and written.

use super::*;
use crate::relay::envelope::EnvelopeLimits;

/// What stands in backquotes in the cells of a table of the text.
fn spans<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let (_, table) = text.split_once(heading).expect("a table");
    let (table, _) = table.split_once("\n\n").expect("the end of a table");
    table.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_frames_in_the_text_are_the_frames() {
    let text = include_str!("../PROTOCOL.md").replace('…', "e");
    let (_, text) = text.split_once("# switchboard.v1\n").expect("a section");
    let said = spans(text, "| the client says");
    let frames: Vec<&&str> = said.iter().filter(|span| span.starts_with('{')).collect();
    assert_eq!(frames.len(), 8);
    for frame in frames {
        assert!(Frame::read(frame, &EnvelopeLimits::default()).is_ok(), "{frame}");
    }
    let answers = spans(text, "| the server says");
    for reply in [
        Reply::Ok { id: 17, online: None, logged: None },
        Reply::Told {
            id: 21,
            facts: Facts::Members { names: r#"["bob","eve"]"#.into(), count: 2 },
        },
        Reply::Told { id: 22, facts: Facts::Online(2) },
        Reply::Error { id: Some(17), refused: Refused::NOT_A_MEMBER },
        Reply::Forbidden { id: Some(17), missing: "send:alice".into() },
        Reply::TooLarge { id: Some(17), max_bytes: 4_096 },
        Reply::Gap(Gap { after: Seq(57), until: Seq(90), reason: GapReason::Overflow }),
        Reply::Dropped(12),
        Reply::Ping { seq: Some(Seq(58)) },
        Reply::Drain { after_ms: 4_200 },
        Reply::Retry { id: 17, refused: Refused::STORE, expect: 17, after_ms: 500 },
        Reply::Welcome(Box::new(Welcome {
            user: Rc::from("bob"),
            position: Some((Rc::from("9fe"), Seq(41))),
            resumed: true,
            last: Some(16),
            refused: vec![13, 15],
            gap: None,
            ping_secs: 25,
            message_max: 1_048_576,
        })),
    ] {
        let mut written = Vec::new();
        reply.write(&mut written);
        let written = String::from_utf8(written).unwrap();
        assert!(answers.contains(&&*written), "{written}");
    }
}

#[test]
fn the_reasons_in_the_text_are_the_reasons() {
    let text = include_str!("../PROTOCOL.md");
    let (_, text) = text.split_once("# switchboard.v1\n").expect("a section");
    let mut shown: Vec<&str> = spans(text, "| reason | code | meaning |\n");
    shown.retain(|span| *span != "retry" && *span != "dup");
    let mut known: Vec<&str> = [
        Refused::ACK_AHEAD,
        Refused::FORBIDDEN,
        Refused::NOT_A_MEMBER,
        Refused::SENDER_MISMATCH,
        Refused::RECEIVER_OFFLINE,
        Refused::EXPECTED,
        Refused::REFUSED,
        Refused::TOO_LARGE,
        Refused::RATE,
        Refused::TOO_MANY_GROUPS,
        Refused::DRAINING,
        Refused::RECEIVER_CONGESTED,
        Refused::STORE,
        Refused::MAILBOX_FULL,
        Refused::MEMBERSHIPS_FULL,
    ]
    .map(|refused| refused.reason)
    .to_vec();
    // Those of frames are in the reader alone.
    let reader = include_str!("frame.rs");
    known.extend(reader.split("bad(\"").skip(1).filter_map(|rest| rest.split('"').next()));
    known.extend(["invalid_receiver", "invalid_sender", "invalid_group", "invalid_user"]);
    for list in [&mut shown, &mut known] {
        list.sort_unstable();
        list.dedup();
    }
    assert_eq!(shown, known);
}
