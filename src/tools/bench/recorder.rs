//! Latencies and throughput over the measured time, whole and by intervals.

use std::time::Duration;

use super::histogram::Histogram;
use crate::net::client::Nanos;

/// Collects what is measured from one moment to another.
#[derive(Debug)]
pub struct Recorder {
    from: Nanos,
    until: Nanos,
    interval: Duration,
    /// The interval that is under way, and where it began.
    current: Histogram,
    current_from: Nanos,
    received_before: u64,
    whole: Histogram,
    intervals: Vec<Interval>,
}

/// A piece of the measured time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its end, in seconds after the beginning of the measurement.
    pub end_s: f64,
    /// Messages received per second.
    pub per_second: f64,
    /// Half of the latencies were not longer, in nanoseconds.
    pub p50: u64,
    /// 99 % of the latencies were not longer, in nanoseconds.
    pub p99: u64,
}

impl Recorder {
    /// Will measure for `duration`, `from` then on.
    pub fn new(from: Nanos, duration: Duration) -> Recorder {
        Recorder {
            from,
            until: from.after(duration),
            interval: (duration / INTERVALS).max(INTERVAL_MIN),
            current: Histogram::new(),
            current_from: from,
            received_before: 0,
            whole: Histogram::new(),
            intervals: Vec::with_capacity(INTERVALS as usize + 1),
        }
    }

    /// When the measurement begins.
    pub fn from(&self) -> Nanos {
        self.from
    }

    /// When it ends.
    pub fn until(&self) -> Nanos {
        self.until
    }

    /// Ends it earlier.
    pub fn stop(&mut self, now: Nanos) {
        self.until = self.until.min(now);
    }

    /// Counts a latency if it began in the measured time, however late it ends.
    #[inline]
    pub fn record(&mut self, since: Nanos, now: Nanos) {
        if since >= self.from && since < self.until {
            self.current.record(now.0.saturating_sub(since.0));
        }
    }

    /// The measurement begins, after so many messages.
    pub fn begin(&mut self, received: u64, now: Nanos) {
        (self.received_before, self.current_from) = (received, now);
    }

    /// When [`tick`](Recorder::tick) has something to do.
    pub fn next_tick(&self) -> Nanos {
        self.current_from.after(self.interval)
    }

    /// Closes the interval that is under way, at `now`, after so many messages.
    pub fn tick(&mut self, received: u64, now: Nanos) {
        let seconds = now.since(self.current_from).as_secs_f64();
        if seconds > 0.0 {
            self.intervals.push(Interval {
                end_s: now.since(self.from).as_secs_f64(),
                per_second: (received - self.received_before) as f64 / seconds,
                p50: self.current.quantile(0.5),
                p99: self.current.quantile(0.99),
            });
        }
        self.whole.add(&self.current);
        self.current.clear();
        self.begin(received, now);
    }

    /// Everything that was measured. Latencies that ended after the last interval belong to the
    /// whole and to none of the intervals.
    pub fn finish(mut self) -> (Histogram, Vec<Interval>) {
        self.whole.add(&self.current);
        (self.whole, self.intervals)
    }
}

/// How many intervals the measured time is cut into, unless they would be too short.
const INTERVALS: u32 = 100;

const INTERVAL_MIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_in_the_measured_time_counts() {
        let second = Duration::from_secs(1);
        let (from, until) = (Nanos(100), Nanos(100).after(second));
        let mut recorder = Recorder::new(from, second);
        recorder.record(Nanos(99), Nanos(200));
        recorder.begin(10, from);
        recorder.record(from, Nanos(110));
        recorder.tick(15, Nanos(100).after(second / 2));
        recorder.record(Nanos(until.0 - 1), Nanos(until.0 + 999));
        recorder.record(until, Nanos(until.0 + 1));
        let (whole, intervals) = recorder.finish();
        assert_eq!((whole.total(), whole.min(), whole.max()), (2, 10, 1000));
        assert_eq!(intervals, [Interval { end_s: 0.5, per_second: 10.0, p50: 10, p99: 10 }]);
    }
}
