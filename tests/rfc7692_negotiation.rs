//! permessage-deflate in the opening handshake: RFC 7692 §5, §7 and §7.1, from both sides.

#![allow(clippy::unwrap_used)] // a helper of a test may fail the test

use switchboard::wire::deflate::{ClientWindow, negotiate};
use switchboard::wire::extension::parse_extensions;
use switchboard::wire::handshake::{AnswerError, ClientHandshake, accept_key};
use switchboard::wire::{ContextTakeover, DeflateAgreement, DeflateOffer, Parsed, WindowBits};

const BOTH: [ContextTakeover; 2] = [ContextTakeover::Allowed, ContextTakeover::Refused];

/// What a server that keeps windows answers to these header lines.
fn answer(lines: &[&str]) -> Option<String> {
    answer_with(lines, ContextTakeover::Allowed)
}

fn answer_with(lines: &[&str], takeover: ContextTakeover) -> Option<String> {
    let offers = parse_extensions(lines.iter().map(|line| line.as_bytes())).unwrap();
    negotiate(&offers, takeover).map(|agreed| agreed.to_string())
}

/// What a client that made this offer makes of a server's header lines.
fn judge(offer: DeflateOffer, lines: &str) -> Result<Option<DeflateAgreement>, AnswerError> {
    let handshake = ClientHandshake::new("a", "/", [7; 16], &[]).unwrap();
    let mut handshake = handshake.with_deflate(offer);
    let response = response(&handshake, lines);
    match handshake.check_response(&response)? {
        Parsed::Complete { value, .. } => Ok(value.deflate),
        Parsed::Partial => panic!("the response is whole"),
    }
}

/// A 101 to this request with more header lines.
fn response(handshake: &ClientHandshake<'_>, lines: &str) -> Vec<u8> {
    let mut request = Vec::new();
    handshake.write(&mut request);
    let request = String::from_utf8(request).unwrap();
    let key = request.split_once("Sec-WebSocket-Key: ").unwrap().1.split_once("\r\n").unwrap().0;
    let accept = accept_key(key.as_bytes());
    let accept = str::from_utf8(&accept).unwrap();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{lines}\r\n"
    )
    .into_bytes()
}

fn bits(bits: u8) -> Option<WindowBits> {
    WindowBits::new(bits)
}

/// What every client that wants the most offers.
fn limitable() -> DeflateOffer {
    DeflateOffer { client_max_window_bits: ClientWindow::Limitable, ..DeflateOffer::default() }
}

