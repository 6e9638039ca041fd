//! What Linux tells of the own process.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::param::{clock_ticks_per_second, page_size};

/// Figures of the own process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Resident memory.
    pub(crate) resident_bytes: u64,
    /// Virtual memory.
    pub(crate) virtual_bytes: u64,
    /// Open file descriptors.
    pub(crate) open_files: u64,
    /// Most file descriptors that may be open.
    pub(crate) most_files: u64,
    /// Threads.
    pub(crate) threads: u64,
    /// When it started.
    pub(crate) started_unix_seconds: f64,
}

/// Reads `/proc/self` (proc(5)); `None` where there is none.
pub(crate) fn figures() -> Option<Figures> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name in parentheses, which may itself hold spaces and parentheses.
    let fields: Vec<u64> = stat.rsplit_once(')')?.1.split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let ticks = clock_ticks_per_second();
    let most_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    Some(Figures {
        cpu: ticks_to_time(field(14)? + field(15)?, ticks),
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * page_size() as u64,
        open_files: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
        most_files,
        threads: field(20)?,
        started_unix_seconds: (booted()? + ticks_to_time(field(22)?, ticks)).as_secs_f64(),
    })
}

/// Memory of the machine, in bytes.
pub(crate) fn memory_of_machine() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes: u64 =
        info.lines().find_map(|l| l.strip_prefix("MemTotal:"))?.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes * 1024)
}

fn ticks_to_time(count: u64, per_second: u64) -> Duration {
    Duration::from_nanos(count * (1_000_000_000 / per_second.max(1)))
}

/// When the machine booted, since 1970.
fn booted() -> Option<Duration> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    SystemTime::now().duration_since(UNIX_EPOCH).ok()?.checked_sub(Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_running_process_are_plausible() {
        let figures = figures().unwrap();
        assert!(figures.resident_bytes > 1 << 20 && figures.resident_bytes < figures.virtual_bytes);
        assert!(figures.open_files >= 3 && figures.threads >= 1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - figures.started_unix_seconds) < 3600.0 && now + 1.0 > figures.started_unix_seconds);
        assert!(memory_of_machine().unwrap() > figures.resident_bytes);
    }
}
