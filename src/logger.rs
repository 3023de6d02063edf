//! Log lines on stderr.
//!
//! ```text
//! 2026-11-22T04:12:10.123Z info opened conn=3 peer=127.0.0.1:50000
//! \______________________/ \__/ \_______________________________/
//!        UTC, RFC 3339     level  message, key=value by convention
//! ```
//!
//! One record is one line and one write: what would break the line is escaped, so that nothing a
//! peer sends can forge an entry. Records of other crates, and those of level debug and trace, end
//! with `target=MODULE`, the name that a [`Filter`] takes. A stderr that is gone, or that nobody
//! reads, is no reason to stop: lines are lost, the server is not. So a thread of its own writes
//! them, from a bounded queue; `dropped_lines=N` stands where N did not fit.
//!
//! This module does not know what is logged. Cutting and quoting the values that peers send is
//! done where the record is made.

mod queue;

use std::any::Any;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::panic::{Location, PanicHookInfo};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};

use queue::Queue;

/// Which records are written: a level for all, and levels for some targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    level: LevelFilter,
    /// Longest target first, so that the first match is the closest one.
    targets: Vec<(String, LevelFilter)>,
}

impl Filter {
    /// Reads `debug`, `switchboard::net=debug`, `warn,switchboard=debug,mio=off`. A level alone is
    /// for every target that is not named; it is `info` when there is none.
    ///
    /// # Errors
    ///
    /// [`FilterError`] for an empty text or item, an unknown level, and, if `bare` refuses it, a
    /// target without a level.
    pub fn parse(text: &str, bare: BareTarget) -> Result<Filter, FilterError> {
        let mut filter = Filter::default();
        for item in text.split(',').map(str::trim) {
            match (item.split_once('='), item.parse()) {
                (Some((target, level)), _) if is_target(target.trim()) => {
                    let level = level.trim().parse().map_err(|_| FilterError::UnknownLevel)?;
                    filter.targets.push((target.trim().to_owned(), level));
                }
                (None, Ok(level)) => filter.level = level,
                (None, Err(_)) if bare == BareTarget::Everything && is_target(item) => {
                    filter.targets.push((item.to_owned(), LevelFilter::Trace));
                }
                (None, Err(_)) if is_target(item) => return Err(FilterError::UnknownLevel),
                _ => return Err(FilterError::Malformed),
            }
        }
        // The later of two equal targets decides; sorting is stable, so it is put first here.
        filter.targets.reverse();
        filter.targets.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        Ok(filter)
    }

    /// Whether a record of this level and target is written.
    pub fn allows(&self, level: Level, target: &str) -> bool {
        let mut targets = self.targets.iter();
        let closest = targets.find(|(prefix, _)| is_within(target, prefix));
        level <= closest.map_or(self.level, |(_, level)| *level)
    }

    /// The most talkative level of the filter.
    pub fn max_level(&self) -> LevelFilter {
        self.targets.iter().fold(self.level, |max, (_, level)| max.max(*level))
    }
}

impl Default for Filter {
    fn default() -> Filter {
        Filter { level: LevelFilter::Info, targets: Vec::new() }
    }
}

/// As [`Filter::parse`] reads it.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.level.as_str().to_ascii_lowercase())?;
        // The first of two equal targets decides here, the later one where it is read.
        for (target, level) in self.targets.iter().rev() {
            write!(f, ",{target}={}", level.as_str().to_ascii_lowercase())?;
        }
        Ok(())
    }
}

/// What a target without a level means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareTarget {
    /// Everything of that target, as `RUST_LOG` has it.
    Everything,
    /// Nothing: it is more likely a misspelled level.
    Refused,
}

/// Why a filter cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// Not a list of levels and targets.
    Malformed,
    /// A word that is not a level where one has to stand.
    UnknownLevel,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FilterError::Malformed => "not a filter such as debug or warn,switchboard=debug",
            FilterError::UnknownLevel => "not a level: off, error, warn, info, debug or trace",
        })
    }
}

impl std::error::Error for FilterError {}

/// Writes every record that the filter allows to stderr from now on, panics too. Called once at
/// start; a second call changes the filter and nothing else.
///
/// Keep what it returns until the end: records are written by another thread, and those that are
/// still queued when the process ends are lost.
pub fn install(filter: Filter) -> Installed {
    let is_first = log::set_logger(&LOGGER).is_ok();
    set_filter(filter);
    if is_first {
        let writer = thread::Builder::new().name("log".to_owned());
        let writer = writer.spawn(|| LOGGER.queue.run(&mut std::io::stderr(), dropped_line));
        if writer.is_ok() {
            let _ = LOGGER.has_writer.set(());
        }
        std::panic::set_hook(Box::new(log_panic));
    }
    Installed(())
}