#[test]
fn rfc7692_5_the_first_offer_that_can_be_kept_is_taken() {
    let table: [(&[&str], Option<&str>); 8] = [
        (&[], None),
        (&["x-webkit-deflate-frame, permessage-bzip2"], None),
        (&["permessage-deflate"], Some("permessage-deflate")),
        (&["x-webkit-deflate-frame, permessage-deflate"], Some("permessage-deflate")),
        (
            &["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
            Some("permessage-deflate; server_max_window_bits=10"),
        ),
        (
            &["permessage-deflate", "permessage-deflate; server_max_window_bits=10"],
            Some("permessage-deflate"),
        ),
        (
            &["permessage-deflate; x, permessage-deflate; server_no_context_takeover"],
            Some("permessage-deflate; server_no_context_takeover"),
        ),
        (&["permessage-deflate; x", "permessage-deflate; server_max_window_bits=7"], None),
    ];
    for (lines, wanted) in table {
        assert_eq!(answer(lines).as_deref(), wanted, "{lines:?}");
    }
}

#[test]
fn rfc7692_7_1_an_offer_with_a_wrong_parameter_is_declined_and_the_next_is_looked_at() {
    let wrong = [
        "x",
        "x=1",
        "mem_level=9",
        "Server_No_Context_Takeover",
        "server_no_context_takeover=1",
        "server_no_context_takeover=true",
        "client_no_context_takeover=\"\\1\"",
        "server_max_window_bits",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits=10; client_max_window_bits",
    ];
    for parameters in wrong {
        let offer = format!("permessage-deflate; {parameters}");
        for takeover in BOTH {
            assert_eq!(answer_with(&[&offer], takeover), None, "{offer}");
        }
        let another = format!("{offer}, permessage-deflate; server_max_window_bits=15");
        let wanted = "permessage-deflate; server_max_window_bits=15";
        assert_eq!(answer(&[&another]).as_deref(), Some(wanted));
    }
    for name in ["Permessage-Deflate", "PERMESSAGE-DEFLATE", "permessage_deflate", "deflate"] {
        assert_eq!(answer(&[name]), None, "{name} is another extension");
    }
}

#[test]
fn rfc7692_7_1_2_1_window_bits_are_strict_digits() {
    let wrong = [
        "0",
        "7",
        "16",
        "08",
        "09",
        "010",
        "10.0",
        "1e1",
        "+10",
        "-9",
        "0x9",
        "15x",
        "x",
        "99",
        "256",
        "264",
        "4294967304",
        "18446744073709551624",
    ];
    for name in ["server_max_window_bits", "client_max_window_bits"] {
        for value in wrong {
            for text in [value.to_owned(), format!("\"{value}\"")] {
                let offer = format!("permessage-deflate; {name}={text}");
                assert_eq!(answer(&[&offer]), None, "{offer}");
            }
        }
        for value in 8..=15 {
            // RFC 6455 §9.1: a quoted value is the value; digits may be escaped in it.
            for text in [format!("{value}"), format!("\"{value}\""), format!("\"\\{value}\"")] {
                let offer = format!("permessage-deflate; {name}={text}");
                let wanted = format!("permessage-deflate; {name}={value}");
                assert_eq!(answer(&[&offer]).as_deref(), Some(&wanted[..]), "{offer}");
            }
        }
    }
}

#[test]
fn rfc7692_7_1_1_1_server_no_context_takeover_is_answered_with_itself() {
    let offer = "permessage-deflate; server_no_context_takeover";
    assert_eq!(answer(&[offer]).as_deref(), Some(offer));
}

#[test]
fn rfc7692_7_1_1_2_a_server_without_windows_says_so_even_if_it_was_not_asked() {
    let wanted = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let table = [
        ("permessage-deflate", wanted.to_owned()),
        ("permessage-deflate; client_no_context_takeover", wanted.to_owned()),
        ("permessage-deflate; server_no_context_takeover", wanted.to_owned()),
        // What Chromium offers.
        ("permessage-deflate; client_max_window_bits", wanted.to_owned()),
        (
            "permessage-deflate; server_max_window_bits=8; client_max_window_bits=9",
            format!("{wanted}; server_max_window_bits=8; client_max_window_bits=9"),
        ),
    ];
    for (offer, wanted) in table {
        let answer = answer_with(&[offer], ContextTakeover::Refused);
        assert_eq!(answer.as_deref(), Some(&wanted[..]), "{offer}");
    }
}

#[test]
fn rfc7692_7_1_2_2_client_max_window_bits_is_never_answered_unasked() {
    for offer in [
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits",
    ] {
        for takeover in BOTH {
            let answer = answer_with(&[offer], takeover).unwrap();
            assert!(!answer.contains("client_max_window_bits"), "{offer}: {answer}");
        }
    }
}

#[test]
fn rfc7692_7_1_every_offer_and_its_answer_fit_each_other() {
    let windows = [None, bits(8), bits(9), bits(15)];
    for flags in 0..4 {
        for server in windows {
            for client in windows {
                let offer = DeflateOffer {
                    server_no_context_takeover: flags & 1 != 0,
                    client_no_context_takeover: flags & 2 != 0,
                    server_max_window_bits: server,
                    client_max_window_bits: client
                        .map_or(ClientWindow::Fixed, ClientWindow::AtMost),
                };
                for takeover in BOTH {
                    let agreed = offer.accept(takeover);
                    let lines = format!("Sec-WebSocket-Extensions: {agreed}\r\n");
                    assert_eq!(judge(offer, &lines), Ok(Some(agreed)), "{offer} {agreed}");
                }
            }
        }
    }
}

#[test]
fn rfc7692_5_1_a_client_offers_in_its_request() {
    let handshake = ClientHandshake::new("a", "/", [7; 16], &[]).unwrap();
    let mut request = Vec::new();
    handshake.with_deflate(limitable()).write(&mut request);
    let request = String::from_utf8(request).unwrap();
    let line = "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    assert!(request.contains(line), "{request}");
}

#[test]
fn rfc7692_7_1_a_client_takes_what_fits_its_offer() {
    let agreed = DeflateAgreement::default();
    let table = [
        ("", Ok(None)),
        ("permessage-deflate", Ok(Some(agreed))),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            Ok(Some(DeflateAgreement {
                server_no_context_takeover: true,
                client_no_context_takeover: true,
                ..agreed
            })),
        ),
        (
            "permessage-deflate; client_max_window_bits=8; server_max_window_bits=\"12\"",
            Ok(Some(DeflateAgreement {
                server_max_window_bits: bits(12),
                client_max_window_bits: bits(8),
                ..agreed
            })),
        ),
    ];
    for (value, wanted) in table {
        let lines = match value {
            "" => String::new(),
            value => format!("Sec-WebSocket-Extensions: {value}\r\n"),
        };
        assert_eq!(judge(limitable(), &lines), wanted, "{value}");
    }
}

