//! A reference decoder for DEFLATE (RFC 1951), as plainly as it can be written: bit by bit, with no
//! table but those of the RFC. It also says how far back the data refers, which tells how large a
//! window the receiver must have.

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inflated {
    pub bytes: Vec<u8>,
    /// The largest distance that was used.
    pub distance_max: usize,
    /// How many blocks said that they are the last of their stream.
    pub streams_ended: usize,
    /// The last block said so.
    pub is_ended: bool,
}

/// Decompresses blocks until the input ends with a whole one, at a whole byte. `history` is what
/// may be referred to besides.
pub fn inflate(history: &[u8], compressed: &[u8]) -> Option<Inflated> {
    let (inflated, is_whole) = as_far_as_it_goes(history, compressed);
    is_whole.then_some(inflated)
}

/// Decompresses a message, as RFC 7692 §7.2.2 says: with the four octets that its sender has taken
/// off. They end a block without compression that is empty, so that nothing comes out of them.
///
/// RFC 7692 §7.2.3.4 has an octet behind a last block with BFINAL, with which those four make a
/// block; without that octet the data is no less whole.
pub fn inflate_message(history: &[u8], payload: &[u8]) -> Option<Inflated> {
    let (without, is_whole) = as_far_as_it_goes(history, payload);
    if is_whole && without.is_ended {
        return Some(without);
    }
    let with = inflate(history, &[payload, &[0x00, 0x00, 0xFF, 0xFF]].concat())?;
    (with.bytes == without.bytes).then_some(with)
}

/// What came out until the input ended or was wrong, and whether it ended as it should.
fn as_far_as_it_goes(history: &[u8], compressed: &[u8]) -> (Inflated, bool) {
    let mut bits = Bits { bytes: compressed, place: 0 };
    let mut inflated = Inflated { bytes: history.to_vec(), ..Inflated::default() };
    let is_whole = blocks(&mut bits, &mut inflated).is_some();
    inflated.bytes.drain(..history.len());
    (inflated, is_whole)
}

fn blocks(bits: &mut Bits<'_>, inflated: &mut Inflated) -> Option<()> {
    while bits.place < bits.bytes.len() * 8 {
        inflated.is_ended = false;
        let is_final = bits.take(1)? == 1;
        let (out, distance_max) = (&mut inflated.bytes, &mut inflated.distance_max);
        match bits.take(2)? {
            0 => stored(bits, out)?,
            1 => {
                let mut lengths = [8; 288];
                lengths[144..256].fill(9);
                lengths[256..280].fill(7);
                block(bits, out, distance_max, &lengths, &[5; 30])?;
            }
            2 => {
                let (literals, distances) = dynamic(bits)?;
                block(bits, out, distance_max, &literals, &distances)?;
            }
            _ => return None,
        }
        if is_final {
            // Another stream may follow, at a whole byte.
            bits.place = bits.place.next_multiple_of(8);
            inflated.streams_ended += 1;
            inflated.is_ended = true;
        }
    }
    Some(())
}

fn stored(bits: &mut Bits<'_>, out: &mut Vec<u8>) -> Option<()> {
    bits.place = bits.place.next_multiple_of(8);
    let (len, complement) = (bits.take(16)?, bits.take(16)?);
    if len != complement ^ 0xFFFF {
        return None;
    }
    for _ in 0..len {
        out.push(bits.take(8)? as u8);
    }
    Some(())
}

fn block(
    bits: &mut Bits<'_>,
    out: &mut Vec<u8>,
    distance_max: &mut usize,
    literals: &[u8],
    distances: &[u8],
) -> Option<()> {
    let (literals, distances) = (&Codes::of(literals), &Codes::of(distances));
    loop {
        let symbol = bits.symbol(literals)?;
        match symbol {
            0..=255 => out.push(symbol as u8),
            256 => return Some(()),
            _ => {
                let (base, extra) = *LENGTHS.get(symbol - 257)?;
                let len = base + bits.take(extra)?;
                let (base, extra) = *DISTANCES.get(bits.symbol(distances)?)?;
                let distance = base + bits.take(extra)?;
                *distance_max = distance.max(*distance_max);
                let from = out.len().checked_sub(distance)?;
                (from..from + len).for_each(|place| out.push(out[place]));
            }
        }
    }
}

/// The code lengths of a block with codes of its own (RFC 1951 §3.2.7).
fn dynamic(bits: &mut Bits<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (literals, distances, codes) = (bits.take(5)? + 257, bits.take(5)? + 1, bits.take(4)? + 4);
    if literals > 286 || distances > 30 {
        return None;
    }
    let mut code_lengths = [0; 19];
    for place in &ORDER[..codes] {
        code_lengths[*place] = bits.take(3)? as u8;
    }
    if !is_complete(&code_lengths, false) {
        return None;
    }
    let code_lengths = Codes::of(&code_lengths);
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (value, times) = match bits.symbol(&code_lengths)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            len => (len as u8, 1),
        };
        lengths.extend(std::iter::repeat_n(value, times));
    }
    if lengths.len() > literals + distances {
        return None;
    }
    let distances = lengths.split_off(literals);
    let has_end = lengths[256] > 0;
    (has_end && is_complete(&lengths, true) && is_complete(&distances, true))
        .then_some((lengths, distances))
}

/// A canonical Huffman code (RFC 1951 §3.2.2).
struct Codes {
    /// The symbols, those with short codes first.
    symbols: Vec<usize>,
    /// How many have a code of 1 bit, of 2, up to 15.
    counts: [usize; 15],
}

impl Codes {
    fn of(lengths: &[u8]) -> Codes {
        let of_len = |len: u8| (0..lengths.len()).filter(move |symbol| lengths[*symbol] == len);
        let counts = std::array::from_fn(|at| of_len(at as u8 + 1).count());
        Codes { symbols: (1..=15).flat_map(of_len).collect(), counts }
    }
}

/// RFC 1951 §3.2.7: every sequence of bits means something, except that a single code may have one
/// bit, and that there may be none at all.
fn is_complete(lengths: &[u8], may_be_single: bool) -> bool {
    let of = |len: u8| lengths.iter().filter(|other| **other == len).count();
    let used: usize = (1..=15).map(|len| of(len) << (15 - len)).sum();
    let is_single = of(1) == 1 && used == 1 << 14;
    used == 1 << 15 || used == 0 || (may_be_single && is_single)
}

struct Bits<'b> {
    bytes: &'b [u8],
    place: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for bit in 0..count {
            let byte = *self.bytes.get(self.place / 8)?;
            value |= usize::from(byte >> (self.place % 8) & 1) << bit;
            self.place += 1;
        }
        Some(value)
    }

    /// The next symbol of a canonical Huffman code (RFC 1951 §3.2.2), most significant bit first.
    fn symbol(&mut self, codes: &Codes) -> Option<usize> {
        let (mut code, mut first, mut before) = (0, 0, 0);
        for count in &codes.counts {
            code = code << 1 | self.take(1)?;
            if code < first + count {
                return codes.symbols.get(before + code - first).copied();
            }
            before += count;
            first = (first + count) << 1;
        }
        None
    }
}

const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// RFC 1951 §3.2.5: the base of each length and its extra bits, from symbol 257 on.
const LENGTHS: [(usize, usize); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// RFC 1951 §3.2.5: the same of distances.
const DISTANCES: [(usize, usize); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12289, 12),
    (16385, 13),
    (24577, 13),
];
