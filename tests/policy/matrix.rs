//! Every role of a policy file and every action, on names that its patterns are for and names that
//! they are not: allowed or refused as a reading of the file says that knows nothing of ours.

use serde_json::{Value, json};
use switchboard::relay::access::{Authentication, Tokens};

use super::*;
use crate::world::Answer;

const FILE: &str = include_str!("policy.json");

/// Users, groups and paths on the edges of the patterns in the file.
const USERS: &[&str] =
    &["help", "support-1", "support-", "support", "alice", "al", "a", "bob", "bobby", "1001"];
const GROUPS: &[&str] = &["team-1", "team-", "team", "team-12", "all", "al", "allies"];
const PATHS: &[&str] = &["/", "/lobby", "/lobby/2", "/lobb", "/Lobby", "/%6cobby", "/staff"];

/// What the file says, read by hand: whether one of the roles or `*` allows `permission`.
fn says(roles: &[String], right: &str, name: Option<&str>) -> bool {
    let file: Value = serde_json::from_str(FILE).unwrap();
    roles.iter().map(String::as_str).chain(["*"]).any(|role| {
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

/// No role but the one that everybody has, every role of the file, and every two of them.
fn roles() -> Vec<Vec<String>> {
    let file: Value = serde_json::from_str(FILE).unwrap();
    let all = file["roles"].as_object().unwrap().keys().filter(|role| *role != "*");
    let all: Vec<String> = all.cloned().collect();
    let one = all.iter().map(|role| vec![role.clone()]);
    let pairs = all
        .iter()
        .enumerate()
        .flat_map(|(at, role)| all[at + 1..].iter().map(|other| vec![role.clone(), other.clone()]));
    std::iter::once(Vec::new()).chain(one).chain(pairs).collect()
}

/// A world under the policy of the file.
struct Stage {
    world: World,
    /// Whether somebody has to say who he is: guests are not asked.
    has_tokens: bool,
}

impl Stage {
    /// Here eve has these roles and the others have none, by their tokens; but guests are guests.
    fn new(roles: &[String]) -> Stage {
        let has_tokens = roles != ["guest"];
        let mut access = access(FILE);
        if has_tokens {
            let entry = |user: &&str| {
                let roles = if *user == "eve" { roles } else { &[] };
                json!({"token": token(user), "user": user, "roles": roles})
            };
            let users: Vec<Value> = ["eve"].iter().chain(USERS).map(entry).collect();
            let tokens = Tokens::parse(&json!({"tokens": users}).to_string(), 128).unwrap();
            access.authentication = Authentication::Tokens(tokens);
        }
        Stage { world: World::with(RelayConfig { access, ..config() }), has_tokens }
    }

    fn connect(&self, user: &str) -> Peer {
        self.enter("/", user).unwrap_or_else(|answer| panic!("{user}: {answer:?}"))
    }

    fn enter(&self, path: &str, user: &str) -> Result<Peer, Answer> {
        match self.has_tokens {
            true => self.world.upgrade(&format!("{path}?token={}", token(user)), &[]),
            false => self.world.upgrade(&format!("{path}?user={user}"), &[]),
        }
    }

    /// The same with everybody there.
    fn crowded(roles: &[String]) -> Stage {
        let stage = Stage::new(roles);
        for user in USERS {
            stage.connect(user);
        }
        stage
    }
}

fn token(user: &str) -> String {
    format!("the-token-of-{user}-is-long-enough")
}

#[track_caller]
fn check(
    roles: &[String],
    peer: &Peer,
    said: &str,
    missing: &str,
    key: &str,
    name: &str,
    may: bool,
) {
    peer.say(said);
    let heard = peer.heard();
    let refused = heard == [forbidden(missing, key, name)];
    assert_eq!(refused, !may, "{roles:?}: {said}: {heard:?}");
}

#[test]
fn every_role_may_send_to_the_users_the_file_says_online_or_not() {
    for roles in roles() {
        let (crowd, alone) = (Stage::crowded(&roles), Stage::new(&roles));
        let (crowded, lonely) = (crowd.connect("eve"), alone.connect("eve"));
        for user in USERS {
            let may = says(&roles, "send", Some(user));
            let missing = format!("send:{user}");
            for (peer, is_online) in [(&crowded, true), (&lonely, false)] {
                check(&roles, peer, &to(user), &missing, "receiver", user, may);
                // What was allowed arrives, or not, as without a policy.
                if may {
                    peer.say(&to(user));
                    let wanted = if is_online { vec![] } else { vec![offline(user)] };
                    assert_eq!(peer.heard(), wanted, "{roles:?}: {user}");
                }
            }
        }
    }
}

#[test]
fn every_role_may_join_send_to_and_look_into_the_groups_the_file_says() {
    for roles in roles() {
        let stage = Stage::new(&roles);
        let (world, eve) = (&stage.world, stage.connect("eve"));
        for group in GROUPS {
            let may = |right| says(&roles, right, Some(group));
            let say = |right: &str, said: &str, may| {
                check(&roles, &eve, said, &format!("{right}:{group}"), "group", group, may);
            };
            let send = format!(r#"{{"group":"{group}","content":1}}"#);
            let members = format!(r#"{{"type":"members","group":"{group}"}}"#);
            let join = format!(r#"{{"type":"join","group":"{group}"}}"#);
            let hear = format!(r#"{{"type":"join","group":"{group}","presence":true}}"#);
            // Before and while eve is a member: permission is decided before that is looked at.
            for _ in 0..2 {
                say("group", &send, may("group"));
                say("members", &members, may("members"));
                world.with_relay(|relay, cx| relay.add_member(cx, "eve", group).unwrap());
            }
            world.with_relay(|relay, cx| relay.remove_member(cx, "eve", group).unwrap());
            say("join", &join, may("join"));
            let is_member =
                world.with_relay(|relay, cx| relay.remove_member(cx, "eve", group).unwrap());
            assert_eq!(is_member, may("join"), "{roles:?}: {group}");
            // To hear who comes takes both; the first that is missing is named.
            match (may("join"), may("members")) {
                (false, _) => say("join", &hear, false),
                (true, may_hear) => say("members", &hear, may_hear),
            }
            let is_member =
                world.with_relay(|relay, cx| relay.remove_member(cx, "eve", group).unwrap());
            assert_eq!(is_member, may("join") && may("members"), "{roles:?}: {group}");
            // Leaving is always allowed.
            eve.say(&format!(r#"{{"type":"leave","group":"{group}"}}"#));
            assert_eq!(eve.heard(), [ok(group)]);
        }
    }
}

#[test]
fn every_role_may_enter_the_rooms_the_file_says() {
    for roles in roles() {
        let stage = Stage::new(&roles);
        for path in PATHS {
            let may = says(&roles, "room", Some(path));
            match stage.enter(path, "eve") {
                Ok(peer) => {
                    assert!(may, "{roles:?}: {path}");
                    peer.hang_up();
                }
                Err(answer) => {
                    assert!(!may, "{roles:?}: {path}");
                    let wanted = format!("forbidden: no permission room:{path}\n");
                    assert_eq!((answer.status, answer.body), (403, wanted));
                }
            }
        }
        assert_eq!(stage.world.counts().rooms, 0);
    }
}

#[test]
fn every_role_may_ask_after_the_users_the_file_says_online_or_not() {
    for roles in roles() {
        let (crowd, alone) = (Stage::crowded(&roles), Stage::new(&roles));
        let (crowded, lonely) = (crowd.connect("eve"), alone.connect("eve"));
        for user in USERS {
            let may = says(&roles, "presence", Some(user));
            let said = format!(r#"{{"type":"presence","user":"{user}"}}"#);
            for (peer, online) in [(&crowded, 1), (&lonely, 0)] {
                check(&roles, peer, &said, &format!("presence:{user}"), "user", user, may);
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
    for roles in roles() {
        let stage = Stage::new(&roles);
        let (eve, other) = (stage.connect("eve"), stage.connect("help"));
        let may = says(&roles, "broadcast", None);
        let refusal = r#"{"type":"error","code":403,"reason":"forbidden","missing":"broadcast"}"#;
        eve.say("hello");
        eve.say_binary(b"hello");
        match may {
            true => assert_eq!(other.heard(), [text("hello"), world::binary(b"hello".as_slice())]),
            false => assert_eq!(eve.heard(), [text(refusal), text(refusal)]),
        }
        assert_eq!((eve.heard(), other.heard()), (vec![], vec![]), "{roles:?}");
    }
}

#[test]
fn every_role_may_bear_another_name_if_the_file_says_so() {
    for roles in roles() {
        let stage = Stage::new(&roles);
        let (eve, help) = (stage.connect("eve"), stage.connect("help"));
        eve.say(r#"{"sender":"alice","receiver":"help","content":1}"#);
        if says(&roles, "impersonate", None) {
            assert_eq!(help.heard(), [from("alice")], "{roles:?}");
            // It changes nothing about who she is, and it is for messages alone.
            eve.say(&to("help"));
            assert_eq!(help.heard(), [from("eve")]);
            eve.say(r#"{"sender":"alice","type":"leave","group":"all"}"#);
            let refusal = r#"{"type":"error","code":403,"reason":"sender_mismatch","group":"all"}"#;
            assert_eq!(eve.heard(), [text(refusal)]);
        } else {
            let refusal =
                r#"{"type":"error","code":403,"reason":"sender_mismatch","receiver":"help"}"#;
            assert_eq!(eve.heard(), [text(refusal)], "{roles:?}");
            assert_eq!(help.heard(), []);
        }
    }
}

#[test]
fn what_takes_no_permission_is_allowed_to_everybody() {
    for roles in roles() {
        let stage = Stage::new(&roles);
        let eve = stage.connect("eve");
        eve.say(r#"{"type":"ping"}"#);
        assert_eq!(eve.heard(), [text(r#"{"type":"pong"}"#)]);
        assert_eq!(stage.world.request("GET", "/", &[]).status, 200);
    }
}

#[test]
fn an_impersonated_group_message_takes_the_membership_of_the_one_who_sends_it() {
    let stage = Stage::new(&["robot".to_owned()]);
    let (robot, bob) = (stage.connect("eve"), stage.connect("bob"));
    stage.world.with_relay(|relay, cx| relay.add_member(cx, "bob", "all").unwrap());
    let said = r#"{"sender":"bob","group":"all","content":1}"#;
    robot.say(said);
    let refusal = r#"{"type":"error","code":403,"reason":"not_a_member","group":"all"}"#;
    assert_eq!(robot.heard(), [text(refusal)]);
    joined(&robot, "all");
    robot.say(said);
    assert_eq!(bob.heard(), [text(said)]);
}

#[test]
fn a_broadcast_object_bears_no_other_name_where_names_are_proven() {
    for roles in roles().into_iter().filter(|roles| says(roles, "broadcast", None)) {
        let stage = Stage::new(&roles);
        let (eve, other) = (stage.connect("eve"), stage.connect("help"));
        let refusal = r#"{"type":"error","code":403,"reason":"sender_mismatch"}"#;
        for (said, is_own) in [
            (r#"{"sender":"eve","text":"hi"}"#, true),
            (r#"{"text":"hi","s\u0065nder":"\u0065ve"}"#, true),
            (r#"{"text":"hi"}"#, true),
            (r#"[{"sender":"alice"}]"#, true),
            (r#"{"sender":"alice","text":"hi"}"#, false),
            (r#"{"text":"hi","s\u0065nder":"alice"}"#, false),
            (r#"{"sender":{"name":"eve"}}"#, false),
            (r#"{"sender":null}"#, false),
        ] {
            eve.say(said);
            let may = is_own || !stage.has_tokens || says(&roles, "impersonate", None);
            let heard =
                if may { (vec![], vec![text(said)]) } else { (vec![text(refusal)], vec![]) };
            assert_eq!((eve.heard(), other.heard()), heard, "{roles:?}: {said}");
        }
    }
}
