//! The configuration file: what it may say, what it may not, and who goes before it.

use switchboard::cli::{Place, SETTINGS, Source};
use switchboard::config::{Broadcast, Durability, LIMITS, Reach};

use super::world::World;

#[test]
fn a_file_says_what_flags_say() {
    let world = World::with_config(
        r#"
        # comments are free
        listen = ["127.0.0.1:9000", "unix:/run/s.sock", 9001]
        admin = 9002
        data = "/var/lib/switchboard"
        durability = "interval:90ms"
        open = false
        broadcast = "off"
        max-message = "64KiB"
        max-frames = 1_000
        outbox-high = 0x10_0000
        ping-interval = 25
        ping-timeout = "500ms"
        deflate = "takeover"
        log = "warn,switchboard=debug"
        "#,
    );
    let line = "--listen 127.0.0.1:9000 --listen unix:/run/s.sock --listen 9001 --admin 9002 \
                --data /var/lib/switchboard --durability interval:90ms \
                --broadcast off --max-message 64KiB --max-frames 1000 --outbox-high 1048576 \
                --ping-interval 25 --ping-timeout 500ms --deflate takeover \
                --log warn,switchboard=debug";
    let (mut plan, mut typed) = (world.plan("--config a.toml"), World::new().plan(line));
    assert_eq!(plan.limits.ping_interval_ms, 25_000);
    assert_eq!(plan.broadcast, Broadcast::Off);
    assert_eq!(plan.durability, Durability::Interval { ms: 90 });
    (plan.settings, typed.settings) = (Vec::new(), Vec::new());
    assert_eq!(plan, typed);
}

#[test]
fn the_environment_names_the_file_too() {
    let world = World::with_config("max-message = 1000").variable("SWITCHBOARD_CONFIG", "a.toml");
    assert_eq!(world.plan("").limits.message_max_bytes, 1_000);
    assert_eq!(world.plan("echo").limits.message_max_bytes, 1_000);
    let world = world.file("b.toml", "max-message = 2000");
    assert_eq!(world.plan("--config b.toml").limits.message_max_bytes, 2_000);
    let missing = World::new().variable("SWITCHBOARD_CONFIG", "none.toml");
    assert_eq!(missing.refused(""), ["SWITCHBOARD_CONFIG 'none.toml': no such file"]);
}

/// Every setting has the same rank: flag, variable, file, default.
#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    for limit in LIMITS {
        let name = limit.flag;
        // Three values that contradict no other limit's default.
        let from = match name {
            "outbox-high" | "outbox-total" => 1 << 29,
            _ => limit.min,
        };
        let values = [from + 2, from + 1, from].map(|value| limit.show(value.min(limit.max)));
        let [of_flag, of_env, of_file] = values;
        let file = World::with_config(&format!("{name} = \"{of_file}\""));
        let value = |world: &World, line: &str| {
            let plan = world.plan(&format!("{line} --config a.toml"));
            let effective = plan.settings.iter().find(|setting| setting.name == name);
            let effective = effective.expect("every limit is a setting");
            (limit.show(limit.value(&plan.limits)), effective.source.clone())
        };
        let place = Place { path: "a.toml".into(), line: 1, column: name.len() + 4 };
        assert_eq!(value(&file, ""), (of_file, Source::File(place)));
        let both = file.variable(limit.env, &of_env);
        let source = Source::Environment(limit.env.to_owned());
        assert_eq!(value(&both, ""), (of_env, source));
        let typed = format!("--{name} {of_flag}");
        assert_eq!(value(&both, &typed), (of_flag, Source::Flag(name)));
    }
}

#[test]
fn a_value_that_is_not_used_is_not_judged() {
    let world = World::with_config("max-message = \"nonsense\"\nbroadcast = \"nobody\"");
    let plan = world.plan("--config a.toml --max-message 2k --broadcast all");
    assert_eq!((plan.limits.message_max_bytes, plan.broadcast), (2_048, Broadcast::All));
    // `echo` has no use for one of them.
    assert_eq!(world.plan("echo --config a.toml --max-message 2k").limits.message_max_bytes, 2_048);
}

