//! What the fuzz targets check: one function for each, from any bytes to nothing or to a panic.
//!
//! ```text
//!   fuzz_targets/NAME.rs   three lines: libFuzzer's bytes -> NAME::check
//!   src/NAME.rs            NAME::check: what must hold for any input
//!   corpus/NAME/           inputs that are worth keeping; src/seeds/ writes those with a name
//!   tests/corpus.rs        NAME::check of each of them, on stable Rust
//! ```
//!
//! Every target compares: what is read with what is written, one chunking with another, the code
//! under test with the same rules written plainly, or with somebody else's implementation. A target
//! that only waits for a panic would see little in a library without `unsafe`.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod close_payload;
pub mod differential;
pub mod engine_operations;
pub mod envelope;
pub mod extension_header;
pub mod frame_header;
pub mod frame_stream;
pub mod handshake;
pub mod http_request;
pub mod inflate;
pub mod seeds;
pub mod sessions;

/// The reference decoder, which the tests of the library have too.
#[path = "../../tests/common/naive.rs"]
pub mod naive;

/// The reference decoder of DEFLATE, which the tests of the library have too.
#[path = "../../tests/common/inflate.rs"]
#[allow(missing_docs, reason = "shared with the tests, which have no public items")]
pub mod plain_inflate;

/// A connection whose events and answers are written down.
#[path = "../../tests/common/subject.rs"]
#[allow(missing_docs, dead_code, reason = "shared with the tests, which have no public items")]
pub mod subject;

/// A target: its name, and what it checks.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As in `cargo fuzz run NAME`, and as the folder of its corpus.
    pub name: &'static str,
    /// Panics if something is wrong.
    pub check: fn(&[u8]),
}

/// Every target there is.
pub const TARGETS: &[Target] = &[
    Target { name: "frame_header", check: frame_header::check },
    Target { name: "frame_stream", check: frame_stream::check },
    Target { name: "handshake", check: handshake::check },
    Target { name: "http_request", check: http_request::check },
    Target { name: "close_payload", check: close_payload::check },
    Target { name: "extension_header", check: extension_header::check },
    Target { name: "inflate", check: inflate::check },
    Target { name: "envelope", check: envelope::check },
    Target { name: "sessions", check: sessions::check },
    Target { name: "engine_operations", check: engine_operations::check },
    Target { name: "differential", check: differential::check },
];
