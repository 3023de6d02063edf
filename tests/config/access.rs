//! Settings of access: what they mean, and what may not stand together; and what is not safe.

use std::path::PathBuf;

use switchboard::cli::Auth;
use switchboard::config::Reach;
use switchboard::net::ListenAddress;
use switchboard::relay::access::jwt::Algorithm;

use super::world::World;

#[test]
fn auth_is_read_in_every_form() {
    let jwt = |algorithm, key: Option<&str>| Auth::Jwt { algorithm, key: key.map(PathBuf::from) };
    let cases = [
        ("tokens:t.json", Auth::Tokens("t.json".into())),
        ("tokens:/a:b/t.json", Auth::Tokens("/a:b/t.json".into())),
        ("jwt:hs256:s", jwt(Algorithm::Hs256, Some("s"))),
        ("jwt:rs256:k.pem", jwt(Algorithm::Rs256, Some("k.pem"))),
        ("jwt:es256:k.pem", jwt(Algorithm::Es256, Some("k.pem"))),
        ("jwt:eddsa:k.pem", jwt(Algorithm::EdDsa, Some("k.pem"))),
    ];
    for (text, wanted) in cases {
        assert_eq!(World::new().plan(&format!("--auth {text}")).access.auth, wanted);
    }
    let world = World::new().variable("SWITCHBOARD_AUTH_SECRET", "s");
    assert_eq!(world.plan("--auth jwt:hs256").access.auth, jwt(Algorithm::Hs256, None));
    for url in ["http://127.0.0.1:9000/check", "http:unix:/run/app.sock:/check"] {
        let plan = World::new().plan(&format!("--auth {url} --origin https://a.example"));
        assert_eq!(plan.access.auth, Auth::Endpoint(url.to_owned()));
    }
}

/// A server is started from anywhere; its files lie where they lie.
#[test]
fn paths_in_the_file_are_relative_to_it_and_others_are_not() {
    let text = "auth = \"tokens:t.json\"\npolicy = \"p.json\"\nadmin-keys = \"/abs/k.json\"";
    let world = World::new().file("/etc/switchboard/a.toml", text);
    let plan = world.plan("--config /etc/switchboard/a.toml");
    assert_eq!(plan.access.auth, Auth::Tokens("/etc/switchboard/t.json".into()));
    assert_eq!(plan.access.policy, Some("/etc/switchboard/p.json".into()));
    assert_eq!(plan.keys.file, Some("/abs/k.json".into()));
    let plan = world.plan("--config /etc/switchboard/a.toml --policy q.json");
    assert_eq!(plan.access.policy, Some("q.json".into()));
}

#[test]
fn what_has_no_effect_or_lacks_something_is_refused() {
    for (line, wanted) in [
        ("--auth nonsense", "--auth 'nonsense': allowed: tokens:FILE, jwt:ALGORITHM:FILE"),
        ("--auth tokens:", "--auth 'tokens:': the file is missing"),
        ("--auth tokens", "--auth 'tokens': the file is missing"),
        ("--auth jwt:none:f", "--auth 'jwt:none:f': which algorithm? jwt:hs256"),
        ("--auth jwt", "--auth 'jwt': which algorithm?"),
        ("--auth jwt:rs256", "--auth 'jwt:rs256': the file of the public key is missing"),
        ("--auth https://a.example/", "--auth 'https://a.example/': the endpoint is asked without"),
        ("--auth jwt:hs256", "--auth jwt:hs256 needs a secret"),
        ("--auth-secret s", "--auth-secret is for --auth jwt:hs256 without a file"),
        ("--auth jwt:hs256:f --auth-secret s", "--auth-secret is for --auth jwt:hs256 without"),
        ("--auth tokens:t --auth-audience a", "--auth-audience is for --auth jwt:"),
        ("--auth-issuer a", "--auth-issuer is for --auth jwt:"),
        ("--auth-cookie a --origin https://a", "--auth-cookie is for --auth tokens:"),
        ("--auth tokens:t --auth-cookie a", "a browser sends cookies for every page"),
        ("--auth http://127.0.0.1:1/", "a browser sends cookies for every page"),
        ("--admin-keys f --admin-key k", "--admin-keys and --admin-key: only one"),
    ] {
        let refused = World::new().refused(line);
        assert_eq!(refused.len(), 1, "{line}: {refused:?}");
        assert!(refused[0].starts_with(wanted), "{line}: {refused:?}");
    }
}

#[test]
fn with_authentication_other_machines_may_reach_it() {
    let plan = World::new().plan("--auth tokens:t --listen 0.0.0.0:80");
    assert_eq!(plan.reach, Reach::Open);
    assert_eq!(World::new().plan("--auth tokens:t").reach, Reach::Loopback);
    let refused = World::new().refused("echo --listen 0.0.0.0:80");
    assert!(refused[0].contains("there is no authentication"), "{refused:?}");
    // `echo` asks nobody who he is, whatever a file says.
    let world = World::with_config("auth = \"tokens:t\"\nlisten = \"0.0.0.0:80\"");
    assert_eq!(world.plan("--config a.toml").reach, Reach::Open);
    assert!(world.refused("echo --config a.toml")[0].contains("there is no authentication"));
}

