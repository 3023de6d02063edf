//! `--print-config`: what it prints is the configuration, and can be fed back.

use switchboard::cli::{Plan, SETTINGS};
use switchboard::config::LIMITS;

use super::world::World;

const SETTINGS_OF_ALL_KINDS: &str = r#"
listen = ["127.0.0.1:9000", "[::1]:9000", "unix:/run/a \"b\".sock"]
auth = "jwt:hs256"
auth-audience = "a\u0001b é"
auth-cookie = "session"
origin = ["https://a.example", "https://*.b.example"]
policy = "p.json"
admin = 9002
data = "data"
durability = "interval:2s"
max-message = "64KiB"
outbox-low = 0
log = "warn,a=off,a=trace"
"#;

/// A plan without what only says where it comes from.
fn meaning(mut plan: Plan) -> Plan {
    plan.settings.clear();
    plan.data = plan.data.map(|path| std::path::absolute(path).expect("a path"));
    plan.access.policy = plan.access.policy.map(|path| std::path::absolute(path).expect("a path"));
    plan
}

#[test]
fn what_is_printed_gives_the_same_configuration() {
    let here = World::with_config(SETTINGS_OF_ALL_KINDS)
        .variable("SWITCHBOARD_AUTH_SECRET", "the secret of them all")
        .variable("SWITCHBOARD_ADMIN_KEY", "another secret")
        .variable("RUST_LOG", "mio")
        .variable("SWITCHBOARD_PING_INTERVAL", "0");
    let lines = [
        "--config a.toml --max-frames 5",
        "--auth jwt:hs256",
        "echo",
        "echo --config a.toml --open",
    ];
    for line in lines {
        let text = here.printed(&format!("{line} --print-config"));
        let there = here.clone().file("b.toml", &text);
        let mode = if line.starts_with("echo") { "echo" } else { "serve" };
        let fed_back = there.plan(&format!("{mode} --config b.toml"));
        assert_eq!(meaning(fed_back), meaning(here.plan(line)), "{line}\n{text}");
        assert!(!text.contains("secret of them all") && !text.contains("another"), "{text}");
    }
}

#[test]
fn each_value_has_the_place_it_came_from_beside_it() {
    let world = World::with_config(SETTINGS_OF_ALL_KINDS)
        .file("/run/secrets/jwt", "the secret of them all\n")
        .variable("SWITCHBOARD_AUTH_SECRET_FILE", "/run/secrets/jwt")
        .variable("SWITCHBOARD_MAX_FRAMES", "5");
    let text = world.printed("--config a.toml --broadcast off --print-config");
    for wanted in [
        "# config = \"a.toml\"  # --config\n",
        "listen = [\"127.0.0.1:9000\", \"[::1]:9000\", ",
        ", \"unix:/run/a \\\"b\\\".sock\"]  # a.toml:2:11\n",
        "# auth-secret = \"***\"  # SWITCHBOARD_AUTH_SECRET_FILE (/run/secrets/jwt)\n",
        "# auth-issuer is not set\n",
        "open = false  # default\n",
        "max-message = \"64KiB\"  # a.toml:11:15\n",
        "max-frames = \"5\"  # SWITCHBOARD_MAX_FRAMES\n",
        "broadcast = \"off\"  # --broadcast\n",
        "/data\"  # a.toml:9:8\n",
        "durability = \"interval:2s\"  # a.toml:10:14\n",
        "log = \"warn,a=off,a=trace\"  # a.toml:13:7\n",
    ] {
        assert!(text.contains(wanted), "{wanted}\nis not in\n{text}");
    }
}

#[test]
fn every_setting_is_printed_once() {
    let text = World::new().printed("--print-config");
    let names = SETTINGS.iter().map(|setting| setting.name);
    for name in names.chain(LIMITS.iter().map(|limit| limit.flag)) {
        let lines = text.lines().map(|line| line.trim_start_matches("# "));
        let count = lines.filter(|line| line.split(' ').next() == Some(name)).count();
        assert_eq!(count, 1, "{name} in\n{text}");
    }
}

#[test]
fn a_mistake_is_reported_and_nothing_printed() {
    let refused = World::new().refused("--print-config --max-frames 0");
    assert!(refused[0].starts_with("--max-frames '0'"), "{refused:?}");
}
