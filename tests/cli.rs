//! The command line: every flag, variable and refusal by table, and the process around it.
#![cfg(feature = "cli")]

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use switchboard::cli::{
    self, AccessPlan, Exit, KeysPlan, Mode, Plan, SETTINGS, Scope, Source, Stream, Surroundings,
    Task,
};
use switchboard::config::{Broadcast, LIMITS, Limit, Limits, Reach, Unit};
use switchboard::logger::{BareTarget, Filter};
use switchboard::net::ListenAddress;

/// What `plan` says to a command line, written as one would type it, and to an environment.
fn plan(line: &str, env: &[(&str, &str)]) -> Result<Plan, Exit> {
    let args = std::iter::once("switchboard").chain(line.split_whitespace());
    // The one thing that cannot be typed with spaces between the words.
    let args = args.map(|arg| OsString::from(if arg == "''" { "" } else { arg }));
    let env: HashMap<&str, &str> = env.iter().copied().collect();
    let env = |name: &str| env.get(name).map(OsString::from);
    let around = Surroundings { env: &env, ..Surroundings::empty() };
    cli::plan(args, around).map(|task| match task {
        Task::Serve(plan) => *plan,
        task => panic!("{line} is no server: {task:?}"),
    })
}

fn planned(line: &str, env: &[(&str, &str)]) -> Plan {
    plan(line, env).unwrap_or_else(|exit| panic!("{line} {env:?}: {}", exit.text))
}

fn refused(line: &str, env: &[(&str, &str)]) -> String {
    let exit = plan(line, env).expect_err(line);
    assert_eq!((exit.code, exit.stream), (2, Stream::Stderr), "{line}: {}", exit.text);
    exit.text
}

#[test]
fn without_arguments_it_is_the_relay_on_loopback() {
    let plan = planned("", &[]);
    assert_eq!(plan.mode, Mode::Serve);
    assert_eq!(plan.listen, [ListenAddress::Tcp("127.0.0.1:8080".parse().unwrap())]);
    assert_eq!((plan.limits, plan.reach), (Limits::relay(), Reach::Loopback));
    assert_eq!((plan.broadcast, &plan.log), (Broadcast::Others, &Filter::default()));
    assert_eq!((plan.admin, plan.keys), (None, KeysPlan::default()));
    assert_eq!(plan.access, AccessPlan::default());
    let warning = "there is no authentication: user names are claims, not identities";
    assert_eq!(plan.warnings, [warning]);
    assert!(plan.settings.iter().all(|setting| setting.source == Source::Default));
    assert_eq!(planned("serve", &[]), planned("", &[]));
    let echo = planned("echo", &[]);
    assert_eq!((echo.mode, echo.limits, echo.reach), (Mode::Echo, Limits::echo(), plan.reach));
    assert_eq!(echo.listen, plan.listen);
}

