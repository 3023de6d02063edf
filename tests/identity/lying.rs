//! The application's endpoint, where it does what it should not.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::application::{Application, Reply};
use crate::common::client::{Client, Event};
use crate::common::process::{BINARY, clean, eventually};
use crate::world::*;

/// Where cookies count there must be a list.
const ORIGIN: [&str; 2] = ["--origin", "https://app.example.org"];

const TIMEOUT: [&str; 2] = ["--auth-endpoint-timeout", "400ms"];

/// Longer than a test waits for anything.
const LONG: [&str; 2] = ["--auth-endpoint-timeout", "10m"];

fn world(application: &Application, args: &[&str]) -> World {
    World::start(&[], &application.auth(), &[&ORIGIN, args].concat())
}

/// That nobody knows who this is: 503, and in a message the same.
#[track_caller]
fn expect_failure(world: &World) {
    let answer = world.refusal("/", &[&bearer("s3cret")]);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\n\r\ncheck_failed: "), "{answer}");
    let mut client = world.open("/", &[]).unwrap_or_else(|status| panic!("{status:?}"));
    client.send_text(&auth("s3cret"));
    expect_rejection(&mut client, 503, "check_failed");
}

#[test]
fn an_endpoint_that_lies_is_not_believed() {
    let huge = format!(r#"{{"user":"alice","x":"{}"}}"#, "y".repeat(70_000));
    let page = "<!doctype html><title>Sign in</title>";
    for reply in [
        "HTTP/1.1 200 OK\r\n\r\n".to_owned() + page,
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{huge}", huge.len()),
        format!("HTTP/1.1 200 OK\r\n\r\n{huge}"),
        "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"user\":\"alice\"}".to_owned(),
        "HTTP/1.1 200 OK\r\n\r\n{\"user\":\"\"}".to_owned(),
        "HTTP/1.1 200 OK\r\n\r\n{\"user\":\"*\"}".to_owned(),
        "HTTP/1.1 200 OK\r\n\r\n{\"user\":\"a\\u202eb\"}".to_owned(),
        "HTTP/1.1 200 OK\r\n\r\n{\"user\":null}".to_owned(),
        "HTTP/1.1 200 OK\r\n\r\n{\"user\":\"alice\",\"user\":\"bob\"}".to_owned(),
        "HTTP/1.1 200 OK\r\n\r\n[\"alice\"]".to_owned(),
        "HTTP/1.1 200 OK\r\n\r\n{\"user\":\"alice\"".to_owned(),
        format!("HTTP/1.1 200 OK\r\n\r\n{}", "[".repeat(5000)),
        "{\"user\":\"alice\"}".to_owned(),
        "SSH-2.0-OpenSSH\r\n".to_owned(),
        String::new(),
    ] {
        let bytes = reply.clone().into_bytes();
        let application = Application::start(move |_| Reply::Bytes(bytes.clone()));
        let world = world(&application, &[]);
        println!("{reply:.60}");
        expect_failure(&world);
        let said = "the authentication endpoint gives no answer: ";
        eventually("it is said", || world.process.log().contains(said));
    }
}

#[test]
fn an_endpoint_that_is_dead_is_a_503() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let auth = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    let world = World::start(&[], &auth, &ORIGIN);
    expect_failure(&world);
    let world = World::start(&[], "http:unix:/nowhere/at-all.sock:/", &ORIGIN);
    expect_failure(&world);
}

#[test]
fn an_endpoint_that_hangs_or_drips_is_a_503_in_time() {
    let drip = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    for hangs in [true, false] {
        let drip = drip.clone();
        let reply = move |_: &str| if hangs { Reply::Hang } else { Reply::Drip(drip.clone()) };
        let application = Application::start(reply);
        let world = world(&application, &TIMEOUT);
        let began = Instant::now();
        expect_failure(&world);
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(800) && took < Duration::from_secs(20), "{took:?}");
    }
}

