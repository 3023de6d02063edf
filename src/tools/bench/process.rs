//! What the kernel knows about a process: processor time, waiting for a processor, memory.
//!
//! ```text
//! /proc/PID/task/TID/schedstat    run_ns wait_ns slices       of each thread
//! /proc/PID/stat                  ... utime stime ...         in ticks of 10 ms, all threads
//! /proc/PID/smaps_rollup          Rss: 9012 kB                counted page by page
//! /proc/PID/status                VmRSS: 9012 kB              off by up to some hundred KiB
//! ```
//!
//! That is Linux; elsewhere there is nothing to be had.

use std::fs;

/// Processor time of a process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Nanoseconds that it ran.
    pub run_ns: u64,
    /// Nanoseconds that it could have run, but others had the processor: noise.
    pub wait_ns: Option<u64>,
}

impl Usage {
    /// What was used since `before`.
    pub fn since(self, before: Usage) -> Usage {
        let wait_ns = self.wait_ns.zip(before.wait_ns);
        Usage {
            run_ns: self.run_ns.saturating_sub(before.run_ns),
            wait_ns: wait_ns.map(|(after, before)| after.saturating_sub(before)),
        }
    }
}

/// Processor time of all threads of a process; `None` if there is no such process, or no `/proc`.
pub fn usage(pid: u32) -> Option<Usage> {
    let mut sum = Usage { run_ns: 0, wait_ns: Some(0) };
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat"));
        let Some((run_ns, wait_ns)) = text.ok().as_deref().and_then(schedstat) else { continue };
        sum.run_ns += run_ns;
        sum.wait_ns = sum.wait_ns.map(|sum| sum + wait_ns);
        threads += 1;
    }
    // Kernels without these statistics have zeros there, or no file.
    if threads > 0 && sum.run_ns > 0 {
        return Some(sum);
    }
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(Usage { run_ns: stat_ticks(&text)? * TICK_NS, wait_ns: None })
}

/// Processor time of this process.
pub fn own_usage() -> Option<Usage> {
    usage(std::process::id())
}

/// Resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let read = |file: &str, field: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        kibibytes(&text, field)
    };
    read("smaps_rollup", "Rss:").or_else(|| read("status", "VmRSS:"))
}

fn schedstat(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// User and system time: the 14th and 15th field, counted from the last parenthesis, because the
/// name between the parentheses may hold anything.
fn stat_ticks(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// A tick is 10 ms wherever Linux runs on common hardware.
const TICK_NS: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_kernel_are_read() {
        assert_eq!(schedstat("20713 4522 34\n"), Some((20_713, 4_522)));
        let stat = "1 (a ) b) S 0 1 1 0 -1 4194560 1 2 3 4 250 50 7 8 20 0 1 0 3 1 2";
        assert_eq!(stat_ticks(stat), Some(300));
        assert_eq!(kibibytes("Rss:      12 kB\nPss: 1 kB\n", "Rss:"), Some(12_288));
        assert_eq!(kibibytes("Rss: many kB\n", "Rss:"), None);
    }

    #[test]
    fn differences_are_of_what_both_know() {
        let (before, after) =
            (Usage { run_ns: 5, wait_ns: Some(1) }, Usage { run_ns: 9, wait_ns: Some(3) });
        assert_eq!(after.since(before), Usage { run_ns: 4, wait_ns: Some(2) });
        let ticks = Usage { run_ns: 9, wait_ns: None };
        assert_eq!(ticks.since(before), Usage { run_ns: 4, wait_ns: None });
    }
}