#[test]
fn listen_is_repeatable_and_takes_every_form() {
    let listens = |line, env: &[(&str, &str)]| -> Vec<String> {
        planned(line, env).listen.iter().map(ToString::to_string).collect()
    };
    assert_eq!(listens("--listen 127.0.0.1:9000", NONE), ["127.0.0.1:9000"]);
    let both = ["127.0.0.1:9000", "[::1]:9000"];
    assert_eq!(listens("serve --listen=9000 --listen [::1]:9000", NONE), both);
    assert_eq!(listens("", &[("SWITCHBOARD_LISTEN", "9000, [::1]:9000")]), both);
    assert_eq!(listens("echo --listen localhost:0", NONE), ["127.0.0.1:0"]);
    assert_eq!(listens("--listen 0 --listen 0", NONE), ["127.0.0.1:0", "127.0.0.1:0"]);
    assert_eq!(listens("--open --listen 0.0.0.0:80", NONE), ["0.0.0.0:80"]);
    assert_eq!(listens("echo --listen [::]:80", &[("SWITCHBOARD_OPEN", "yes")]), ["[::]:80"]);
    assert_eq!(listens("--listen 1", &[("SWITCHBOARD_LISTEN", "2")]), ["127.0.0.1:1"]);
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_default() {
    let env = [("SWITCHBOARD_MAX_MESSAGE", "2k"), ("SWITCHBOARD_BROADCAST", "off")];
    assert_eq!(planned("", &env).limits.message_max_bytes, 2_048);
    assert_eq!(planned("", &env).broadcast, Broadcast::Off);
    assert_eq!(planned("echo", &env).limits.message_max_bytes, 2_048);
    let line = "serve --max-message 3k --broadcast all";
    assert_eq!(planned(line, &env).limits.message_max_bytes, 3_072);
    assert_eq!(planned(line, &env).broadcast, Broadcast::All);
    // A variable that is not used is not judged.
    let bad = [("SWITCHBOARD_MAX_MESSAGE", "nonsense")];
    assert_eq!(planned("--max-message 3k", &bad).limits.message_max_bytes, 3_072);
}

#[test]
fn open_is_a_decision() {
    let open = |value| [("SWITCHBOARD_OPEN", value)];
    assert_eq!(planned("--open", &[]).reach, Reach::Open);
    for value in ["1", "true", "YES", "on"] {
        assert_eq!(planned("", &open(value)).reach, Reach::Open, "{value}");
    }
    for value in ["0", "false", "No", "off"] {
        assert_eq!(planned("", &open(value)).reach, Reach::Loopback, "{value}");
        assert_eq!(planned("--open", &open(value)).reach, Reach::Open, "{value}");
    }
}

#[test]
fn the_log_filter_comes_from_three_places() {
    let filter = |text| Filter::parse(text, BareTarget::Refused).unwrap();
    let (ours, rust) = (("SWITCHBOARD_LOG", "warn,mio=off"), ("RUST_LOG", "trace"));
    assert_eq!(planned("--log switchboard=debug", &[ours, rust]).log, filter("switchboard=debug"));
    assert_eq!(planned("echo", &[ours, rust]).log, filter("warn,mio=off"));
    assert_eq!(planned("", &[rust]).log, filter("trace"));
    // Another program's variable: a bare target means all of it, and being empty means nothing.
    assert_eq!(planned("", &[("RUST_LOG", "switchboard")]).log, filter("switchboard=trace"));
    assert_eq!(planned("", &[("RUST_LOG", "")]).log, Filter::default());
}

/// It is set for all programs of a machine, and written for one that reads more than levels.
#[test]
fn a_rust_log_that_cannot_be_read_is_ignored_with_a_warning() {
    for (value, wanted) in [
        ("foo=bar", "RUST_LOG 'foo=bar' is ignored: not a level: off, error"),
        ("a[b]=info", "RUST_LOG 'a[b]=info' is ignored: not a filter"),
    ] {
        for line in ["", "serve", "echo"] {
            let plan = planned(line, &[("RUST_LOG", value)]);
            assert_eq!(plan.log, Filter::default(), "{line}");
            let of_log: Vec<_> =
                plan.warnings.iter().filter(|warning| warning.starts_with("RUST_LOG")).collect();
            assert_eq!(of_log.len(), 1, "{line}");
            assert!(of_log[0].starts_with(wanted), "{of_log:?}");
        }
        // Not read, so not judged.
        assert_eq!(planned("echo --log warn", &[("RUST_LOG", value)]).warnings, NO_WARNINGS);
    }
    assert_eq!(planned("echo", &[("RUST_LOG", "foo=info")]).warnings, NO_WARNINGS);
}

const NO_WARNINGS: [String; 0] = [];

#[test]
fn a_word_that_is_like_no_other_is_not_answered_with_a_guess() {
    for line in ["--nope", "echo --nope", "--quiet"] {
        let text = refused(line, &[]);
        let word = line.split(' ').next_back().unwrap();
        assert!(text.contains(&format!("unexpected argument '{word}' found")), "{text}");
        assert!(!text.contains("similar"), "{text}");
    }
    for (line, wanted) in [("--opem", "--open"), ("echo --lsten 1", "--listen")] {
        let wanted = format!("a similar argument exists: '{wanted}'");
        assert!(refused(line, &[]).contains(&wanted), "{line}");
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_name_and_what_is_allowed() {
    for Refusal(line, env, fragment) in REFUSED {
        let text = refused(line, env);
        assert!(text.contains(fragment), "{line} {env:?}\nwanted: {fragment}\nsaid: {text}");
        assert!(text.contains("try '--help'"), "{line}: {text}");
    }
}

/// A command line and an environment that are refused, and what the text has to contain.
struct Refusal(&'static str, &'static [(&'static str, &'static str)], &'static str);

const NONE: &[(&str, &str)] = &[];

const REFUSED: &[Refusal] = &[
    // Unknown words, with the nearest match.
    Refusal("--max-mesage 5", NONE, "a similar argument exists: '--max-message'"),
    Refusal("srve", NONE, "a similar subcommand exists: 'serve'"),
    Refusal("echo --broadcast all", NONE, "unexpected argument '--broadcast'"),
    Refusal("serve 8080", NONE, "unexpected argument '8080'"),
    Refusal("--listen 1 echo", NONE, "'echo' cannot be used with '--listen <ADDR>'"),
    Refusal("--max-message", NONE, "a value is required for '--max-message <BYTES>'"),
    Refusal("--max-message 1k --max-message 2k", NONE, "cannot be used multiple times"),
    Refusal("--open=yes", NONE, "unexpected value 'yes' for '--open'"),
    // Values that are none.
    Refusal("--max-message 5x", NONE, "--max-message '5x': not a number of bytes such as 65536"),
    Refusal("--max-message -5", NONE, "--max-message '-5': not a number of bytes"),
    Refusal("--max-message ''", NONE, "--max-message '': is empty"),
    Refusal("--ping-interval 1.5s", NONE, "--ping-interval '1.5s': not a time such as 500ms"),
    Refusal("--max-headers 5k", NONE, "--max-headers '5k': not a plain number such as 100"),
    Refusal("--max-message 2g", NONE, "--max-message '2g': out of range: 1 to 1GiB"),
    Refusal("--ping-interval 1ms", NONE, "'1ms': out of range: 10ms to 1d, or 0 (off)"),
    Refusal("--ping-timeout 0", NONE, "--ping-timeout '0': out of range: 10ms to 1d"),
    Refusal("", &[("SWITCHBOARD_MAX_MESSAGE", "0")], "SWITCHBOARD_MAX_MESSAGE '0': out of range"),
    Refusal("echo", &[("SWITCHBOARD_MAX_FRAMES", "")], "SWITCHBOARD_MAX_FRAMES '': is empty"),
    Refusal("", &[("SWITCHBOARD_LOG", "")], "SWITCHBOARD_LOG '': is empty"),
    Refusal("", &[("SWITCHBOARD_LISTEN", "")], "SWITCHBOARD_LISTEN '': is empty"),
    Refusal("", &[("SWITCHBOARD_OPEN", "maybe")], "SWITCHBOARD_OPEN 'maybe': allowed: 1, true"),
    Refusal("", &[("SWITCHBOARD_BROADCAST", "none")], "'none': allowed: others, all, off"),
    Refusal("--broadcast Others", NONE, "--broadcast 'Others': allowed: others, all, off"),
    // Logging.
    Refusal("--log debg", NONE, "--log 'debg': not a level: off, error, warn"),
    Refusal("--log a=b", NONE, "--log 'a=b': not a level"),
    Refusal("--log =debug", NONE, "--log '=debug': not a filter"),
    Refusal("", &[("SWITCHBOARD_LOG", "a[b]=info")], "SWITCHBOARD_LOG 'a[b]=info': not a filter"),
    // Addresses.
    Refusal("--listen :8080", NONE, "--listen ':8080': on which address?"),
    Refusal("--listen 127.0.0.1", NONE, "--listen '127.0.0.1': the port is missing"),
    Refusal(
        "echo --listen [::ffff:127.0.0.1]:0",
        NONE,
        "'[::ffff:127.0.0.1]:0': an IPv4 address written as IPv6: write 127.0.0.1:0",
    ),
    Refusal("--listen example.org:80", NONE, "other names are not looked up"),
    Refusal("--listen 65536", NONE, "--listen '65536': a port is a number from 0"),
    Refusal(
        "--listen 80 --listen 127.0.0.1:80",
        NONE,
        "'127.0.0.1:80': this address is given twice",
    ),
    Refusal("", &[("SWITCHBOARD_LISTEN", "1,,2")], "SWITCHBOARD_LISTEN '': not an address"),
    Refusal("--listen 0.0.0.0:80", NONE, "Add --auth, or --open (SWITCHBOARD_OPEN=1)"),
    Refusal("echo --listen [::]:80", NONE, "or --open"),
    Refusal("--listen 1 --listen 10.0.0.1:80", NONE, "--listen '10.0.0.1:80': other machines"),
    Refusal(
        "",
        &[("SWITCHBOARD_LISTEN", "1,10.0.0.1:80")],
        "SWITCHBOARD_LISTEN '10.0.0.1:80': other",
    ),
    // Limits that contradict each other, each with the place it came from.
    Refusal(
        "--outbox-high 64k",
        &[("SWITCHBOARD_OUTBOX_LOW", "64k")],
        "SWITCHBOARD_OUTBOX_LOW (64KiB) must be below --outbox-high (64KiB)",
    ),
    Refusal(
        "echo --outbox-total 8m",
        NONE,
        "--max-message (default 16MiB) must not be above --outbox-total (8MiB)",
    ),
];

#[test]
fn a_value_is_shown_escaped_and_cut() {
    let odd = "\x1b[2J\n".to_owned() + &"x".repeat(100_000);
    let text = refused("", &[("SWITCHBOARD_MAX_MESSAGE", &odd)]);
    assert!(text.contains(r"'\u{1b}[2J\nxxx") && text.contains("x...'"), "{text}");
    assert!(text.len() < 400, "{}", text.len());
}

#[cfg(unix)]
#[test]
fn what_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = || OsString::from_vec(b"64\xFFk".to_vec());
    let args = ["switchboard".into(), "--max-message".into(), bytes()];
    let exit = cli::plan(args.into_iter(), Surroundings::empty()).expect_err("not UTF-8");
    assert!(exit.text.contains("--max-message '64\u{FFFD}k': not UTF-8"), "{}", exit.text);
    let env = |name: &str| (name == "SWITCHBOARD_LISTEN").then(bytes);
    let around = Surroundings { env: &env, ..Surroundings::empty() };
    let exit = cli::plan(["switchboard".into()].into_iter(), around).expect_err("not UTF-8");
    assert!(exit.text.contains("SWITCHBOARD_LISTEN"), "{}", exit.text);
    assert_eq!(exit.code, 2);
}

/// What else has to be given so that a limit at the end of its range contradicts no other.
fn companions(limit: &Limit, value: u64) -> &'static str {
    match limit.flag {
        "outbox-high" if value < limit.relay => "--outbox-low 0",
        "outbox-low" if value > limit.relay => "--outbox-high 1g",
        "outbox-total" => "--outbox-high 64k --outbox-low 0 --max-message 64k",
        _ => "",
    }
}

#[test]
fn every_limit_ends_where_its_range_does() {
    for limit in LIMITS {
        // A bare number is seconds, so times are written with their unit.
        let written = |value: u64| limit.show(value);
        for value in [limit.min, limit.min + 1, limit.max - 1, limit.max] {
            if value == 0 && limit.zero.is_some() || !limit.allows(value) {
                continue;
            }
            let companions = companions(limit, value);
            for mode in ["serve", "echo"] {
                let line = format!("{mode} --{} {} {companions}", limit.flag, written(value));
                assert_eq!(limit.value(&planned(&line, &[]).limits), value, "{line}");
                let (line, text) = (format!("{mode} {companions}"), written(value));
                let limits = planned(&line, &[(limit.env, &text)]).limits;
                assert_eq!(limit.value(&limits), value, "{line} {text}");
            }
        }
        let below = limit.min.checked_sub(1).filter(|value| *value > 0 || limit.zero.is_none());
        for value in below.into_iter().chain([limit.max + 1, u64::MAX]) {
            let text = written(value);
            let wanted = format!("'{text}': out of range: {}", limit.range());
            if limit.unit == Unit::Mode {
                continue; // words, and there is none for it
            }
            let said = refused(&format!("--{} {text}", limit.flag), &[]);
            assert!(said.contains(&format!("--{} {wanted}", limit.flag)), "{said}");
            let said = refused("echo", &[(limit.env, &text)]);
            assert!(said.contains(&format!("{} {wanted}", limit.env)), "{said}");
        }
        if limit.zero.is_some() {
            let line = format!("--{} 0", limit.flag);
            assert_eq!(limit.value(&planned(&line, &[]).limits), 0, "{line}");
        }
    }
}

#[test]
fn help_names_every_limit_with_default_range_and_variable() {
    for (line, is_echo) in [("--help", false), ("serve --help", false), ("echo -h", true)] {
        let exit = plan(line, &[]).expect_err("help");
        assert_eq!((exit.code, exit.stream), (0, Stream::Stdout), "{line}");
        for limit in LIMITS {
            let flag = format!("--{} <{}>", limit.flag, limit.unit.placeholder());
            let entry = exit.text.split_once(&flag).map(|(_, rest)| rest).expect(&flag);
            let default = if is_echo { limit.echo } else { limit.relay };
            let end = entry.find("[env: ").and_then(|at| Some(at + entry[at..].find(']')? + 1));
            let entry = &entry[..end.expect("a variable")];
            let default = format!("[default: {}]", limit.describe(default));
            let env = format!("[env: {}]", limit.env);
            let range = format!("[allowed: {}]", limit.range());
            for wanted in [limit.reason, &default, &env, &range] {
                assert!(entry.contains(wanted), "{line}: {wanted} is not in {entry}");
            }
        }
        let of_relay = ["Access:", "Push API:"].iter().filter(|_| !is_echo);
        let first = ["Configuration:", "Listening:"].iter().chain(of_relay);
        let last = ["Relay:", "Messages:", "Deadlines:", "Memory:", "Logging:"];
        let headings = first.chain(&last);
        let places: Vec<_> = headings.map(|heading| exit.text.find(heading)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{line}: {places:?}");
        for wanted in ["--listen <ADDR>", "--open", "--log <FILTER>", "Values:", "Exit codes:"] {
            assert!(exit.text.contains(wanted), "{line}: {wanted}");
        }
        for setting in SETTINGS {
            let is_there = exit.text.contains(&format!("--{} ", setting.name))
                || exit.text.contains(&format!("--{}\n", setting.name));
            let is_for_it = !is_echo || setting.scope == Scope::Both;
            assert!(is_there == is_for_it, "{line}: {}", setting.name);
            assert!(!is_for_it || exit.text.contains(&format!("[env: {}", setting.env)));
        }
        let widest = exit.text.lines().map(str::len).max();
        assert!(widest <= Some(110), "{line}: {widest:?} columns");
    }
    let top = plan("help", &[]).expect_err("help").text;
    assert!(top.contains("Examples:") && top.contains("\n  serve\n") && top.contains("\n  echo\n"));
}

#[test]
fn version_is_the_same_at_every_level() {
    for line in ["--version", "-V", "serve --version", "echo -V"] {
        let exit = plan(line, &[]).expect_err("version");
        let wanted = format!("switchboard {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((exit.code, exit.stream, exit.text), (0, Stream::Stdout, wanted), "{line}");
    }
}

#[test]
fn the_greeting_says_where_it_listens_and_what_to_open() {
    let version = env!("CARGO_PKG_VERSION");
    let tcp = |text: &str| ListenAddress::Tcp(text.parse().unwrap());
    let unix = |text: &str| ListenAddress::Unix(text.into());
    let public = [unix("/run/s.sock"), tcp("0.0.0.0:41234"), tcp("[::1]:8080")];
    let admin = [tcp("127.0.0.1:8081")];
    let lines = format!(
        "switchboard {version} listening on unix:/run/s.sock\n\
         switchboard {version} listening on ws://0.0.0.0:41234\n\
         switchboard {version} listening on ws://[::1]:8080\n\
         switchboard {version} push API on http://127.0.0.1:8081\n"
    );
    let kept = "  messages are kept in memory only; --data DIR keeps them on disk\n";
    let end = "  up to 960 connections at once\n";
    let page = "  open http://127.0.0.1:41234/ in two windows\n";
    let greeting = |line| cli::greeting(&planned(line, &[]), &public, &admin, 960);
    assert_eq!(greeting(""), format!("{lines}{page}{kept}{end}"));
    let kept_in = |line, how| {
        let greeting = greeting(line);
        assert!(greeting.contains(&format!("  messages are kept in {how}\n")), "{greeting}");
    };
    if cfg!(feature = "durable") {
        kept_in("--data /var/a", "/var/a, each commit synced");
        kept_in("--data /a --durability interval:500ms", "/a, synced by interval:500ms");
    }
    // The page has no credentials.
    assert_eq!(greeting("--auth tokens:t"), format!("{lines}{kept}{end}"));
    assert_eq!(
        cli::greeting(&planned("", &[]), &public[..1], &[unix("/a")], 960),
        format!(
            "switchboard {version} listening on unix:/run/s.sock\n\
             switchboard {version} push API on unix:/a\n{kept}{end}"
        )
    );
    assert_eq!(
        cli::greeting(&planned("echo", &[]), &public[2..], &[], 960),
        format!("switchboard {version} echo listening on ws://[::1]:8080\n{end}")
    );
}

// From here on the real process.

/// The binary with these arguments and no variable of ours from outside.
fn switchboard(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    for (name, _) in std::env::vars_os() {
        let ours = name.to_string_lossy().starts_with("SWITCHBOARD_");
        if ours || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.args(args).stdin(Stdio::null());
    command
}

fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("only texts are printed")
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn process_help_and_mistakes_keep_to_their_streams_and_codes() {
    let Output { status, stdout, stderr } = switchboard(&["--help"]).output().unwrap();
    assert_eq!((status.code(), stderr.len()), (Some(0), 0));
    assert!(text_of(&stdout).contains("Examples:"));

    let mistake = switchboard(&["--max-message", "nonsense"]).output().unwrap();
    assert_eq!((mistake.status.code(), mistake.stdout.len()), (Some(2), 0));
    assert!(text_of(&mistake.stderr).starts_with("error: --max-message 'nonsense': not a"));

    let mistake = switchboard(&[]).env("SWITCHBOARD_PING_INTERVAL", "soon").output().unwrap();
    assert_eq!((mistake.status.code(), mistake.stdout.len()), (Some(2), 0));
    assert!(text_of(&mistake.stderr).starts_with("error: SWITCHBOARD_PING_INTERVAL 'soon'"));
}

#[test]
fn process_address_in_use_exits_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for mode in ["serve", "echo"] {
        let output = switchboard(&[mode, "--listen", &address]).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{mode}");
        assert!(text_of(&output.stderr).contains(&address), "{}", text_of(&output.stderr));
    }
}

#[test]
fn process_start_prints_the_real_port_and_warns_on_stderr() {
    let mut command = switchboard(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("SWITCHBOARD_MAX_MESAGE", "1k").env("RUST_LOG", "foo=bar");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let stdout = BufReader::new(running.0.stdout.take().unwrap());
    let lines: Vec<String> = stdout.lines().take(4).map(Result::unwrap).collect();
    let (_, address) = lines[0].split_once(" listening on ws://").expect("a greeting");
    assert!(!address.ends_with(":0"), "{address}");
    assert_eq!(lines[1], format!("  open http://{address}/ in two windows"));
    assert!(lines[2].starts_with("  messages are kept in memory only"), "{}", lines[2]);
    assert!(lines[3].ends_with(" connections at once"), "{}", lines[3]);

    let mut stderr = BufReader::new(running.0.stderr.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("claims") {
        assert_ne!(stderr.read_line(&mut seen).unwrap(), 0, "{seen}");
    }
    assert!(seen.contains(" warn environment variable SWITCHBOARD_MAX_MESAGE"), "{seen}");
    assert!(seen.contains("is it SWITCHBOARD_MAX_MESSAGE?"), "{seen}");
    assert!(seen.contains(" warn RUST_LOG 'foo=bar' is ignored: not a level"), "{seen}");
    drop(running);
    stderr.read_to_string(&mut seen).unwrap();
    assert!(!seen.contains("panicked"), "{seen}");
}

#[test]
fn process_with_closed_streams_does_not_panic() {
    let mut command = switchboard(&["--help"]);
    let mut running =
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    drop(running.0.stdout.take());
    let mut seen = String::new();
    running.0.stderr.take().unwrap().read_to_string(&mut seen).unwrap();
    assert_eq!(running.0.wait().unwrap().code(), Some(0), "{seen}");
    assert_eq!(seen, "");
}
