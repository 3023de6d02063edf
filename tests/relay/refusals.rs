//! "What the server says".

use super::*;
use crate::world::World;
use switchboard::config::Broadcast;
use switchboard::relay::access::{Access, Policy};

fn with_policy(allow: &str, limits: &str) -> RelayConfig {
    let policy = format!(r#"{{"roles":{{"*":{{"allow":{allow},"limits":{{{limits}}}}}}}}}"#);
    let policy = Policy::parse(&policy).expect("a policy");
    RelayConfig { access: Access { policy, ..Access::open() }, ..config() }
}

/// The table of refusals in the protocol's text: what it shows is what is sent.
#[test]
fn plain_every_refusal_in_the_text_is_the_one_that_is_sent() {
    let contract = include_str!("../../src/relay/PROTOCOL.md");
    let section =
        contract.split("\n# ").find_map(|section| section.strip_prefix("What the server says"));
    let rows: Vec<Vec<&str>> = section
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| 4") || line.starts_with("| 5"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    assert_eq!(rows.len(), Refusal::ALL.len());
    for (row, refusal) in rows.iter().zip(Refusal::ALL) {
        let [_, code, reason, said, answer, _] = row[..] else { panic!("{row:?}") };
        assert_eq!((code, reason), (&*refusal.code().to_string(), refusal.reason()));
        // `tests/identity` has somebody who is asked who he is.
        let elsewhere = [Refusal::NestingTooDeep, Refusal::AlreadyAuthenticated];
        if refusal.code() >= 503 || elsewhere.contains(refusal) {
            continue;
        }
        // A message that is too long does not stand in a table.
        let long = "x".repeat(4_097);
        let said = if *refusal == Refusal::MessageTooLarge { &long } else { said };
        let world = World::with(match refusal {
            Refusal::Forbidden => with_policy(r#"["room:*"]"#, ""),
            Refusal::MessageTooLarge => with_policy(r#"["room:*"]"#, r#""message": 4096"#),
            Refusal::Rate => with_policy(r#"["room:*"]"#, r#""messages-per-second": 4"#),
            Refusal::TooManyConnections => {
                with_policy(r#"["room:*"]"#, r#""connections-per-user": 1"#)
            }
            Refusal::BroadcastOff => RelayConfig { broadcast: Broadcast::Off, ..config() },
            Refusal::TooManyGroups => with_groups(0),
            _ => config(),
        });
        let guest = world.connect("/", None);
        let claims = matches!(refusal, Refusal::Taken | Refusal::TooManyConnections);
        let peer = world.connect("/", if claims { None } else { Some("carol") });
        if *refusal == Refusal::TooManyConnections {
            world.connect("/", Some("alice"));
        }
        if *refusal == Refusal::Rate {
            for _ in 0..4 {
                peer.say(r#"{"type":"ping"}"#);
            }
            peer.heard();
        }
        peer.say(said);
        assert_eq!(peer.heard(), [text(answer)], "{said}");
        silent(&[&guest]);
    }
}
