//! Policies: what is read, what is refused, and what roles add up to.

use super::*;

fn roles(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|&name| Box::from(name)).collect()
}

fn error(json: &str) -> String {
    Policy::parse(json).map(|_| ()).expect_err("not a policy").to_string()
}

/// The error for a policy with one role `r` of this text.
fn role_error(role: &str) -> String {
    let error = error(&format!("{{\"roles\":\n{{\"r\":{role}}}}}"));
    error.strip_prefix("line 2: roles.r").map(str::to_owned).unwrap_or(error)
}

#[test]
fn the_example_in_the_documentation_means_what_it_says() {
    let text = include_str!("../POLICY.md");
    let example = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
    let policy = Policy::parse(example.unwrap()).unwrap();
    let guest = policy.permissions(&roles(&[GUEST]));
    assert!(guest.allows(Action::Enter("/lobby")) && guest.allows(Action::Broadcast));
    assert!(guest.allows(Action::Send("support-1")) && !guest.allows(Action::Send("alice")));
    assert!(!guest.allows(Action::Enter("/staff")));
    let member = policy.permissions(&roles(&["member"]));
    assert!(member.allows(Action::Send("alice")) && member.allows(Action::Join("team-1")));
    assert!(!member.allows(Action::Join("staff")) && !member.allows(Action::Impersonate));
    assert_eq!(member.limits().messages.map(|rate| rate.burst), Some(40));
    let staff = policy.permissions(&roles(&["member", "staff"]));
    assert!(staff.allows(Action::Impersonate) && staff.allows(Action::Presence("alice")));
    assert_eq!(staff.limits().messages, None);
}

#[test]
fn nobody_is_refused_anything_but_another_name_where_no_policy_is() {
    let permissions = Policy::open().permissions(&[]);
    for action in every_action() {
        assert_eq!(permissions.allows(action), action != Action::Impersonate, "{action}");
    }
    assert_eq!(*permissions.limits(), RoleLimits::default());
    assert!(Policy::open().is_open() && Policy::default().is_open());
    assert!(!Policy::parse(r#"{"roles":{}}"#).unwrap().is_open());
}

#[test]
fn a_policy_without_roles_allows_nothing() {
    let permissions = Policy::parse(r#"{"roles":{}}"#).unwrap().permissions(&roles(&["a", "b"]));
    for action in every_action() {
        assert!(!permissions.allows(action), "{action}");
    }
}

#[test]
fn each_permission_allows_one_thing_and_nothing_else() {
    for right in RIGHTS {
        let star = if right.word().ends_with(':') { "*" } else { "" };
        let json = format!(r#"{{"roles":{{"r":{{"allow":["{}{star}"]}}}}}}"#, right.word());
        let permissions = Policy::parse(&json).unwrap().permissions(&roles(&["r"]));
        for action in every_action() {
            assert_eq!(permissions.allows(action), action.parts().0 == right, "{right:?} {action}");
        }
    }
}

#[test]
fn roles_add_up_and_everybody_has_the_star() {
    let policy = Policy::parse(
        r#"{"roles": {
            "*": {"allow": ["send:help"]},
            "a": {"allow": ["send:x-*", "join:g"], "limits": {"groups": 3}},
            "b": {"allow": ["send:y", "send:x-1"], "limits": {"groups": 2}}
        }}"#,
    )
    .unwrap();
    let may = |names: &[&str], user| policy.permissions(&roles(names)).allows(Action::Send(user));
    for names in [&[][..], &["a"], &["b"], &["a", "b"], &["stranger"], &["*"]] {
        assert!(may(names, "help"), "{names:?}");
        assert_eq!(may(names, "x-2"), names.contains(&"a"), "{names:?}");
        assert_eq!(may(names, "x-1"), names.contains(&"a") || names.contains(&"b"), "{names:?}");
        assert_eq!(may(names, "y"), names.contains(&"b"), "{names:?}");
        assert!(!may(names, "z"));
    }
    let groups = |names: &[&str]| policy.permissions(&roles(names)).limits().groups_max;
    assert_eq!(
        (groups(&[]), groups(&["a"]), groups(&["b"]), groups(&["b", "a"])),
        (None, Some(3), Some(2), Some(3))
    );
    assert_eq!(
        policy.permissions(&roles(&["a", "b"])),
        policy.permissions(&roles(&["b", "a", "b"]))
    );
}

#[test]
fn a_burst_belongs_to_the_rate_of_its_role() {
    let policy = r#"{"roles": {
        "*": {"limits": {"messages-per-second": 30}},
        "a": {"limits": {"messages-per-second": 10, "burst": 20, "bytes-per-second": 7}}
    }}"#;
    let limits = *Policy::parse(policy).unwrap().permissions(&roles(&["a"])).limits();
    let rate = |per_second, burst| Some(bucket::Rate { per_second, burst });
    assert_eq!((limits.messages, limits.bytes), (rate(30, 30), rate(7, 7)));
}

