//! What the machine allows: descriptors and memory.

/// Raises the soft limit of open descriptors to the hard one and returns what it is then.
pub(super) fn raise_descriptor_limit() -> u64 {
    let raised = rlimit::increase_nofile_limit(u64::MAX);
    raised.or_else(|_| rlimit::Resource::NOFILE.get_soft()).unwrap_or(DESCRIPTORS_FALLBACK)
}

/// The memory there is, in bytes: the machine's, or the control group's if that is less.
pub(super) fn memory_bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total(&text));
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    match (machine, group) {
        (Some(machine), Some(group)) => machine.min(group),
        (machine, group) => machine.or(group).unwrap_or(MEMORY_FALLBACK_BYTES),
    }
}

fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// What POSIX promises at least, in practice.
const DESCRIPTORS_FALLBACK: u64 = 256;

const MEMORY_FALLBACK_BYTES: u64 = 4 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_in_kibibytes() {
        assert_eq!(mem_total("MemTotal:       24000000 kB\nMemFree: 1 kB\n"), Some(24_576_000_000));
        assert_eq!(mem_total("MemTotal: many kB\n"), None);
        assert_eq!(mem_total(""), None);
    }
}
