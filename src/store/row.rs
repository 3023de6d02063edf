//! Rows: what a table has about a user, a client and an answer, as bytes.
//!
//! ```text
//!   UserRow     dropped 8 | acked 8 | seen 8                       little-endian
//!   ClientRow   last 8 | refused 8 | seen 8 | decided 1
//!   answer      at 8 | status 2 | digest 32 | body           as long as it is
//! ```
//!
//! This module does not know the tables.

use std::rc::Rc;

use redb::{TypeName, Value};

use crate::relay::log::{Experience, Numbers, Seq, Stamp, StoredAnswer};

/// A user, beside the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UserRow {
    pub dropped: Seq,
    pub acked: Seq,
    pub seen: Stamp,
}

/// One client of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientRow {
    pub numbers: Numbers,
    pub seen: Stamp,
}

impl Value for UserRow {
    type SelfType<'a> = UserRow;
    type AsBytes<'a> = [u8; 24];

    fn fixed_width() -> Option<usize> {
        Some(24)
    }

    fn from_bytes<'a>(data: &'a [u8]) -> UserRow
    where
        Self: 'a,
    {
        let (dropped, acked) = (Seq(u64_at(data, 0)), Seq(u64_at(data, 8)));
        UserRow { dropped, acked, seen: Stamp(u64_at(data, 16)) }
    }

    fn as_bytes<'a, 'b: 'a>(value: &'a UserRow) -> [u8; 24]
    where
        Self: 'b,
    {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&value.dropped.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&value.acked.0.to_le_bytes());
        bytes[16..].copy_from_slice(&value.seen.0.to_le_bytes());
        bytes
    }

    fn type_name() -> TypeName {
        TypeName::new("switchboard::UserRow")
    }
}

impl Value for ClientRow {
    type SelfType<'a> = ClientRow;
    type AsBytes<'a> = [u8; 25];

    fn fixed_width() -> Option<usize> {
        Some(25)
    }

    fn from_bytes<'a>(data: &'a [u8]) -> ClientRow
    where
        Self: 'a,
    {
        let is_decided = data.get(24).is_some_and(|&byte| byte != 0);
        let experience = if is_decided { Experience::Some } else { Experience::None };
        let numbers = Numbers::restored(u64_at(data, 0), u64_at(data, 8), experience);
        ClientRow { numbers, seen: Stamp(u64_at(data, 16)) }
    }

    fn as_bytes<'a, 'b: 'a>(value: &'a ClientRow) -> [u8; 25]
    where
        Self: 'b,
    {
        let mut bytes = [0; 25];
        bytes[..8].copy_from_slice(&value.numbers.last().to_le_bytes());
        bytes[8..16].copy_from_slice(&value.numbers.refused_bits().to_le_bytes());
        bytes[16..24].copy_from_slice(&value.seen.0.to_le_bytes());
        bytes[24] = u8::from(value.numbers.known_last().is_some());
        bytes
    }

    fn type_name() -> TypeName {
        TypeName::new("switchboard::ClientRow")
    }
}

/// The row of an answer, added to these bytes.
pub(super) fn write_answer(answer: &StoredAnswer, out: &mut Vec<u8>) {
    out.extend_from_slice(&answer.at.0.to_le_bytes());
    out.extend_from_slice(&answer.status.to_le_bytes());
    out.extend_from_slice(&answer.digest);
    out.extend_from_slice(answer.body.as_bytes());
}

/// The answer of a row; `None` if it is no such row.
pub(super) fn read_answer(row: &[u8]) -> Option<StoredAnswer> {
    let (at, row) = row.split_first_chunk()?;
    let (status, row) = row.split_first_chunk()?;
    let (digest, body) = row.split_first_chunk()?;
    Some(StoredAnswer {
        at: Stamp(u64::from_le_bytes(*at)),
        digest: *digest,
        status: u16::from_le_bytes(*status),
        body: Rc::from(std::str::from_utf8(body).ok()?),
    })
}

/// 0 where there is nothing: the table sees to the length.
fn u64_at(data: &[u8], at: usize) -> u64 {
    let bytes = data.get(at..).and_then(|rest| rest.first_chunk::<8>());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were() {
        let user = UserRow { dropped: Seq(56), acked: Seq(u64::MAX), seen: Stamp(7) };
        assert_eq!(UserRow::from_bytes(&UserRow::as_bytes(&user)), user);
        for experience in [Experience::None, Experience::Some] {
            let numbers = Numbers::restored(16, 0b1010, experience);
            let client = ClientRow { numbers, seen: Stamp(1 << 40) };
            assert_eq!(ClientRow::from_bytes(&ClientRow::as_bytes(&client)), client);
        }
        for body in ["", "{}"] {
            let body = Rc::from(body);
            let answer = StoredAnswer { at: Stamp(1 << 40), digest: [7; 32], status: 202, body };
            let mut row = Vec::new();
            write_answer(&answer, &mut row);
            assert_eq!(read_answer(&row), Some(answer));
            assert_eq!(read_answer(&row[..41]), None, "cut off");
        }
    }
}