/// Writes what this filter allows from now on, and no longer what the one before it allowed.
pub fn set_filter(filter: Filter) {
    let max_level = filter.max_level();
    // A filter is replaced whole: whoever panicked there has left nothing half done.
    *LOGGER.filter.write().unwrap_or_else(PoisonError::into_inner) = Some(filter);
    log::set_max_level(max_level);
}

/// Waits half a second at most until everything that was logged is written, and says whether it
/// is: if not, nobody reads stderr, and who writes to it may wait for ever.
pub fn flush() -> bool {
    LOGGER.queue.wait_until_written(FLUSH_MAX)
}

/// The logger is installed. Dropped, it [flushes](flush).
#[derive(Debug)]
#[must_use = "what is queued when the process ends is lost"]
pub struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = flush();
    }
}

/// The one logger of the process.
struct StderrLog {
    /// Read for each record that the most talkative level lets through; written on SIGHUP.
    filter: RwLock<Option<Filter>>,
    queue: Queue,
    /// Set once there is a thread that writes what is queued.
    has_writer: OnceLock<()>,
}

static LOGGER: StderrLog =
    StderrLog { filter: RwLock::new(None), queue: Queue::new(), has_writer: OnceLock::new() };

impl Log for StderrLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let filter = self.filter.read().unwrap_or_else(PoisonError::into_inner);
        filter.as_ref().is_some_and(|filter| filter.allows(metadata.level(), metadata.target()))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = line(unix_millis(), record);
        if self.has_writer.get().is_some() {
            self.queue.push(line);
        } else {
            // The system gave us no thread. Not `eprint!`, which panics when stderr is closed.
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {
        let _ = flush();
    }
}

