//! "What the server says".

use super::*;
use crate::world::World;
use switchboard::config::Broadcast;

/// The table of refusals in the protocol's text: what it shows is what is sent.
#[test]
fn plain_every_refusal_in_the_text_is_the_one_that_is_sent() {
    let table = include_str!("../../src/relay/PROTOCOL.md");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| 4") || line.starts_with("| 5"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    assert_eq!(rows.len(), Refusal::ALL.len());
    for (row, refusal) in rows.iter().zip(Refusal::ALL) {
        let [_, code, reason, said, answer, _] = row[..] else { panic!("{row:?}") };
        assert_eq!((code, reason), (&*refusal.code().to_string(), refusal.reason()));
        if refusal.code() == 503 || *refusal == Refusal::NestingTooDeep {
            continue;
        }
        let world = World::with(match refusal {
            Refusal::BroadcastOff => RelayConfig { broadcast: Broadcast::Off, ..config() },
            Refusal::TooManyGroups => with_groups(0),
            _ => config(),
        });
        let guest = world.connect("/", None);
        let user = if *refusal == Refusal::Taken { None } else { Some("carol") };
        let peer = world.connect("/", user);
        peer.say(said);
        assert_eq!(peer.heard(), [text(answer)], "{said}");
        silent(&[&guest]);
    }
}