#[test]
fn rfc7692_7_1_a_client_fails_the_connection_for_what_does_not_fit_its_offer() {
    let window = |most| ClientWindow::AtMost(bits(most).unwrap());
    let nothing = DeflateOffer::default();
    let strict = DeflateOffer {
        server_no_context_takeover: true,
        client_no_context_takeover: false,
        server_max_window_bits: bits(10),
        client_max_window_bits: window(9),
    };
    let fits = "permessage-deflate; server_no_context_takeover; server_max_window_bits=9";
    assert!(judge(strict, &format!("Sec-WebSocket-Extensions: {fits}\r\n")).is_ok());
    let table = [
        (limitable(), "permessage-deflate; x"),
        (limitable(), "permessage-deflate; server_no_context_takeover=1"),
        (limitable(), "permessage-deflate; client_no_context_takeover; client_no_context_takeover"),
        (limitable(), "permessage-deflate; server_max_window_bits"),
        (limitable(), "permessage-deflate; server_max_window_bits=16"),
        // RFC 7692 §7.1.2.2: in a response it has a value, and it must have been offered.
        (limitable(), "permessage-deflate; client_max_window_bits"),
        (nothing, "permessage-deflate; client_max_window_bits=15"),
        (strict, "permessage-deflate"),
        (strict, "permessage-deflate; server_no_context_takeover"),
        (strict, "permessage-deflate; server_max_window_bits=10"),
        (strict, "permessage-deflate; server_no_context_takeover; server_max_window_bits=11"),
        (
            strict,
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; \
             client_max_window_bits=10",
        ),
        (limitable(), "permessage-deflate; a=\"b c\""),
    ];
    for (offer, value) in table {
        let lines = format!("Sec-WebSocket-Extensions: {value}\r\n");
        assert_eq!(judge(offer, &lines), Err(AnswerError::ExtensionMalformed), "{offer}: {value}");
    }
    for value in ["permessage-deflate, permessage-deflate", "x-webkit-deflate-frame"] {
        let lines = format!("Sec-WebSocket-Extensions: {value}\r\n");
        assert_eq!(judge(nothing, &lines), Err(AnswerError::ExtensionNotRequested), "{value}");
    }
}

#[test]
fn rfc7692_7_1_2_2_what_a_client_has_promised_counts_though_the_server_does_not_repeat_it() {
    let offer = DeflateOffer {
        client_no_context_takeover: true,
        client_max_window_bits: ClientWindow::AtMost(bits(10).unwrap()),
        ..DeflateOffer::default()
    };
    let agreed = judge(offer, "Sec-WebSocket-Extensions: permessage-deflate\r\n").unwrap().unwrap();
    assert!(agreed.client_no_context_takeover);
    assert_eq!(agreed.client_max_window_bits, bits(10));
}

#[test]
fn rfc6455_4_1_a_client_that_offered_nothing_takes_nothing() {
    let mut handshake = ClientHandshake::new("a", "/", [7; 16], &[]).unwrap();
    let lines = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let response = response(&handshake, lines);
    let error = handshake.check_response(&response).err();
    assert_eq!(error, Some(AnswerError::ExtensionNotRequested));
}