#[test]
fn sockets_of_the_file_system_are_of_this_machine() {
    let plan = World::new().plan("--listen unix:/run/s.sock --admin unix:/run/a.sock");
    assert_eq!(plan.listen, [ListenAddress::Unix("/run/s.sock".into())]);
    assert_eq!(plan.admin, Some(ListenAddress::Unix("/run/a.sock".into())));
    assert_eq!(plan.reach, Reach::Loopback);
}

#[test]
fn secrets_come_from_variables_and_files_and_are_shown_nowhere() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let line = "--auth jwt:hs256 --admin 0";
    let of_file = World::new()
        .file("/s", &format!("{SECRET}\r\n"))
        .variable("SWITCHBOARD_AUTH_SECRET_FILE", "/s")
        .variable("SWITCHBOARD_ADMIN_KEY_FILE", "/s");
    let of_variable = World::new()
        .variable("SWITCHBOARD_AUTH_SECRET", SECRET)
        .variable("SWITCHBOARD_ADMIN_KEY", SECRET);
    let of_config =
        World::with_config(&format!("auth-secret = '{SECRET}'\nadmin-key = '{SECRET}'"))
            .variable("SWITCHBOARD_CONFIG", "a.toml");
    for world in [of_file, of_variable, of_config] {
        let plan = world.plan(line);
        assert_eq!(plan.access.secret.as_ref().map(|secret| secret.reveal()), Some(SECRET));
        assert_eq!(plan.keys.key.as_ref().map(|secret| secret.reveal()), Some(SECRET));
        assert!(!format!("{plan:?}").contains(SECRET));
        assert!(!world.printed(&format!("{line} --print-config")).contains(SECRET));
        assert_eq!(plan.warnings, [] as [String; 0]);
    }
}

#[test]
fn a_secret_is_given_once_and_is_not_empty() {
    let world = World::new().file("/s", "\n").variable("SWITCHBOARD_AUTH_SECRET_FILE", "/s");
    let refused = world.refused("--auth jwt:hs256");
    assert_eq!(refused[0], "SWITCHBOARD_AUTH_SECRET_FILE '/s': is empty");
    let twice = world.variable("SWITCHBOARD_AUTH_SECRET", "s");
    let refused = twice.refused("--auth jwt:hs256");
    let wanted = "SWITCHBOARD_AUTH_SECRET and SWITCHBOARD_AUTH_SECRET_FILE: only one of them";
    assert!(refused[0].starts_with(wanted), "{refused:?}");
    // A flag goes before both, and nobody is asked what they hold.
    assert!(twice.run("--auth jwt:hs256 --auth-secret s").is_ok());
    let missing = World::new().variable("SWITCHBOARD_ADMIN_KEY_FILE", "/none");
    assert_eq!(missing.refused("")[0], "SWITCHBOARD_ADMIN_KEY_FILE '/none': no such file");
    let empty = World::new().variable("SWITCHBOARD_ADMIN_KEY_FILE", "");
    assert!(empty.refused("")[0].starts_with("SWITCHBOARD_ADMIN_KEY_FILE '': is empty"));
    // What is wrong with it is said without it.
    let refused = World::with_config("admin-key = ['k1', 'k2']").refused("--config a.toml");
    assert_eq!(refused, ["a.toml:1:13: admin-key is a string, not an array"]);
}

#[test]
fn what_is_not_safe_is_warned_of_once() {
    for (line, wanted) in [
        ("", "there is no authentication: user names are claims, not identities"),
        ("--open --listen 0.0.0.0:80", "there is no authentication, and other machines reach 0."),
        ("--admin 0.0.0.0:81 --admin-keys k", "the push API on 0.0.0.0:81 is reached by other"),
        ("--admin 81", "the push API has no keys"),
        ("--admin-keys k", "there are keys of the push API but no --admin"),
        ("--admin 81 --admin-key k", "--admin-key on the command line is shown to every user"),
        ("--auth jwt:hs256 --auth-secret s", "--auth-secret on the command line is shown"),
    ] {
        let auth = if wanted.contains("authentication") || line.contains("--auth") {
            ""
        } else {
            " --auth tokens:t"
        };
        let warnings = World::new().plan(&format!("{line}{auth}")).warnings;
        assert_eq!(warnings.len(), 1, "{line}: {warnings:?}");
        assert!(warnings[0].starts_with(wanted), "{line}: {warnings:?}");
    }
    let world =
        World::new().open_file("/s", "secret").variable("SWITCHBOARD_AUTH_SECRET_FILE", "/s");
    let warnings = world.plan("--auth jwt:hs256").warnings;
    assert_eq!(warnings, ["/s: every user here may read this secret"]);
    assert_eq!(
        World::new().plan("--auth tokens:t --admin unix:/a --admin-keys k").warnings,
        [] as [String; 0]
    );
}
