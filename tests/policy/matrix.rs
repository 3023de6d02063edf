//! Every role of a policy file and every action, on names that its patterns are for and names that
//! they are not: allowed or refused as a reading of the file says that knows nothing of ours.

use serde_json::{Value, json};

use super::*;

const FILE: &str = include_str!("policy.json");

/// Users, groups and paths on the edges of the patterns in the file.
const USERS: &[&str] =
    &["help", "support-1", "support-", "support", "alice", "al", "a", "bob", "bobby", "1001"];
const GROUPS: &[&str] = &["team-1", "team-", "team", "team-12", "all", "al", "allies"];
const PATHS: &[&str] = &["/", "/lobby", "/lobby/2", "/lobb", "/Lobby", "/%6cobby", "/staff"];

/// What the file says, read by hand: whether one of the roles or `*` allows `permission`.
fn says(roles: &[&str], right: &str, name: Option<&str>) -> bool {
    let file: Value = serde_json::from_str(FILE).unwrap();
    roles.iter().chain(&["*"]).any(|role| {
        let allow = file["roles"][role]["allow"].as_array().cloned().unwrap_or_default();
        allow.iter().any(|permission| {
            let permission = permission.as_str().unwrap();
            let Some(name) = name else { return permission == right };
            let Some((own, pattern)) = permission.split_once(':') else { return false };
            own == right
                && match pattern.strip_suffix('*') {
                    Some(stem) => name.starts_with(stem),
                    None => name == pattern,
                }
        })
    })
}

fn roles() -> Vec<String> {
    let file: Value = serde_json::from_str(FILE).unwrap();
    file["roles"].as_object().unwrap().keys().cloned().collect()
}

/// A world in which those who connect have this role and no other: where there are no credentials
/// all are guests, and `guest` is what the role is.
fn world_of(role: &str) -> World {
    let file: Value = serde_json::from_str(FILE).unwrap();
    let policy = json!({"roles": {"*": file["roles"]["*"], "guest": file["roles"][role]}});
    world(&policy.to_string())
}

/// The same with a room that everybody may enter, and users that everybody may be.
fn crowded(role: &str) -> (World, Peer) {
    let world = world_of(role);
    let eve = world.connect("/", Some("eve"));
    for user in USERS {
        world.connect("/", Some(user));
    }
    (world, eve)
}

#[track_caller]
fn check(role: &str, peer: &Peer, said: &str, missing: &str, key: &str, name: &str, may: bool) {
    peer.say(said);
    let heard = peer.heard();
    let refused = heard == [forbidden(missing, key, name)];
    assert_eq!(refused, !may, "{role}: {said}: {heard:?}");
}

#[test]
fn every_role_may_send_to_the_users_the_file_says_online_or_not() {
    for role in roles() {
        let (crowd, alone) = (crowded(&role), world_of(&role));
        let lonely = alone.connect("/", Some("eve"));
        for user in USERS {
            let may = says(&[&role], "send", Some(user));
            let missing = format!("send:{user}");
            for (peer, is_online) in [(&crowd.1, true), (&lonely, false)] {
                check(&role, peer, &to(user), &missing, "receiver", user, may);
                // What was allowed arrives, or not, as without a policy.
                if may {
                    peer.say(&to(user));
                    let wanted = if is_online { vec![] } else { vec![offline(user)] };
                    assert_eq!(peer.heard(), wanted, "{role}: {user}");
                }
            }
        }
    }
}

