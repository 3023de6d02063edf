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
    /// At the end.
    digits: [u8; LEN_MAX],
    start: usize,
}

impl Decimal {
    /// The digits of a number, without leading zeros.
    #[inline]
    pub(super) fn of(number: u64) -> Decimal {
        let mut digits = [0; LEN_MAX];
        let start = write_at_end(number, &mut digits);
        Decimal { digits, start }
    }

    /// As bytes.
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// Puts the digits at the end; says where they begin. A function of its own, or the compiler keeps
/// all twenty in registers and stores them one by one, which takes longer than to find them.
#[inline(never)]
fn write_at_end(mut number: u64, digits: &mut [u8; LEN_MAX]) -> usize {
    let mut start = LEN_MAX;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    start
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
