//! Numbers in digits, without the machinery of formatting and without an allocation.
//!
//! ```text
//! Decimal::of(1058).as_bytes()    b"1058"     at most 20 digits, on the stack
//! ```
//!
//! This module does not know what is counted.

/// A number in digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    /// At the beginning.
    digits: [u8; LEN_MAX],
    len: usize,
}

impl Decimal {
    /// The digits of a number, without leading zeros.
    #[inline]
    pub(super) fn of(mut number: u64) -> Decimal {
        let mut digits = [b'0'; LEN_MAX];
        // Counted first: a loop that ends where the number does is unrolled for twenty digits.
        let len = number.checked_ilog10().map_or(1, |log| log as usize + 1);
        for digit in digits[..len].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        Decimal { digits, len }
    }

    /// As bytes.
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.len]
    }
}

/// So many digits has the largest number.
const LEN_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_digits_that_formatting_gives_it() {
        for number in (0..=20).flat_map(|power| {
            let ten = 10_u64.checked_pow(power).unwrap_or(u64::MAX);
            [ten - 1, ten, ten.saturating_add(7)]
        }) {
            assert_eq!(Decimal::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
