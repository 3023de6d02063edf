//! Pseudo-random numbers (xorshift64*). The seed is in the test, so every run is the same.

/// A generator; two with the same seed give the same numbers.
pub struct Random(u64);

impl Random {
    /// Any seed will do, also 0, and seeds that are close to each other.
    pub fn new(seed: u64) -> Random {
        // Bits of a small seed are spread over the word; xorshift cannot leave the state 0.
        Random((seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9) | 1)
    }

    /// The next number, uniform over 56 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 8
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
