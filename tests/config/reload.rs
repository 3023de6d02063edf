//! What SIGHUP makes of files that have changed: the decision, without a server.

use switchboard::cli::Auth;

use super::world::World;

const TOKENS: &str = r#"{"tokens":[{"token":"0123456789abcdef","user":"alice"}]}"#;
const LINE: &str = "--config a.toml";

#[test]
fn what_can_be_reloaded_is_and_the_rest_is_named() {
    let before = World::with_config("log = 'info'\nlisten = 1\nmax-frames = 5\nopen = false");
    let started = before.plan(LINE);
    let text = "log = 'debug'\nlisten = [1, 2]\nmax-frames = 6\nbroadcast = 'off'\n\
                admin = 3\ndata = '/d'\n\
                auth = 'tokens:t.json'\nmax-head = '16KiB'\norigin = 'https://a.b'";
    let after = World::with_config(text).file("t.json", TOKENS);
    let reloaded = after.reload(LINE, &started).expect("nothing is wrong");
    assert_eq!(reloaded.plan.log.to_string(), "debug");
    assert_eq!(reloaded.plan.access.auth, Auth::Tokens("t.json".into()));
    assert_eq!(reloaded.plan.access.origins, ["https://a.b"]);
    // As they were: the server has them.
    assert_eq!(reloaded.plan.listen, started.listen);
    assert_eq!((reloaded.plan.limits, reloaded.plan.admin), (started.limits, None));
    assert_eq!((reloaded.plan.broadcast, reloaded.plan.reach), (started.broadcast, started.reach));
    assert_eq!((reloaded.plan.data, reloaded.plan.durability), (None, started.durability));
    let beginnings = [
        "listen has changed from '1' to '1,2' (a.toml:2:11), which takes effect at the next start",
        "admin has changed from nothing to '3' (a.toml:5:9), which takes effect",
        "broadcast has changed from 'others' to 'off' (a.toml:4:13), which",
        "data has changed from nothing to '/d' (a.toml:6:8), which",
        "durability has changed from nothing to 'commit' (default), which",
        "max-frames has changed from '5' to '6' (a.toml:3:14), which",
    ];
    assert_eq!(reloaded.warnings.len(), beginnings.len(), "{:?}", reloaded.warnings);
    for (warning, wanted) in reloaded.warnings.iter().zip(beginnings) {
        assert!(warning.starts_with(wanted), "{warning}");
    }
}

#[test]
fn what_is_wrong_changes_nothing_and_is_named() {
    let started = World::with_config("log = 'info'").plan(LINE);
    for (text, wanted) in [
        ("log = 'debg'", "a.toml:1:7: log 'debg': not a level"),
        ("logg = 'info'", "a.toml:1:1: unknown setting 'logg': is it log?"),
        ("auth = 'tokens:t.json'", "t.json: no such file"),
        ("auth = 'tokens:b.json'", "b.json: "),
        ("policy = 'b.json'", "b.json: line 1: "),
        ("origin = 'https://'", "a.toml:1:10: origin: "),
        ("max-frames = 0", "a.toml:1:14: max-frames '0': out of range"),
    ] {
        let world = World::with_config(text).file("b.json", "{");
        let problems = world.reload(LINE, &started).expect_err(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(wanted), "{problems:?}");
    }
    let problems = World::new().reload(LINE, &started).expect_err("no file");
    assert_eq!(problems, ["--config 'a.toml': no such file"]);
}

/// At the start it was refused to be open to other machines without authentication; a moment
/// later it is no better.
#[test]
fn authentication_does_not_go_where_only_it_lets_others_reach_the_server() {
    let text = "auth = 'tokens:t.json'\nlisten = '0.0.0.0:80'";
    let with = World::with_config(text).file("t.json", TOKENS);
    let without = World::with_config("");
    let problems = without.reload(LINE, &with.plan(LINE)).expect_err("uncovered");
    assert!(problems[0].starts_with("auth: without it, 0.0.0.0:80 is open"), "{problems:?}");
    // `open` comes too late: what was said at the start counts.
    let opened = World::with_config("open = true");
    assert_eq!(opened.reload(LINE, &with.plan(LINE)).expect_err("uncovered"), problems);
    let open = with.variable("SWITCHBOARD_OPEN", "1");
    assert!(without.reload(LINE, &open.plan(LINE)).is_ok());
}
