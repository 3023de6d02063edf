//! A histogram of latencies in fixed memory, with an error of less than 1 %.
//!
//! Values up to 255 have a bucket each. From there on every power of two is cut into 128 buckets,
//! so that a bucket is never wider than 1/128 of what is in it:
//!
//! ```text
//! value     0 .. 255      256 .. 511      512 .. 1023      1024 .. 2047     ...
//! buckets      256           128             128               128
//! width         1             2               4                 8
//!
//! 1000 = 0b11_1110_1000: the highest bit is bit 9, the seven bits below it are 111_1010
//!        bucket 256 + (9 - 8) * 128 + 0b111_1010 = 506, which holds 1000 to 1003
//! ```
//!
//! This module does not know what its values measure; here they are nanoseconds.

/// Counts of values, in buckets that grow as the values do.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Histogram {
    /// Nothing counted yet. All memory there will ever be (36 KiB) is allocated here.
    pub fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, sum: 0, min: u64::MAX, max: 0 }
    }

    /// Counts a value. What is longer than 2^40 (18 minutes, in nanoseconds) counts as that.
    #[inline]
    pub fn record(&mut self, value: u64) {
        let value = value.min(VALUE_MAX);
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.sum += u128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// How many values have been counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The largest value, exactly; 0 if there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The smallest value, exactly; 0 if there is none.
    pub fn min(&self) -> u64 {
        if self.total == 0 { 0 } else { self.min }
    }

    /// The average, exactly; 0 if there is no value.
    pub fn mean(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.sum as f64 / self.total as f64 }
    }

    /// The value that a share `quantile` (0 to 1) of all values do not exceed, within 1 %; 0 if
    /// there is none. The 1.0 quantile is the maximum.
    pub fn quantile(&self, quantile: f64) -> u64 {
        if self.total == 0 {
            return 0;
        }
        let rank = ((quantile.clamp(0.0, 1.0) * self.total as f64).ceil() as u64).max(1);
        if rank >= self.total {
            return self.max;
        }
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle(at).clamp(self.min, self.max);
            }
        }
        self.max
    }

    /// Adds what another one has counted.
    pub fn add(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        (self.total, self.sum, self.min, self.max) = (0, 0, u64::MAX, 0);
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Histogram of {} values, {} to {}", self.total, self.min(), self.max)
    }
}

/// The bucket of a value up to `VALUE_MAX`.
#[inline]
fn bucket(value: u64) -> usize {
    // How many low bits do not tell values apart: 0 up to 255, 1 up to 511, ...
    let dropped = (u64::BITS - value.leading_zeros()).saturating_sub(SIGNIFICANT_BITS);
    // The highest of the eight bits is set from 256 on, and is counted in the octave before.
    (dropped as usize) * HALF + (value >> dropped) as usize
}

/// The value in the middle of a bucket.
fn middle(bucket: usize) -> u64 {
    if bucket < 2 * HALF {
        return bucket as u64;
    }
    let dropped = (bucket / HALF - 1) as u32;
    let low = ((bucket % HALF + HALF) as u64) << dropped;
    low + (1 << dropped >> 1)
}

/// Values in one bucket agree in this many of their highest bits.
const SIGNIFICANT_BITS: u32 = 8;

/// Buckets per power of two.
const HALF: usize = 1 << (SIGNIFICANT_BITS - 1);

const VALUE_MAX: u64 = 1 << 40;

/// One more than the bucket of `VALUE_MAX`.
const BUCKETS: usize = (40 - SIGNIFICANT_BITS as usize + 1) * HALF + HALF + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_module_doc_holds() {
        assert_eq!(bucket(1000), 506);
        assert_eq!(bucket(1003), 506);
        assert_eq!(bucket(1004), 507);
        assert_eq!(bucket(VALUE_MAX), BUCKETS - 1);
    }

    #[test]
    fn buckets_follow_one_another_without_a_gap_and_are_narrow() {
        let mut last = 0;
        for value in 0..100_000_u64 {
            let at = bucket(value);
            assert!(at == last || at == last + 1, "{value}");
            last = at;
        }
        let mut value = 1_u64;
        while value < VALUE_MAX {
            for near in [value - 1, value, value + value / 3] {
                let error = middle(bucket(near)).abs_diff(near) as f64;
                assert!(error <= near as f64 * 0.01, "{near}: {error}");
            }
            value *= 2;
        }
    }

    #[test]
    fn quantiles_of_a_known_distribution() {
        let mut histogram = Histogram::new();
        for value in 1..=100_000 {
            histogram.record(value);
        }
        for (quantile, wanted) in [(0.5, 50_000.0), (0.9, 90_000.0), (0.999, 99_900.0)] {
            let found = histogram.quantile(quantile) as f64;
            assert!((found - wanted).abs() <= wanted * 0.01, "{quantile}: {found}");
        }
        assert_eq!((histogram.quantile(1.0), histogram.max()), (100_000, 100_000));
        assert_eq!((histogram.quantile(0.0), histogram.min()), (1, 1));
        assert_eq!(histogram.mean(), 50_000.5);
    }

    #[test]
    fn nothing_counted_is_zero_and_sums_are_sums() {
        let mut sum = Histogram::new();
        assert_eq!((sum.quantile(0.5), sum.max(), sum.min(), sum.mean()), (0, 0, 0, 0.0));
        let mut one = Histogram::new();
        one.record(7);
        one.record(u64::MAX);
        sum.add(&one);
        sum.add(&one);
        assert_eq!((sum.total(), sum.min(), sum.max()), (4, 7, VALUE_MAX));
        sum.clear();
        assert_eq!((sum.total(), sum.max(), sum.quantile(1.0)), (0, 0, 0));
    }
}