/// Who is in goes on talking while nobody knows about the others.
#[test]
fn the_loop_does_not_wait() {
    let application = Application::start(|head| match head.contains("s3cret-slow") {
        true => Reply::Hang,
        false => Reply::http(200, r#"{"user":"alice"}"#),
    });
    let threads = ["--max-auth-endpoint-asks", "2"];
    let world = world(&application, &[&threads[..], &LONG].concat());
    let mut alice = world.bearer("/", "s3cret-alice");
    let waiting = std::thread::scope(|scope| {
        let slow = scope.spawn(|| world.status("/", &[&bearer("s3cret-slow")]));
        eventually("it is asked", || application.heads().len() == 2);
        for _ in 0..100 {
            expect_nothing(&mut alice);
        }
        // The other thread is free, too.
        drop(world.bearer("/other", "s3cret-alice"));
        assert!(!slow.is_finished(), "nobody has answered");
        application.let_go();
        slow.join().unwrap()
    });
    assert_eq!(waiting, 503);
}

#[test]
fn too_many_questions_are_refused_at_once() {
    let application = Application::start(|_| Reply::Hang);
    let threads = ["--max-auth-endpoint-asks", "2", "--max-auth-endpoint-queue", "3"];
    let world = world(&application, &[&threads[..], &LONG].concat());
    let strangers: Vec<Client> = (0..5)
        .map(|number| {
            let mut client = world.open("/", &[]).unwrap_or_else(|status| panic!("{status:?}"));
            client.send_text(&auth(&format!("s3cret-{number}")));
            client
        })
        .collect();
    eventually("two are asked", || application.heads().len() == 2);
    // Two with the application, three wait.
    assert_eq!(world.status("/", &[&bearer("s3cret")]), 503);
    assert_eq!(application.heads().len(), 2);
    drop(strangers);
}

#[test]
fn who_leaves_while_he_is_asked_about_leaves_nothing() {
    let application = Application::start(|_| Reply::Hang);
    let world = world(&application, &TIMEOUT);
    let descriptors = world.process.descriptors();
    for number in 0..5 {
        let mut client = world.open("/", &[]).unwrap_or_else(|status| panic!("{status:?}"));
        client.send_text(&auth(&format!("s3cret-{number}")));
        eventually("it is asked", || application.heads().len() == number + 1);
    }
    world.process.expect_descriptors(descriptors);
}

#[test]
fn who_does_not_wait_for_the_answer_is_refused() {
    let application = Application::start(|_| Reply::Hang);
    let world = world(&application, &[]);
    let mut client = world.open("/", &[]).unwrap_or_else(|status| panic!("{status:?}"));
    client.send_text(&auth("s3cret"));
    client.send_text(r#"{"type":"ping"}"#);
    expect_rejection(&mut client, 401, "authentication_required");
}

/// A token is a part of a header; what would end the header is never sent.
#[test]
fn a_token_cannot_write_a_header() {
    let application = Application::start(|_| Reply::http(200, r#"{"user":"alice"}"#));
    let world = world(&application, &[]);
    for token in ["s3cret\r\nX-Forwarded-User: admin", "s3cret\n", "s3cret\u{0}"] {
        assert_eq!(world.status("/", &[&entry(token)]), 401);
        let mut client = world.open("/", &[]).unwrap_or_else(|status| panic!("{status:?}"));
        client.send_text(&auth(token));
        expect_rejection(&mut client, 401, "token_refused");
    }
    assert_eq!(world.status("/?token=s3cret%0d%0aX:y", &[]), 401);
    assert_eq!(application.heads(), Vec::<String>::new());
}

#[test]
fn hup_refuses_who_is_just_asked_about() {
    let application = Application::start(|_| Reply::Hang);
    let world = world(&application, &LONG);
    let mut client = world.open("/", &[]).unwrap_or_else(|status| panic!("{status:?}"));
    client.send_text(&auth("s3cret"));
    eventually("it is asked", || application.heads().len() == 1);
    world.change("unused", "");
    expect_rejection(&mut client, 503, "check_failed");
    let mut client = world.open("/", &[]).unwrap_or_else(|status| panic!("{status:?}"));
    client.send_text(&auth("s3cret"));
    eventually("the new threads ask", || application.heads().len() == 2);
    assert_eq!(client.receive_within(Duration::from_millis(100)), None::<Event>);
}

#[test]
fn an_endpoint_that_nobody_can_ask_is_refused_at_start() {
    for (auth, wanted) in [
        ("https://app.example.org/check", "TLS"),
        ("http:ftp://app/", "there is no TLS"),
        ("http://app:99999/", "not a host and perhaps a port"),
        ("http:unix:relative.sock:/", "begins with /"),
    ] {
        let mut command = clean(std::process::Command::new(BINARY));
        command.args(["serve", "--listen", "127.0.0.1:0", "--auth", auth]);
        let output = command.args(["--origin", "https://a.example"]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{auth}: {text}");
        assert!(text.contains(wanted), "{auth}: {text}");
    }
}
