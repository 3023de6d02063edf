//! Trouble: how long a disk has been failing, what is said about it, and when to try again.
//!
//! ```text
//!   failed  failed        failed                failed          committed
//!   "messages cannot be kept: No space left on device (os error 28)"     at most every 10 s
//!      0 s    0.1 s  0.2 s        0.4 s ... 5 s         "the store is well again after 12 s"
//! ```

use std::fmt::Display;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use log::{error, info};

/// A failing disk.
#[derive(Debug)]
pub(super) struct Trouble {
    /// The first pause; each is twice as long as the one before, up to 50 times this.
    pause_min: Duration,
    /// How often it has failed without a commit in between.
    failures: u32,
    since: Option<Instant>,
    /// When something was said last.
    said: Option<Instant>,
    /// Whether that was that it fails.
    is_told: bool,
    /// Whether something failed in a way that leaves open what is on the disk.
    is_doubtful: bool,
}

impl Trouble {
    /// Nothing has failed yet.
    pub fn with_pause(pause_min: Duration) -> Trouble {
        let (since, said) = (None, None);
        Trouble { pause_min, failures: 0, since, said, is_told: false, is_doubtful: false }
    }

    /// Something failed.
    pub fn note(&mut self, why: &dyn Display) {
        let now = Instant::now();
        self.failures = self.failures.saturating_add(1);
        self.since.get_or_insert(now);
        if self.said.is_none_or(|said| now.duration_since(said) >= SAID_EVERY) {
            self.said = Some(now);
            self.is_told = true;
            error!("messages cannot be kept: {why}; their senders are asked to try again");
        }
    }

    /// Considers what a failure means. When a disk is full, what was not written is not there;
    /// otherwise nobody knows what an earlier sync was worth.
    pub fn suspect(&mut self, error: &redb::Error) {
        let is_full = matches!(error, redb::Error::Io(error) if matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
        ));
        self.is_doubtful |= !is_full;
    }

    /// Whether the next start should not trust what it finds, if there is no clean end before.
    pub fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// Something was committed.
    pub fn end(&mut self) {
        self.failures = 0;
        let since = self.since.take();
        // If it fails and recovers all the time, neither is said each time.
        if let Some(since) = since.filter(|_| std::mem::take(&mut self.is_told)) {
            info!("the store is well again after {} s", since.elapsed().as_secs());
        }
    }

    /// The file could not be closed.
    pub fn close(&self, error: &dyn Display) {
        error!("the store could not be closed: {error}; the next start looks at what is there");
    }

    /// How long to wait before the next attempt.
    pub fn pause(&self) -> Duration {
        match self.failures.checked_sub(2) {
            None => Duration::ZERO,
            Some(times) => {
                self.pause_min * 2_u32.saturating_pow(times.min(16)).min(PAUSE_GROWTH_MAX)
            }
        }
    }
}

const SAID_EVERY: Duration = Duration::from_secs(10);
const PAUSE_GROWTH_MAX: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_have_a_limit() {
        let mut trouble = Trouble::with_pause(Duration::from_millis(100));
        let pauses: Vec<u128> = (0..10)
            .map(|_| {
                trouble.note(&"a test");
                trouble.pause().as_millis()
            })
            .collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
        trouble.end();
        assert_eq!(trouble.pause(), Duration::ZERO);
    }

    #[test]
    fn only_a_full_disk_leaves_no_doubt() {
        for (code, doubt) in [(28, false), (27, false), (122, false), (5, true), (30, true)] {
            let mut trouble = Trouble::with_pause(Duration::from_millis(100));
            trouble.suspect(&redb::Error::Io(std::io::Error::from_raw_os_error(code)));
            assert_eq!(trouble.is_doubtful(), doubt, "{code}");
        }
        let mut trouble = Trouble::with_pause(Duration::from_millis(100));
        trouble.suspect(&redb::Error::PreviousIo);
        assert!(trouble.is_doubtful());
    }
}
