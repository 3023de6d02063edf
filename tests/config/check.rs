//! `check-config`, which is also what a start finds in the files.

use super::world::World;

const TOKENS: &str = r#"{"tokens":[{"token":"0123456789abcdef","user":"alice"}]}"#;
const POLICY: &str = r#"{"roles":{"*":{"allow":["send:*"]}}}"#;
const LINE: &str = "check-config --auth tokens:t.json --policy p.json";

#[test]
fn what_is_right_is_one_line_and_exit_code_0() {
    let world = World::new().file("t.json", TOKENS).file("p.json", POLICY);
    assert_eq!(world.printed(LINE), "the configuration is valid\n");
    let world = World::with_config("auth = 'tokens:t.json'").file("t.json", TOKENS);
    assert_eq!(world.printed("check-config --config a.toml"), "the configuration is valid\n");
}

/// They stand where somebody reads them before the start.
#[test]
fn warnings_are_printed_and_change_nothing_else() {
    let text = World::new().printed("check-config");
    let warning = "warning: there is no authentication: user names are claims, not identities\n";
    assert_eq!(text, format!("{warning}the configuration is valid\n"));

    let short = r#"{"tokens":[{"token":"short","user":"alice"}]}"#;
    let world = World::new().open_file("t.json", short).open_file("p.json", POLICY);
    let lines = "warning: t.json: every user here may read the tokens in it\n\
                 warning: t.json: tokens below 16 bytes, which might be guessed: 1\n\
                 the configuration is valid\n";
    assert_eq!(world.printed(LINE), lines);

    // Digests may be read by anybody.
    let digests = format!(r#"{{"tokens":[{{"sha256":"{}","user":"a"}}]}}"#, "ab".repeat(32));
    let world = World::new().open_file("t.json", &digests).file("p.json", POLICY);
    assert_eq!(world.printed(LINE), "the configuration is valid\n");
}

#[test]
fn every_mistake_in_settings_and_files_is_reported_at_once() {
    let world = World::with_config("max-mesage = 1\norigin = 'example.org'")
        .file("t.json", r#"{"tokens":[{"token":"0123456789abcdef"}]}"#)
        .file("p.json", "{\"roles\":{\n\"*\":{\"allow\":[\"sned:*\"]}}}");
    let refused = world.refused(&format!("{LINE} --config a.toml"));
    let beginnings = [
        "a.toml:1:1: unknown setting 'max-mesage': is it max-message?",
        "t.json: token 1: ",
        "a.toml:2:10: origin: \"example.org\" is no origin",
        "p.json: line 2: roles.*.allow[0]: unknown permission \"sned:*\"",
    ];
    assert_eq!(refused.len(), beginnings.len(), "{refused:?}");
    for (problem, wanted) in refused.iter().zip(beginnings) {
        assert!(problem.starts_with(wanted), "{problem}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let refused = World::new().refused(LINE);
    assert_eq!(refused, ["t.json: no such file", "p.json: no such file"]);
    let refused = World::new().refused("check-config --auth jwt:hs256:s --admin 1 --admin-keys k");
    assert_eq!(refused, ["s: no such file", "k: no such file"]);
}

#[test]
fn a_secret_that_is_too_short_is_refused_without_being_shown() {
    let world = World::new().file("s", "hunter2").variable("SWITCHBOARD_AUTH_SECRET", "hunter2");
    let of_file = world.refused("check-config --auth jwt:hs256:s --auth-issuer i")[0].clone();
    let without = World::new().file("s", "hunter2");
    let refused = without.refused("check-config --auth jwt:hs256:s");
    assert!(refused[0].starts_with("s: "), "{refused:?}");
    let refused = world.refused("check-config --auth jwt:hs256");
    assert!(refused[0].starts_with("SWITCHBOARD_AUTH_SECRET: "), "{refused:?}");
    assert!(!refused[0].contains("hunter2") && !of_file.contains("hunter2"), "{refused:?}");
}
