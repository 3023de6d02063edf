//! Sessions: who gets one, what is counted, and what a new policy changes.

use super::*;
use crate::hub::Slots;

fn policy(json: &str) -> Policy {
    Policy::parse(json).unwrap()
}

fn ids(count: usize) -> Vec<ConnId> {
    let mut slots = Slots::new();
    (0..count).map(|_| slots.insert(())).collect()
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

const NOW: Millis = Millis(0);

#[test]
fn without_a_policy_guests_have_no_session_and_others_keep_their_roles() {
    let id = ids(2);
    let mut sessions = Sessions::new(Policy::open());
    sessions.open(id[0], sessions.guest(), ip("::1"), NOW);
    let member = sessions.permissions(&["member".into()]);
    sessions.open(id[1], member, ip("::1"), NOW);
    assert_eq!(sessions.sessions.len(), 1);
    assert!(sessions.permits(id[0], Action::Send("bob")));
    assert!(!sessions.permits(id[0], Action::Impersonate));

    let json = r#"{"roles":{"member":{"allow":["send:*"]},"guest":{"allow":["broadcast"]}}}"#;
    let everybody = id.iter().map(|&id| (id, ip("::1")));
    sessions.reconfigure(policy(json), everybody.clone(), NOW);
    for (id, may_send) in [(id[0], false), (id[1], true)] {
        assert_eq!(sessions.permits(id, Action::Send("bob")), may_send);
        assert_eq!(sessions.permits(id, Action::Broadcast), !may_send);
    }
    let places: Vec<Places> = sessions.addresses.values().copied().collect();
    assert_eq!(places, [Places { known: 2, strangers: 0 }]);

    sessions.reconfigure(Policy::open(), everybody, NOW);
    assert!(sessions.permits(id[0], Action::Send("bob")));
    assert_eq!(sessions.sessions.len(), 1, "the member alone");
    sessions.close(id[0]);
    sessions.close(id[1]);
    assert!(sessions.sessions.is_empty() && sessions.addresses.is_empty());
}

#[test]
fn with_a_policy_who_has_no_session_may_do_nothing() {
    let id = ids(1)[0];
    let sessions = Sessions::new(policy(r#"{"roles":{"*":{"allow":["send:*","broadcast"]}}}"#));
    assert!(!sessions.permits(id, Action::Send("bob")) && !sessions.permits(id, Action::Broadcast));
}

#[test]
fn everybody_with_the_same_roles_has_the_same_permissions() {
    let roles =
        |names: &[&str]| -> Vec<Box<str>> { names.iter().map(|&name| name.into()).collect() };
    let mut sessions = Sessions::new(policy(r#"{"roles":{"a":{"allow":["send:*"]}}}"#));
    let first = sessions.permissions(&roles(&["a", "b"]));
    assert!(Rc::ptr_eq(&first, &sessions.permissions(&roles(&["b", "a", "b"]))));
    assert!(!Rc::ptr_eq(&first, &sessions.permissions(&roles(&["a"]))));
    // What nobody has any more is not kept for ever.
    for index in 0..10_000 {
        drop(sessions.permissions(&roles(&["a", &index.to_string()])));
        assert!(sessions.known.len() <= 2 * SWEEP_MIN);
    }
    assert!(Rc::ptr_eq(&first, &sessions.permissions(&roles(&["a", "b"]))));
}

#[test]
fn connections_are_counted_by_address_and_a_network_of_ipv6_is_one() {
    let json = r#"{"roles":{"*":{"allow":["room:*"],"limits":{"connections-per-address":2}}}}"#;
    let mut sessions = Sessions::new(policy(json));
    let id = ids(10);
    let permissions = sessions.guest();
    let may =
        |sessions: &Sessions, ip| sessions.admit(&permissions, "/", 0, ip, std::iter::empty());
    for (at, address) in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "2001:db8::2:0:0:1"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(may(&sessions, ip(address)), Ok(()), "{address}");
        sessions.open(id[at], Rc::clone(&permissions), ip(address), NOW);
    }
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::ffff"] {
        assert_eq!(may(&sessions, ip(address)), Err(Denial::TooManyOfAddress), "{address}");
    }
    for address in ["192.0.2.2", "2001:db8:0:1::1", "::1"] {
        assert_eq!(may(&sessions, ip(address)), Ok(()), "{address}");
    }
    assert_eq!(may(&sessions, None), Ok(()), "a Unix socket has no address");
    sessions.close(id[0]);
    sessions.close(id[0]);
    assert_eq!(may(&sessions, ip("192.0.2.1")), Ok(()));
}

#[test]
fn a_message_counts_once_even_if_it_is_refused_for_its_length() {
    let json = r#"{"roles":{"*":{"limits":{"messages-per-second":1,"burst":2,"message":10}}}}"#;
    let mut sessions = Sessions::new(policy(json));
    let id = ids(1)[0];
    sessions.open(id, sessions.guest(), None, NOW);
    assert_eq!(sessions.charge(id, NOW, 10), Ok(()));
    assert_eq!(sessions.charge(id, NOW, 11), Err(Excess::TooLarge { max_bytes: 10 }));
    assert_eq!(sessions.charge(id, NOW, 10), Err(Excess::Rate { after_ms: 1_000 }));
    assert_eq!(sessions.charge(id, Millis(999), 10), Err(Excess::Rate { after_ms: 1 }));
    assert_eq!(sessions.charge(id, Millis(1_000), 10), Ok(()));
}

#[test]
fn of_two_rates_the_one_with_the_longer_wait_is_told_and_nothing_is_taken() {
    let json = r#"{"roles":{"*":{"limits":{
        "messages-per-second": 10, "burst": 2, "bytes-per-second": 100, "burst-bytes": 100}}}}"#;
    let mut sessions = Sessions::new(policy(json));
    let id = ids(1)[0];
    sessions.open(id, sessions.guest(), None, NOW);
    assert_eq!(sessions.charge(id, NOW, 100), Ok(()));
    assert_eq!(sessions.charge(id, NOW, 50), Err(Excess::Rate { after_ms: 500 }));
    assert_eq!(sessions.charge(id, NOW, 0), Ok(()), "the refused one took no message");
    assert_eq!(sessions.charge(id, NOW, 5), Err(Excess::Rate { after_ms: 100 }));
    assert_eq!(sessions.charge(id, Millis(500), 50), Ok(()));
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 64, "{}", size_of::<Session>());
}
