//! A hashed timer wheel: deadlines by the tens of thousands, at next to no cost.
//!
//! ```text
//!   slot:   0     1     2     3    ...   511
//!         +-----+-----+-----+-----+-----+-----+
//!         |     | a c |     | b   |     |     |     one slot = 100 ms, one turn = 51.2 s
//!         +-----+-----+-----+-----+-----+-----+
//!                       ^ now
//! ```
//!
//! An entry lies in the slot of its tick modulo the number of slots; entries of later turns are
//! looked at once a turn and stay. The wheel is *lazy*: it never cancels or moves an entry. Whoever
//! is woken looks whether its deadline has really passed, and if not, goes in again. So activity
//! on a connection stores one number and touches no timer.
//!
//! What this module does not know: clocks (time is an argument) and what an entry means.

/// A moment, in milliseconds since the engine was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The moment `ms` milliseconds after this one.
    pub const fn after(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 if that is in the future.
    pub const fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A moment by the calendar, in milliseconds since 1970-01-01 00:00 UTC without leap seconds.
///
/// Somebody may set the clock, so of two moments the later one may be the smaller: good for what is
/// dated from outside, such as the end of a token, and never for how long something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The moment `ms` milliseconds after this one.
    pub const fn after(self, ms: u64) -> UnixMillis {
        UnixMillis(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 if that is in the future.
    pub const fn since(self, earlier: UnixMillis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds, as the dates in a JSON Web Token have them.
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// A moment as the wheel counts it, in steps of [`GRAIN_MS`] since the engine was started: half the
/// size of [`Millis`], for the moments that each connection keeps.
///
/// ```
/// use switchboard::timer::{Millis, Tick};
///
/// let heard = Tick::of(Millis(1_234)); // 1,300 ms: rounded up, so that nothing is early
/// assert_eq!(heard.after(5_000).millis(), Millis(6_300));
/// ```
///
/// It counts 13 years. After those every deadline is [`NEVER`](Tick::NEVER).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u32);

impl Tick {
    /// The moment that never comes.
    pub const NEVER: Tick = Tick(u32::MAX);

    /// The last one that comes.
    pub const LAST: Tick = Tick(u32::MAX - 1);

    /// The first tick at or after `now`; at most the [`LAST`](Tick::LAST), for it has come.
    pub fn of(now: Millis) -> Tick {
        Tick::due(now).min(Tick::LAST)
    }

    /// The first tick at or after `at`, which may be [`NEVER`](Tick::NEVER).
    pub fn due(at: Millis) -> Tick {
        Tick(u32::try_from(at.0.div_ceil(GRAIN_MS)).unwrap_or(u32::MAX))
    }

    /// The latest tick that has come at `now`.
    pub fn reached(now: Millis) -> Tick {
        Tick(u32::try_from(now.0 / GRAIN_MS).unwrap_or(u32::MAX)).min(Tick::LAST)
    }

    /// The first tick `ms` milliseconds or more after this one.
    pub fn after(self, ms: u64) -> Tick {
        Tick(self.0.saturating_add(Tick::due(Millis(ms)).0))
    }

    /// The same moment in milliseconds.
    pub fn millis(self) -> Millis {
        Millis(u64::from(self.0) * GRAIN_MS)
    }
}

/// A timer wheel over entries of type `T`; see the [module](self).
#[derive(Debug)]
pub struct Wheel<T> {
    slots: Vec<Vec<Entry<T>>>,
    /// The next tick whose slot has not been turned over yet.
    tick: u64,
    len: usize,
    /// No entry lies in the slot of an earlier tick. Asked once per tick of the event loop, so it
    /// is kept and not searched.
    earliest: u64,
}

#[derive(Debug)]
struct Entry<T> {
    tick: Tick,
    what: T,
}

impl<T> Wheel<T> {
    /// An empty wheel.
    pub fn new() -> Wheel<T> {
        Wheel { slots: (0..SLOTS).map(|_| Vec::new()).collect(), tick: 0, len: 0, earliest: 0 }
    }

    /// Puts in `what`, to come out at the first [`turn`](Wheel::turn) at or after `at`. What never
    /// comes out is not kept.
    pub fn insert(&mut self, at: Tick, what: T) {
        if at == Tick::NEVER {
            return;
        }
        let tick = u64::from(at.0).max(self.tick);
        self.slots[slot(tick)].push(Entry { tick: at, what });
        // The slot is seen at its next turn, which for a later turn of the wheel is too early.
        let seen = self.tick + (tick - self.tick) % SLOTS as u64;
        self.earliest = if self.len == 0 { seen } else { self.earliest.min(seen) };
        self.len += 1;
    }

    /// Moves everything due at `now` to `due`, in the order of ticks.
    pub fn turn(&mut self, now: Tick, due: &mut Vec<T>) {
        let until = u64::from(now.0);
        if until < self.tick {
            return;
        }
        if self.is_empty() {
            self.tick = until + 1;
            return;
        }
        // After a long sleep one whole turn is enough to see every slot.
        let slots = (until - self.tick + 1).min(SLOTS as u64);
        for step in 0..slots {
            let entries = &mut self.slots[slot(self.tick + step)];
            let mut i = 0;
            while i < entries.len() {
                if entries[i].tick <= now {
                    due.push(entries.swap_remove(i).what);
                    self.len -= 1;
                } else {
                    i += 1;
                }
            }
            // What a burst of connections needed is not kept for good.
            if entries.is_empty() && entries.capacity() > 64 {
                *entries = Vec::new();
            }
        }
        self.tick = until + 1;
        let ahead = (0..SLOTS as u64).find(|&step| !self.slots[slot(self.tick + step)].is_empty());
        self.earliest = self.tick + ahead.unwrap_or(0);
    }

    /// When to turn next: the moment of the first slot that holds anything. It may hold only
    /// entries of a later turn; then the wake-up finds nothing due.
    pub fn next(&self) -> Option<Tick> {
        let earliest = u32::try_from(self.earliest).unwrap_or(u32::MAX);
        (self.len > 0).then_some(Tick(earliest).min(Tick::LAST))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Wheel<T> {
        Wheel::new()
    }
}

fn slot(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

/// How fine the wheel is, in milliseconds.
pub const GRAIN_MS: u64 = 100;

const SLOTS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    /// Typed, because `serde_json` makes `== []` ambiguous.
    const NONE: [u32; 0] = [];

    fn due(at: u64) -> Tick {
        Tick::due(Millis(at))
    }

    fn turn(wheel: &mut Wheel<u32>, now: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.turn(Tick::reached(Millis(now)), &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn nothing_comes_out_early_and_nothing_more_than_a_grain_late() {
        for at in [0, 1, 99, 100, 101, 5_000, 51_199, 51_200, 51_201, 200_000] {
            let mut wheel = Wheel::new();
            wheel.insert(due(at), 7);
            let mut now = 0;
            while now < at {
                assert_eq!(turn(&mut wheel, now), NONE, "at {now} for {at}");
                now += 37;
            }
            assert_eq!(turn(&mut wheel, at.max(now) + GRAIN_MS), [7], "for {at}");
            assert!(wheel.is_empty());
        }
    }

    #[test]
    fn an_entry_for_a_connection_is_12_bytes() {
        assert_eq!(size_of::<Entry<(u32, u32)>>(), 12);
    }

    #[test]
    fn a_tick_is_rounded_up_where_something_waits_and_down_where_it_has_come() {
        for (ms, of, reached) in [(0, 0, 0), (1, 1, 0), (99, 1, 0), (100, 1, 1), (101, 2, 1)] {
            let now = Millis(ms);
            assert_eq!((Tick::of(now), Tick::reached(now)), (Tick(of), Tick(reached)), "{ms}");
            for wait in [0, 1, 10, 100, 25_000, 86_400_000] {
                let at = Tick::of(now).after(wait).millis().0;
                assert!(at >= ms + wait && at < ms + wait + 2 * GRAIN_MS, "{ms} + {wait}: {at}");
            }
        }
    }

    #[test]
    fn after_thirteen_years_nothing_is_due_any_more_and_nothing_is_taken_for_never() {
        let last = u64::from(Tick::LAST.0) * GRAIN_MS;
        for ms in [last - 1, last, last + 1, last + GRAIN_MS, last + 2 * GRAIN_MS, u64::MAX] {
            let (of, reached) = (Tick::of(Millis(ms)), Tick::reached(Millis(ms)));
            assert_eq!(of, Tick::LAST, "{ms}");
            assert!(reached <= Tick::LAST, "{ms}");
            assert_eq!(of.after(1), Tick::NEVER, "{ms}");
            assert_eq!(of.after(u64::MAX), Tick::NEVER, "{ms}");
        }
        assert_eq!(Tick::due(Millis(last + 1)), Tick::NEVER);
        let mut wheel = Wheel::new();
        wheel.insert(Tick::NEVER, 1);
        assert_eq!((wheel.next(), turn(&mut wheel, u64::MAX)), (None, NONE.to_vec()));
        wheel.insert(Tick(7), 2);
        assert_eq!(wheel.next(), Some(Tick::LAST), "it is late, and due at once");
        wheel.insert(Tick::LAST, 3);
        assert_eq!(turn(&mut wheel, u64::MAX), NONE, "the wheel stands still");
    }

    #[test]
    fn a_long_sleep_loses_nothing() {
        let mut wheel = Wheel::new();
        for i in 0..1000 {
            wheel.insert(due(u64::from(i) * 531), i);
        }
        assert_eq!(turn(&mut wheel, 10_000_000).len(), 1000);
        wheel.insert(due(5), 1);
        assert_eq!(turn(&mut wheel, 10_000_200), [1], "a deadline in the past is due at once");
    }

    #[test]
    fn next_is_never_later_than_the_first_deadline() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next(), None);
        wheel.insert(due(60_050), 1);
        let mut now = 0;
        while let Some(Millis(next)) = wheel.next().map(Tick::millis) {
            assert!(next >= now && next <= 60_100, "{next}");
            now = next;
            if turn(&mut wheel, now) == [1] {
                break;
            }
        }
        assert_eq!(now, 60_100);
    }

    #[test]
    fn a_clock_that_stands_still_or_jumps_back_is_harmless() {
        let mut wheel = Wheel::new();
        wheel.insert(due(1_000), 1);
        assert_eq!(turn(&mut wheel, 900), NONE);
        assert_eq!(turn(&mut wheel, 100), NONE);
        assert_eq!(turn(&mut wheel, 900), NONE);
        assert_eq!(turn(&mut wheel, 1_000), [1]);
    }
}
