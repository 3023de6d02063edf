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

/// A moment, in milliseconds since the engine was started. The only notion of time inside.
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
    tick: u64,
    what: T,
}

impl<T> Wheel<T> {
    /// An empty wheel.
    pub fn new() -> Wheel<T> {
        Wheel { slots: (0..SLOTS).map(|_| Vec::new()).collect(), tick: 0, len: 0, earliest: 0 }
    }

    /// Puts in `what`, to come out at the first [`turn`](Wheel::turn) at or after `at`, never
    /// before it and at most [`GRAIN_MS`] late.
    pub fn insert(&mut self, at: Millis, what: T) {
        // Rounded up, so that nothing comes out early.
        let tick = at.0.div_ceil(GRAIN_MS).max(self.tick);
        self.slots[slot(tick)].push(Entry { tick, what });
        // The slot is seen at its next turn, which for a later turn of the wheel is too early.
        let seen = self.tick + (tick - self.tick) % SLOTS as u64;
        self.earliest = if self.len == 0 { seen } else { self.earliest.min(seen) };
        self.len += 1;
    }

    /// Moves everything due at `now` to `due`, in the order of ticks.
    pub fn turn(&mut self, now: Millis, due: &mut Vec<T>) {
        let until = now.0 / GRAIN_MS;
        if until < self.tick {
            return;
        }
        // After a long sleep one whole turn is enough to see every slot.
        let slots = (until - self.tick + 1).min(SLOTS as u64);
        for step in 0..slots {
            let entries = &mut self.slots[slot(self.tick + step)];
            let mut i = 0;
            while i < entries.len() {
                if entries[i].tick <= until {
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
    pub fn next(&self) -> Option<Millis> {
        (self.len > 0).then_some(Millis(self.earliest * GRAIN_MS))
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

    fn turn(wheel: &mut Wheel<u32>, now: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.turn(Millis(now), &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn nothing_comes_out_early_and_nothing_more_than_a_grain_late() {
        for at in [0, 1, 99, 100, 101, 5_000, 51_199, 51_200, 51_201, 200_000] {
            let mut wheel = Wheel::new();
            wheel.insert(Millis(at), 7);
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
    fn a_long_sleep_loses_nothing() {
        let mut wheel = Wheel::new();
        for i in 0..1000 {
            wheel.insert(Millis(u64::from(i) * 531), i);
        }
        assert_eq!(turn(&mut wheel, 10_000_000).len(), 1000);
        wheel.insert(Millis(5), 1);
        assert_eq!(turn(&mut wheel, 10_000_200), [1], "a deadline in the past is due at once");
    }

    #[test]
    fn next_is_never_later_than_the_first_deadline() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next(), None);
        wheel.insert(Millis(60_050), 1);
        let mut now = 0;
        while let Some(Millis(next)) = wheel.next() {
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
        wheel.insert(Millis(1_000), 1);
        assert_eq!(turn(&mut wheel, 900), NONE);
        assert_eq!(turn(&mut wheel, 100), NONE);
        assert_eq!(turn(&mut wheel, 900), NONE);
        assert_eq!(turn(&mut wheel, 1_000), [1]);
    }
}