fn unix_millis() -> u64 {
    // A clock before 1970 is written as 1970: a log line is no place to fail.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// What stands for `count` lines that did not fit into the queue.
fn dropped_line(count: u64) -> String {
    let mut record = Record::builder();
    let record = record.level(Level::Warn).target(OWN_TARGET);
    line(unix_millis(), &record.args(format_args!("dropped_lines={count}")).build())
}

/// The panic hook: a panic is one error line like any other.
fn log_panic(panic: &PanicHookInfo<'_>) {
    log::error!("{}", panic_text(panic.payload(), panic.location()));
}

fn panic_text(payload: &dyn Any, place: Option<&Location<'_>>) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message: String = text.unwrap_or("not a text").chars().take(PANIC_SHOWN_MAX).collect();
    match place {
        Some(place) => format!("panicked at={place} message={message:?}"),
        None => format!("panicked message={message:?}"),
    }
}

/// One record as one line, its end included.
fn line(unix_millis: u64, record: &Record<'_>) -> String {
    let level = match record.level() {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    let mut line = Escaped(String::with_capacity(160));
    // Writing into a `String` does not fail; a `Display` that does leaves its line short.
    let _ = write!(line, "{} {level} {}", Timestamp(unix_millis), record.args());
    if record.level() >= Level::Debug || !is_within(record.target(), OWN_TARGET) {
        let _ = write!(line, " target={}", record.target());
    }
    line.0.push('\n');
    line.0
}

/// A text in which a line stays a line, and a terminal sees no commands.
struct Escaped(String);

impl fmt::Write for Escaped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            // LINE and PARAGRAPH SEPARATOR are no control characters, yet end a line for some.
            if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, displayed as RFC 3339 has it.
pub(crate) struct Timestamp(pub(crate) u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1_000, self.0 % 1_000);
        let (year, month, day) = civil_date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// The year is taken to begin on 1 March, so that the leap day is its last day, and days are
/// counted from 1 March of the year 0. After that every 400 years are alike.
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468; // from 0000-03-01 to 1970-01-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    // Take out the leap days: one in 4 years, none in 100, one in 400.
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, five months in a row have 153 days.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Whether a target is the module `prefix` or lies within it.
fn is_within(target: &str, prefix: &str) -> bool {
    target.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Whether a text looks like the path of a module.
fn is_target(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:.".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// Our own records; their target is left out where it tells nothing.
const OWN_TARGET: &str = "switchboard";
/// How long the end of the process may wait for stderr.
const FLUSH_MAX: Duration = Duration::from_millis(500);
/// A panic's message is cut after so many characters: it may quote what a peer sent.
const PANIC_SHOWN_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::parse(text, BareTarget::Refused).unwrap()
    }

    fn line_of(level: Level, target: &str, message: &str) -> String {
        let mut record = Record::builder();
        line(0, &record.level(level).target(target).args(format_args!("{message}")).build())
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_234_567_890_123, "2009-02-13T23:31:30.123Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_795_320_730_123, "2026-11-22T04:12:10.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ];
        for (millis, wanted) in cases {
            assert_eq!(Timestamp(millis).to_string(), wanted);
        }
        let _ = Timestamp(u64::MAX).to_string(); // does not panic
    }

    #[test]
    fn every_day_follows_the_one_before_it() {
        let is_leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..200_000 {
            assert_eq!(civil_date(days), (year, month, day), "{days}");
            let last = match month {
                2 if is_leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn a_record_is_one_line() {
        assert_eq!(
            line_of(Level::Info, "switchboard::engine", "opened conn=3"),
            "1970-01-01T00:00:00.000Z info opened conn=3\n"
        );
        assert_eq!(
            line_of(Level::Warn, "switchboard", "a\nb\r\x1b[2J\u{2028}\u{85}\\n 你好"),
            "1970-01-01T00:00:00.000Z warn a\\nb\\r\\u{1b}[2J\\u{2028}\\u{85}\\n 你好\n"
        );
    }

    #[test]
    fn dropped_lines_are_a_line() {
        let line = dropped_line(12);
        assert!(line.ends_with("Z warn dropped_lines=12\n"), "{line}");
    }

    #[test]
    fn a_panic_is_one_line_with_its_place() {
        let place = Location::caller();
        let text = panic_text(&"index 7\nis out", Some(place));
        let at = format!("{}:{}:{}", place.file(), place.line(), place.column());
        assert_eq!(text, format!("panicked at={at} message=\"index 7\\nis out\""));
        assert_eq!(panic_text(&"x".to_owned(), None), "panicked message=\"x\"");
        assert_eq!(panic_text(&5, None), "panicked message=\"not a text\"");
        assert!(panic_text(&"x".repeat(100_000), None).len() < 1_100);
    }

    #[test]
    fn the_target_is_named_where_it_tells_something() {
        let foreign = line_of(Level::Error, "mio::poll", "x");
        assert_eq!(foreign, "1970-01-01T00:00:00.000Z error x target=mio::poll\n");
        let detail = line_of(Level::Debug, "switchboard::net", "x");
        assert_eq!(detail, "1970-01-01T00:00:00.000Z debug x target=switchboard::net\n");
        let lookalike = line_of(Level::Info, "switchboarding", "x");
        assert!(lookalike.ends_with(" target=switchboarding\n"));
    }

    #[test]
    fn filters_choose_by_the_longest_target() {
        let all = filter("debug");
        assert!(all.allows(Level::Debug, "mio") && !all.allows(Level::Trace, "mio"));
        assert_eq!(all.max_level(), LevelFilter::Debug);

        let some = filter("warn, switchboard=debug ,switchboard::net=off,mio=trace");
        assert!(some.allows(Level::Warn, "other") && !some.allows(Level::Info, "other"));
        assert!(some.allows(Level::Debug, "switchboard::engine"));
        assert!(!some.allows(Level::Error, "switchboard::net::reactor"));
        assert!(some.allows(Level::Debug, "switchboard::network"));
        assert!(!some.allows(Level::Info, "switchboarding"));
        assert_eq!(some.max_level(), LevelFilter::Trace);

        let unnamed = filter("switchboard=debug");
        assert!(unnamed.allows(Level::Info, "mio") && !unnamed.allows(Level::Debug, "mio"));
        let later_decides = filter("mio=warn,mio=trace");
        assert!(later_decides.allows(Level::Trace, "mio"));
        assert!(!filter("OFF").allows(Level::Error, "switchboard"));
    }

    #[test]
    fn what_is_shown_is_read_back() {
        let texts = ["info", "off", "warn,a=debug,a::b=off", "mio=warn,mio=trace,io=off"];
        for text in texts {
            let read = filter(text);
            assert_eq!(filter(&read.to_string()), read, "{read}");
        }
        let bare = Filter::parse("mio", BareTarget::Everything).unwrap();
        assert_eq!(bare.to_string(), "info,mio=trace");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in ["debg", "mio", "mio=loud", "mio="] {
            let error = Filter::parse(text, BareTarget::Refused);
            assert_eq!(error, Err(FilterError::UnknownLevel), "{text}");
        }
        for text in ["", ",", "info,", "=debug", "a b", "a[span]=debug", "info/regex"] {
            for bare in [BareTarget::Refused, BareTarget::Everything] {
                assert_eq!(Filter::parse(text, bare), Err(FilterError::Malformed), "{text}");
            }
        }
        let bare = Filter::parse("mio", BareTarget::Everything).unwrap();
        assert!(bare.allows(Level::Trace, "mio::poll") && !bare.allows(Level::Debug, "other"));
    }
}
