//! Masking: the XOR with a four-byte key that every frame from a client carries.
//!
//! RFC 6455 §5.3 numbers the octets of the payload from 0 and says, for each of them:
//!
//! ```text
//! j                   = i MOD 4
//! transformed-octet-i = original-octet-i XOR masking-key-octet-j
//! ```
//!
//! The same operation masks and unmasks, since `x ^ k ^ k == x`. The example of §5.7, "Hello" under
//! the key 37 fa 21 3d:
//!
//! ```text
//! i                0    1    2    3    4
//! original        48   65   6c   6c   6f      "Hello"
//! key octet j     37   fa   21   3d   37      the key begins again at i = 4
//!                 --   --   --   --   --  XOR
//! transformed     7f   9f   4d   51   58
//! ```
//!
//! Masking hides nothing: the key travels in front of the payload. It exists so that a page in a
//! browser cannot choose the bytes that appear on the wire and pass them off as an HTTP request to
//! a careless intermediary (§10.3). That is why only clients mask, and why each frame has a new
//! key.
//!
//! What this module does *not* know: where a frame begins and ends. A payload may be unmasked piece
//! by piece; the caller says at which offset of the payload each piece lies.

use std::fmt;

/// The masking key of one frame, as it stands on the wire (RFC 6455 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaskingKey(pub [u8; 4]);

impl MaskingKey {
    /// Masks or unmasks a whole payload in place.
    #[inline]
    pub fn apply(self, payload: &mut [u8]) {
        self.apply_rotated(payload);
    }

    /// Masks or unmasks a piece of a payload in place. `offset` is the place of `payload[0]` within
    /// the payload of its frame, in bytes.
    #[inline]
    pub fn apply_at(self, offset: u64, payload: &mut [u8]) {
        self.rotated(offset).apply_rotated(payload);
    }

    /// The same as [`apply_at`](MaskingKey::apply_at), word for word as RFC 6455 §5.3 has it.
    ///
    /// About three times slower. It is kept as the definition which the fast one is tested against.
    pub fn apply_bytewise(self, offset: u64, payload: &mut [u8]) {
        for (i, octet) in (offset..).zip(payload) {
            let j = (i % 4) as usize;
            *octet ^= self.0[j];
        }
    }

    /// The key as seen by a piece that begins at `offset`: its octet 0 is key octet `offset MOD 4`.
    #[inline]
    fn rotated(self, offset: u64) -> MaskingKey {
        let mut key = self.0;
        key.rotate_left((offset % 4) as usize);
        MaskingKey(key)
    }

    /// Eight bytes at a time, as one XOR of two words: a loop that the compiler turns into vector
    /// instructions without being asked, as fast as memcpy from 16 KiB on (benches/wire.rs, mask).
    ///
    /// The key repeats after four bytes, hence also after eight: every word sees the same key word,
    /// and the rest begins with key octet 0 again. In which order the machine keeps the bytes of a
    /// word does not matter, since both words come and go in the same order.
    #[inline]
    fn apply_rotated(self, payload: &mut [u8]) {
        let [k0, k1, k2, k3] = self.0;
        let key_octets = [k0, k1, k2, k3, k0, k1, k2, k3];
        let key_word = u64::from_ne_bytes(key_octets);
        let (words, rest) = payload.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ key_word).to_ne_bytes();
        }
        let (half, rest) = rest.as_chunks_mut::<4>();
        for half in half {
            *half = (u32::from_ne_bytes(*half) ^ u32::from_ne_bytes(self.0)).to_ne_bytes();
        }
        for (octet, key_octet) in rest.iter_mut().zip(self.0) {
            *octet ^= key_octet;
        }
    }
}

/// The key in hex, as in the RFC's examples: `37fa213d`.
impl fmt::Display for MaskingKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:08x}", u32::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: MaskingKey = MaskingKey([0x37, 0xfa, 0x21, 0x3d]);

    #[test]
    fn the_example_of_section_5_7_masks_and_unmasks() {
        let mut payload = *b"Hello";
        KEY.apply(&mut payload);
        assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        KEY.apply(&mut payload);
        assert_eq!(&payload, b"Hello");
    }

    #[test]
    fn the_bytewise_definition_gives_the_example_too() {
        let mut payload = *b"Hello";
        KEY.apply_bytewise(0, &mut payload);
        assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn fast_and_bytewise_agree_at_every_length_offset_and_alignment() {
        let (lens, alignments) = if cfg!(miri) { (0..20, 0..2) } else { (0..70, 0..16) };
        let original: Vec<u8> = (0..=255).collect();
        for len in lens.chain([100, 125, 126, 127, 128, 200]) {
            for alignment in alignments.clone() {
                for offset in [0, 1, 2, 3, 4, 5, 6, 7, 1 << 32, u64::MAX - 1000] {
                    let mut fast = original.clone();
                    let mut plain = original.clone();
                    KEY.apply_at(offset, &mut fast[alignment..alignment + len]);
                    KEY.apply_bytewise(offset, &mut plain[alignment..alignment + len]);
                    assert_eq!(fast, plain, "len {len} alignment {alignment} offset {offset}");
                }
            }
        }
    }

    #[test]
    fn a_payload_in_two_pieces_is_the_payload_in_one() {
        let whole: Vec<u8> = (0..40).collect();
        let mut expected = whole.clone();
        KEY.apply(&mut expected);
        for split in 0..=whole.len() {
            let mut pieces = whole.clone();
            let (head, tail) = pieces.split_at_mut(split);
            KEY.apply_at(0, head);
            KEY.apply_at(split as u64, tail);
            assert_eq!(pieces, expected, "split at {split}");
        }
    }

    #[test]
    fn the_key_is_shown_in_wire_order() {
        assert_eq!(KEY.to_string(), "37fa213d");
        assert_eq!(MaskingKey([0, 0, 0, 1]).to_string(), "00000001");
    }
}