#[test]
fn every_role_may_join_send_to_and_look_into_the_groups_the_file_says() {
    for role in roles() {
        let world = world_of(&role);
        let eve = world.connect("/", Some("eve"));
        for group in GROUPS {
            let may = |right| says(&[&role], right, Some(group));
            let say = |right: &str, said: &str, may| {
                check(&role, &eve, said, &format!("{right}:{group}"), "group", group, may);
            };
            let send = format!(r#"{{"group":"{group}","content":1}}"#);
            let members = format!(r#"{{"type":"members","group":"{group}"}}"#);
            let join = format!(r#"{{"type":"join","group":"{group}"}}"#);
            let hear = format!(r#"{{"type":"join","group":"{group}","presence":true}}"#);
            // Before and while eve is a member: permission is decided before that is looked at.
            for _ in 0..2 {
                say("group", &send, may("group"));
                say("members", &members, may("members"));
                world.with_relay(|relay, _| relay.add_member("eve", group).unwrap());
            }
            world.with_relay(|relay, _| relay.remove_member("eve", group));
            say("join", &join, may("join"));
            let is_member = world.with_relay(|relay, _| relay.remove_member("eve", group));
            assert_eq!(is_member, may("join"), "{role}: {group}");
            // To hear who comes takes both; the first that is missing is named.
            match (may("join"), may("members")) {
                (false, _) => say("join", &hear, false),
                (true, may_hear) => say("members", &hear, may_hear),
            }
            let is_member = world.with_relay(|relay, _| relay.remove_member("eve", group));
            assert_eq!(is_member, may("join") && may("members"), "{role}: {group}");
            // Leaving is always allowed.
            eve.say(&format!(r#"{{"type":"leave","group":"{group}"}}"#));
            assert_eq!(eve.heard(), [ok(group)]);
        }
    }
}

#[test]
fn every_role_may_enter_the_rooms_the_file_says() {
    for role in roles() {
        let world = world_of(&role);
        for path in PATHS {
            let may = says(&[&role], "room", Some(path));
            match world.upgrade(&format!("{path}?user=eve"), &[]) {
                Ok(peer) => {
                    assert!(may, "{role}: {path}");
                    peer.hang_up();
                }
                Err(answer) => {
                    assert!(!may, "{role}: {path}");
                    let wanted = format!("forbidden: no permission room:{path}\n");
                    assert_eq!((answer.status, answer.body), (403, wanted));
                }
            }
        }
        assert_eq!(world.counts().rooms, 0);
    }
}

#[test]
fn every_role_may_ask_after_the_users_the_file_says_online_or_not() {
    for role in roles() {
        let (crowd, alone) = (crowded(&role), world_of(&role));
        let lonely = alone.connect("/", Some("eve"));
        for user in USERS {
            let may = says(&[&role], "presence", Some(user));
            let said = format!(r#"{{"type":"presence","user":"{user}"}}"#);
            for (peer, online) in [(&crowd.1, 1), (&lonely, 0)] {
                check(&role, peer, &said, &format!("presence:{user}"), "user", user, may);
                if may {
                    peer.say(&said);
                    let answer =
                        format!(r#"{{"type":"presence","user":"{user}","online":{online}}}"#);
                    assert_eq!(peer.heard(), [text(answer)]);
                }
            }
        }
    }
}

#[test]
fn every_role_may_broadcast_if_the_file_says_so() {
    for role in roles() {
        let world = world_of(&role);
        let (eve, other) = (world.connect("/", None), world.connect("/", None));
        let may = says(&[&role], "broadcast", None);
        let refusal = r#"{"type":"error","code":403,"reason":"forbidden","missing":"broadcast"}"#;
        eve.say("hello");
        eve.say_binary(b"hello");
        match may {
            true => assert_eq!(other.heard(), [text("hello"), world::binary(b"hello".as_slice())]),
            false => assert_eq!(eve.heard(), [text(refusal), text(refusal)]),
        }
        assert_eq!((eve.heard(), other.heard()), (vec![], vec![]), "{role}");
    }
}

#[test]
fn every_role_may_bear_another_name_if_the_file_says_so() {
    for role in roles() {
        let world = world_of(&role);
        let (eve, help) = (world.connect("/", Some("eve")), world.connect("/", Some("help")));
        eve.say(r#"{"sender":"alice","receiver":"help","content":1}"#);
        if says(&[&role], "impersonate", None) {
            assert_eq!(help.heard(), [from("alice")], "{role}");
            // It changes nothing about who she is, and it is for messages alone.
            eve.say(&to("help"));
            assert_eq!(help.heard(), [from("eve")]);
            eve.say(r#"{"sender":"alice","type":"leave","group":"all"}"#);
            let refusal = r#"{"type":"error","code":403,"reason":"sender_mismatch","group":"all"}"#;
            assert_eq!(eve.heard(), [text(refusal)]);
        } else {
            let refusal =
                r#"{"type":"error","code":403,"reason":"sender_mismatch","receiver":"help"}"#;
            assert_eq!(eve.heard(), [text(refusal)], "{role}");
            assert_eq!(help.heard(), []);
        }
    }
}

#[test]
fn what_takes_no_permission_is_allowed_to_everybody() {
    for role in roles() {
        let world = world_of(&role);
        let eve = world.connect("/", Some("eve"));
        eve.say(r#"{"type":"ping"}"#);
        assert_eq!(eve.heard(), [text(r#"{"type":"pong"}"#)]);
        assert_eq!(world.request("GET", "/", &[]).status, 200);
    }
}

#[test]
fn an_impersonated_group_message_takes_the_membership_of_the_one_who_sends_it() {
    let world = world_of("robot");
    let (robot, bob) = (world.connect("/", Some("robot")), world.connect("/", Some("bob")));
    let said = r#"{"sender":"bob","group":"all","content":1}"#;
    joined(&bob, "all");
    robot.say(said);
    let refusal = r#"{"type":"error","code":403,"reason":"not_a_member","group":"all"}"#;
    assert_eq!(robot.heard(), [text(refusal)]);
    joined(&robot, "all");
    robot.say(said);
    assert_eq!(bob.heard(), [text(said)]);
}
