//! Rejections: what is told to those who do not come in, and to those who have to leave.
//!
//! ```text
//!   before the upgrade     HTTP/1.1 401 Unauthorized, WWW-Authenticate: Bearer ...
//!   after it               {"type":"error","code":401,"reason":"token_refused"}, then Close 4401
//! ```
//!
//! A close code is 4000 + the status, so that a client needs no table: 44xx means not to come back
//! unchanged, 45xx to come back later.
//!
//! This module does not know why somebody is rejected.

use crate::wire::{CloseCode, Response};

/// One table, from which everything about a rejection comes.
macro_rules! rejections {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident = $code:literal $reason:literal $text:literal;
    )+) => {
        /// Why somebody is not let in, or has to leave.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rejection { $( $(#[doc = $doc])+ $variant, )+ }

        impl Rejection {
            /// All of them, in the order of their codes.
            pub const ALL: &[Rejection] = &[ $( Rejection::$variant, )+ ];

            /// The status code.
            pub const fn code(self) -> u16 {
                match self { $( Rejection::$variant => $code, )+ }
            }

            /// The reason, for programs; also the reason of the Close.
            pub const fn reason(self) -> &'static str {
                match self { $( Rejection::$variant => $reason, )+ }
            }

            /// The message before the Close.
            pub const fn message(self) -> &'static str {
                match self { $( Rejection::$variant => concat!(
                    r#"{"type":"error","code":"#, $code, r#","reason":""#, $reason, "\"}",
                ), )+ }
            }

            /// The body of the HTTP response.
            const fn text(self) -> &'static str {
                match self { $( Rejection::$variant => concat!($reason, ": ", $text, "\n"), )+ }
            }
        }
    };
}

rejections! {
    /// Something else was said before who it is.
    AuthenticationRequired = 401 "authentication_required" "the first message is the token";
    /// The token was good once.
    TokenExpired = 401 "token_expired" "this token was good once";
    /// The token is nobody's.
    TokenRefused = 401 "token_refused" "this token is nobody's here";
    /// Neither role nor application allows it.
    Forbidden = 403 "forbidden" "the application does not let this user in";
    /// `?user=` names another than the credential.
    WrongUser = 403 "wrong_user" "?user= names another user than the credential";
    /// Nobody said in time who it is.
    AuthenticationTimeout = 408 "authentication_timeout" "nobody said in time who it is";
    /// `?user=` is the number of a guest who is connected.
    Taken = 409 "taken" "this user id is the number of a guest who is connected";
    /// The user, or the address, has as many connections as it may.
    TooManyConnections = 429 "too_many_connections" "there are as many as are allowed";
    /// The endpoint cannot be asked, or its answer makes no sense.
    CheckFailed = 503 "check_failed" "whose this credential is cannot be found out now";
}

impl Rejection {
    /// The close code that goes with it.
    pub fn close_code(self) -> CloseCode {
        let code = CloseCode::application(4000 + self.code());
        code.expect("invariant: all codes of the table are below 1000")
    }

    /// The answer to an opening handshake.
    pub fn response(self) -> Response {
        let response = Response::text(self.code(), self.text());
        match self {
            // RFC 6750 §3: what a 401 says about the token that it refuses.
            Rejection::TokenExpired => response.with_header(
                "WWW-Authenticate",
                &br#"Bearer error="invalid_token", error_description="expired""#[..],
            ),
            Rejection::TokenRefused => {
                response.with_header("WWW-Authenticate", &br#"Bearer error="invalid_token""#[..])
            }
            // RFC 9110 §15.5.2: a 401 MUST have a challenge.
            _ if self.code() == 401 => response.with_header("WWW-Authenticate", &b"Bearer"[..]),
            _ => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_is_a_response_a_message_and_a_close() {
        for &rejection in Rejection::ALL {
            let code = rejection.code();
            let value: serde_json::Value = serde_json::from_str(rejection.message()).unwrap();
            let wanted = serde_json::json!({
                "type": "error", "code": code, "reason": rejection.reason(),
            });
            assert_eq!(value, wanted);
            assert_eq!(rejection.close_code().as_u16(), 4000 + code);
            let mut bytes = Vec::new();
            rejection.response().write(&mut bytes, crate::wire::Body::Included);
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.starts_with(&format!("HTTP/1.1 {code} ")), "{text}");
            assert_eq!(text.contains("\r\nWWW-Authenticate: Bearer"), code == 401, "{text}");
            assert!(text.contains(&format!("\r\n\r\n{}: ", rejection.reason())), "{text}");
        }
    }
}