#[test]
fn open_is_a_decision_of_any_of_the_three() {
    let world = World::with_config("listen = \"0.0.0.0:80\"\nopen = true");
    assert_eq!(world.plan("--config a.toml").reach, Reach::Open);
    let closed = world.variable("SWITCHBOARD_OPEN", "no");
    let refused = closed.refused("--config a.toml");
    assert!(
        refused[0].starts_with("a.toml:1:10: listen '0.0.0.0:80': other machines"),
        "{refused:?}"
    );
    assert_eq!(closed.plan("--config a.toml --open").reach, Reach::Open);
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_place() {
    for (text, wanted) in WRONG {
        let refused = World::with_config(text).refused("--config a.toml");
        assert_eq!(refused.len(), 1, "{text}: {refused:?}");
        assert!(refused[0].starts_with(wanted), "{text}\nwanted: {wanted}\nsaid: {}", refused[0]);
    }
}

#[rustfmt::skip]
const WRONG: &[(&str, &str)] = &[
    // Names.
    ("max-mesage = 1", "a.toml:1:1: unknown setting 'max-mesage': is it max-message?"),
    ("max_message = 1", "a.toml:1:1: unknown setting 'max_message': is it max-message?"),
    ("\n\n  colour = 1", "a.toml:3:3: unknown setting 'colour'"),
    ("\"\\u001b[2J\" = 1", "a.toml:1:1: unknown setting '\\u{1b}[2J'"),
    ("config = \"b.toml\"", "a.toml:1:1: a configuration file cannot name another one"),
    ("print-config = true", "a.toml:1:1: unknown setting 'print-config'"),
    ("[echo]\nmax-message = 1", "a.toml:1:2: unknown section 'echo': the file is a flat list"),
    ("max-message = 1\nmax-message = 2", "a.toml:2:1: duplicate key"),
    // Types.
    ("max-message = true",
     "a.toml:1:15: max-message is a number, or a string with a unit, not a bool"),
    ("max-message = 1.5",
     "a.toml:1:15: max-message is a number, or a string with a unit, not a float"),
    ("max-frames = [1]", "a.toml:1:14: max-frames is a number, not an array"),
    ("max-message.a = 1",
     "a.toml:1:1: max-message is a number, or a string with a unit, not a table"),
    ("ping-interval = 1979-05-27",
     "a.toml:1:17: ping-interval is a number, or a string with a unit"),
    ("open = 1", "a.toml:1:8: open is true or false, not an integer"),
    ("open = [true]", "a.toml:1:8: open is true or false, not an array"),
    ("broadcast = true", "a.toml:1:13: broadcast is a string, not a bool"),
    ("deflate = 1", "a.toml:1:11: deflate is a string, not an integer"),
    ("policy = 5", "a.toml:1:10: policy is a string, not an integer"),
    ("listen = [true]", "a.toml:1:11: listen is a string or an array of strings, not a bool"),
    ("listen = [[1]]", "a.toml:1:11: listen is a string or an array of strings, not an array"),
    ("origin = 1", "a.toml:1:10: origin is a string or an array of strings, not an integer"),
    ("log = {}", "a.toml:1:7: log is a string, not a table"),
    // Values.
    ("listen = []", "a.toml:1:10: listen is empty"),
    ("log = \"\"", "a.toml:1:7: log is empty"),
    ("log = \"debg\"", "a.toml:1:7: log 'debg': not a level"),
    ("open = \"maybe\"", "a.toml:1:8: open 'maybe': allowed: 1, true, yes or on"),
    ("listen = [\n  \"1\",\n  \"x:y\"]", "a.toml:3:3: listen 'x:y': not an address"),
    ("listen = [1, 1]", "a.toml:1:14: listen '1': this address is given twice"),
    ("listen = 65536", "a.toml:1:10: listen '65536': a port is a number from 0"),
    ("admin = \"unix:a.sock\"",
     "a.toml:1:9: admin 'unix:a.sock': the path of a socket begins with"),
    ("listen = \"1,2\"", "a.toml:1:10: listen '1,2': not an address"),
    ("max-message = \"5x\"", "a.toml:1:15: max-message '5x': not a number of bytes"),
    ("max-message = -5", "a.toml:1:15: max-message '-5': not a number of bytes"),
    ("max-message = 0", "a.toml:1:15: max-message '0': out of range: 1 to 1GiB"),
    ("max-frames = 99999999999999999999999999", "a.toml:1:14: max-frames '9999999999999999999999"),
    ("data = 'd'\ndurability = 'none'", "a.toml:2:14: durability 'none': allowed: commit; inter"),
    ("durability = 'commit'", "--durability is for what --data keeps, and has no effect here"),
    ("broadcast = \"none\"", "a.toml:1:13: broadcast 'none': allowed: others, all, off"),
    ("outbox-low = \"1MiB\"",
     "a.toml:1:14: outbox-low (1MiB) must be below --outbox-high (default 1MiB)"),
    // What is not TOML.
    ("max-message", "a.toml:1:12: "),
    ("max-message = ", "a.toml:1:15: "),
    ("open = yes", "a.toml:1:8: "),
    ("log = \"info", "a.toml:1:12: "),
];

#[test]
fn every_mistake_is_reported_at_once() {
    let text = "max-mesage = 1\nmax-frames = 0\nlog = \"debg\"\nopen = 3";
    let world = World::with_config(text).variable("SWITCHBOARD_BROADCAST", "none");
    let refused = world.refused("--config a.toml --ping-timeout soon");
    let beginnings = [
        "a.toml:1:1: unknown setting",
        "a.toml:4:8: open is true",
        "SWITCHBOARD_BROADCAST 'none'",
        "a.toml:2:14: max-frames '0'",
        "--ping-timeout 'soon'",
        "a.toml:3:7: log 'debg'",
    ];
    assert_eq!(refused.len(), beginnings.len(), "{refused:?}");
    for (problem, wanted) in refused.iter().zip(beginnings) {
        assert!(problem.starts_with(wanted), "{problem}");
    }
}

/// The columns are characters, as an editor counts them.
#[test]
fn places_are_counted_in_characters_and_in_any_kind_of_line() {
    let world = World::with_config("# é你\r\n\"broadcast\" = \"é\"");
    assert!(world.refused("--config a.toml")[0].starts_with("a.toml:2:15: broadcast 'é'"));
}

#[test]
fn every_name_of_the_table_is_a_key_of_the_file() {
    for setting in SETTINGS.iter().filter(|setting| setting.name != "config") {
        let refused = World::with_config(&format!("{} = {{}}", setting.name));
        let problem = &refused.refused("--config a.toml")[0];
        assert!(problem.contains(&format!("{} is ", setting.name)), "{problem}");
    }
    for limit in LIMITS {
        let refused = World::with_config(&format!("{} = {{}}", limit.flag));
        let problem = &refused.refused("--config a.toml")[0];
        assert!(problem.contains(&format!("{} is a", limit.flag)), "{problem}");
    }
}

#[test]
fn a_deep_or_long_file_ends_in_an_answer() {
    let deep = format!("log = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let refused = World::with_config(&deep).refused("--config a.toml");
    assert!(refused.iter().all(|problem| problem.len() < 300), "{refused:?}");
    let long = "x".repeat(1_000_000);
    let refused = World::with_config(&format!("{long} = 1")).refused("--config a.toml");
    assert!(refused[0].len() < 200, "{refused:?}");
}