#[test]
fn what_is_not_understood_is_refused_with_its_place() {
    for (role, wanted) in [
        ("7", r#": expected an object with the keys "allow" and "limits""#),
        ("{\"alow\":[]}", r#".alow: unknown key "alow"; did you mean "allow"?"#),
        ("{\"deny\":[]}", r#".deny: unknown key "deny""#),
        ("{\"allow\":{}}", ".allow: expected a list of permissions"),
        ("{\"allow\":[7]}", r#".allow[0]: expected a permission, as "send:*""#),
        (
            r#"{"allow":["send:*","sned:bob"]}"#,
            r#".allow[1]: unknown permission "sned:bob"; did you mean "send:bob"?"#,
        ),
        (
            r#"{"allow":["send"]}"#,
            r#".allow[0]: unknown permission "send"; did you mean "send:*"?"#,
        ),
        (
            r#"{"allow":["broadcast:*"]}"#,
            r#".allow[0]: unknown permission "broadcast:*"; did you mean "broadcast"?"#,
        ),
        (
            r#"{"allow":["kick"]}"#,
            ".allow[0]: unknown permission \"kick\"; there are broadcast, group:*, impersonate, \
             join:*, members:*, presence:*, room:*, send:*",
        ),
        (r#"{"allow":["send:"]}"#, ".allow[0]: pattern is empty: `*` is for all names"),
        (r#"{"allow":["send:a*b"]}"#, ".allow[0]: pattern has a `*` that is not at its end"),
        (r#"{"allow":["send: bob"]}"#, ".allow[0]: name begins or ends with white space"),
        (r#"{"allow":["send: b*"]}"#, ".allow[0]: name begins or ends with white space"),
        (r#"{"allow":["join:a\u0000*"]}"#, ".allow[0]: name has a control or direction character"),
        (r#"{"allow":["room:chat"]}"#, ".allow[0]: a room is a URL path, which begins with `/`"),
        (r#"{"limits":[]}"#, ".limits: expected an object with a limit for each key"),
        (
            r#"{"limits":{"burts":1}}"#,
            r#".limits.burts: unknown key "burts"; did you mean "burst"?"#,
        ),
        (
            r#"{"limits":{"burst":1}}"#,
            r#".limits.burst: has no meaning without "messages-per-second" as a number"#,
        ),
        (
            r#"{"limits":{"burst-bytes":1,"bytes-per-second":"unlimited"}}"#,
            r#".limits.burst-bytes: has no meaning without "bytes-per-second" as a number"#,
        ),
        (r#"{"limits":{"message":0}}"#, ".limits.message: out of range: 1 to 1000000000000"),
        (
            r#"{"limits":{"message":99999999999999999999}}"#,
            ".limits.message: out of range: 1 to 1000000000000",
        ),
        (
            r#"{"limits":{"message":1.5}}"#,
            r#".limits.message: expected a whole number or "unlimited""#,
        ),
        (
            r#"{"limits":{"message":-1}}"#,
            r#".limits.message: expected a whole number or "unlimited""#,
        ),
        (
            r#"{"limits":{"message":"4k"}}"#,
            r#".limits.message: expected a whole number or "unlimited""#,
        ),
        (r#"{"allow":[],"allow":[]}"#, r#": key "allow" occurs twice"#),
        (r#"{"limits":{"message":1,"mess\u0061ge":1}}"#, r#".limits: key "message" occurs twice"#),
    ] {
        assert_eq!(role_error(role), wanted, "{role}");
    }
}

#[test]
fn a_text_that_is_no_policy_is_refused_with_its_line() {
    for (text, wanted) in [
        ("", "line 1: not JSON: EOF while parsing a value (column 0)"),
        ("{\n\"roles\": }", "line 2: not JSON: expected value (column 10)"),
        ("[]", r#"line 1: expected an object with the key "roles""#),
        ("{}", r#"line 1: expected the key "roles""#),
        ("{\n\n\"rules\":{}}", r#"line 3: rules: unknown key "rules"; did you mean "roles"?"#),
        (r#"{"roles":[]}"#, "line 1: roles: expected an object with a role for each key"),
        (r#"{"roles":{" a":{}}}"#, "line 1: roles. a: name begins or ends with white space"),
        (
            r#"{"roles":{"a\u001b[2J":{}}}"#,
            r"line 1: roles.a\u{1b}[2J: name has a control or direction character",
        ),
        (r#"{"roles":{"a":{},"a":{}}}"#, r#"line 1: roles: key "a" occurs twice"#),
        (
            "{\"roles\":{\"a\":{},\n\n\"b\":7}}",
            r#"line 3: roles.b: expected an object with the keys "allow" and "limits""#,
        ),
    ] {
        assert_eq!(error(text), wanted, "{text}");
    }
    let long = format!(r#"{{"roles":{{}}{}}}"#, " ".repeat(1 << 20));
    assert_eq!(error(&long), "line 1: text is longer than 1048576 bytes");
    let deep = format!(r#"{{"roles":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(error(&deep).starts_with("line 1: "));
}

fn every_action() -> [Action<'static>; 8] {
    [
        Action::Broadcast,
        Action::SendGroup("g"),
        Action::Impersonate,
        Action::Join("g"),
        Action::Members("g"),
        Action::Presence("bob"),
        Action::Enter("/chat"),
        Action::Send("bob"),
    ]
}

/// A policy is read on one thread and used on another.
#[test]
fn a_policy_may_change_threads() {
    fn moves<T: Send>(value: T) -> T {
        value
    }
    assert!(moves(Policy::open()).is_open());
}
