//! The payload of a Close frame.
//!
//! ```text
//! input             a payload, unmasked
//! 03 e9 62 79 65    1001 (going away), "bye"
//! ```
//!
//! What is read agrees with RFC 6455 §5.5.1 and §7.4 written down once more, is written back as it
//! was, and can be shown. Whatever code and reason are written, what comes out is a payload that
//! may be sent.

use switchboard::wire::{CloseCode, ClosePayload, ProtocolError, Quoted};

/// Holds the rules above for one input.
pub fn check(input: &[u8]) {
    let parsed = ClosePayload::parse(input);
    assert_eq!(parsed.map(|close| close.map(|close| (close.code.as_u16(), close.reason))), {
        plain(input)
    });
    if let Ok(Some(close)) = parsed {
        assert!(close.code.is_sendable());
        assert_eq!(CloseCode::from_wire(close.code.as_u16()), Some(close.code));
        let mut written = Vec::new();
        close.write(&mut written);
        // A reason of more than 123 bytes does not fit a frame and is cut when it is written.
        assert!(input.starts_with(&written));
        assert!(written.len() == input.len() || (122..=125).contains(&written.len()));
        assert!(!close.code.to_string().is_empty());
        assert!(!Quoted(close.reason.as_bytes()).to_string().contains(char::is_control));
    }
    check_written(input);
}

/// RFC 6455 §5.5.1, §7.4.1, §7.4.2, and IANA's registry.
fn plain(payload: &[u8]) -> Result<Option<(u16, &str)>, ProtocolError> {
    let (high, low, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(ProtocolError::ClosePayloadTooShort),
        [high, low, reason @ ..] => (*high, *low, reason),
    };
    let code = u16::from(high) * 256 + u16::from(low);
    let never = !(1000..5000).contains(&code) || [1004, 1005, 1006].contains(&code);
    if never || (1015..3000).contains(&code) {
        return Err(ProtocolError::CloseCodeInvalid);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::CloseReasonNotUtf8)?;
    Ok(Some((code, reason)))
}

/// Any text as the reason, with any code there is.
fn check_written(input: &[u8]) {
    let reason = String::from_utf8_lossy(input);
    let number = input.iter().fold(0, |sum: u16, byte| sum.wrapping_mul(31) ^ u16::from(*byte));
    let codes = [CloseCode::from_wire(number), CloseCode::application(number)];
    let constants = [CloseCode::NORMAL, CloseCode::NO_STATUS, CloseCode::ABNORMAL];
    for code in codes.into_iter().flatten().chain(constants) {
        let mut written = b"before".to_vec();
        ClosePayload { code, reason: &reason }.write(&mut written);
        let payload = written.strip_prefix(b"before").expect("appended");
        assert!(payload.len() <= 125);
        let Ok(read) = ClosePayload::parse(payload) else { panic!("{payload:?} may not be sent") };
        assert_eq!(read.is_some(), code.is_sendable());
        if let Some(read) = read {
            assert_eq!(read.code, code);
            assert!(reason.starts_with(read.reason));
            let lost = reason.len() - read.reason.len();
            assert!(lost == 0 || read.reason.len() >= 120, "no more is cut than must be");
        }
    }
}
