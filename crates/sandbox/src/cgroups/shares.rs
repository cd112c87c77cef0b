//! Shares in proportion to memory, as on AWS: 1792 MB are one CPU.

use std::path::Path;

/// Memory that comes with one CPU.
const ONE_CPU_BYTES: u64 = 1792 << 20;

/// How often a sandbox gets its share of CPU time, in microseconds.
///
/// The kernel's default of 100 ms stops a function of 128 MB, once its 7 ms are spent, for up to 93 ms: an
/// event that follows another one waits that long. With 20 ms the wait is at most 19 ms, and still the
/// quota of the smallest function (1.4 ms) is above [`SHORTEST_QUOTA_US`]; with 10 ms it would not be.
/// What is lost is the longer burst that a rested function may run unthrottled; AWS does not grant it
/// either.
const PERIOD_US: u64 = 20_000;
/// The kernel refuses shorter quotas (`min_cfs_quota_period` in `kernel/sched/core.c`).
const SHORTEST_QUOTA_US: u64 = 1_000;
/// And longer periods.
const LONGEST_PERIOD_US: u64 = 1_000_000;

/// CPU time that all processes of a sandbox may use together in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bandwidth {
    pub(super) quota_us: u64,
    pub(super) period_us: u64,
}

impl Bandwidth {
    /// The share that comes with so much memory. Where the quota would be too short for the kernel the
    /// period is longer instead; below 1.8 MB the share stays what it is there.
    pub(super) fn of_memory(bytes: u64) -> Self {
        let quota_us = scaled(PERIOD_US, bytes, ONE_CPU_BYTES);
        if quota_us >= SHORTEST_QUOTA_US {
            return Self { quota_us, period_us: PERIOD_US };
        }
        let period_us = scaled(SHORTEST_QUOTA_US, ONE_CPU_BYTES, bytes.max(1)).min(LONGEST_PERIOD_US);
        Self { quota_us: SHORTEST_QUOTA_US, period_us }
    }
}

/// A weight among neighbours and the range that its file takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight {
    at_one_cpu: u64,
    lowest: u64,
    highest: u64,
}

/// `cpu.weight` of v2.
pub(super) const CPU_V2: Weight = Weight { at_one_cpu: 100, lowest: 1, highest: 10_000 };
/// `cpu.shares` of v1.
pub(super) const CPU_V1: Weight = Weight { at_one_cpu: 1024, lowest: 2, highest: 262_144 };

/// Files that weigh disk time: the first of v2 is iocost's, those with `bfq` are that scheduler's, the
/// last is that of old kernels' CFQ.
pub(super) const IO: [(&str, Weight); 4] = [
    ("io.weight", Weight { at_one_cpu: 100, lowest: 1, highest: 10_000 }),
    ("io.bfq.weight", Weight { at_one_cpu: 100, lowest: 1, highest: 1_000 }),
    ("blkio.bfq.weight", Weight { at_one_cpu: 100, lowest: 1, highest: 1_000 }),
    ("blkio.weight", Weight { at_one_cpu: 100, lowest: 10, highest: 1_000 }),
];

impl Weight {
    /// The weight that comes with so much memory.
    pub(super) fn of_memory(self, bytes: u64) -> u64 {
        scaled(self.at_one_cpu, bytes, ONE_CPU_BYTES).clamp(self.lowest, self.highest)
    }
}

/// `value * numerator / denominator`, to the nearest.
fn scaled(value: u64, numerator: u64, denominator: u64) -> u64 {
    let exact = u128::from(value) * u128::from(numerator) + u128::from(denominator / 2);
    u64::try_from(exact / u128::from(denominator)).unwrap_or(u64::MAX)
}

/// Whether a disk below this directory (`/sys/block`) has a scheduler that heeds weights of v1. Entering
/// a hierarchy of v1 costs time at each start, which is wasted where none does.
///
/// Loop devices are passed over: there may be a thousand, and what they do is done by the disk that their files are on.
pub(super) fn a_disk_heeds_weights(block_devices: &Path) -> bool {
    let devices = std::fs::read_dir(block_devices).into_iter().flatten().flatten();
    devices
        .filter(|device| !device.file_name().as_encoded_bytes().starts_with(b"loop"))
        .filter_map(|device| std::fs::read_to_string(device.path().join("queue/scheduler")).ok())
        .any(|schedulers| schedulers.split_ascii_whitespace().any(|name| matches!(name, "[bfq]" | "[cfq]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn bandwidth_is_proportional_within_what_the_kernel_takes() {
        for (mebibytes, quota_us, period_us) in [
            (1792, 20_000, 20_000),
            (128, 1_429, 20_000),
            (10_240, 114_286, 20_000),
            (64, 1_000, 28_000),
            (2, 1_000, 896_000),
            (1, 1_000, 1_000_000),
        ] {
            let expected = Bandwidth { quota_us, period_us };
            assert_eq!(Bandwidth::of_memory(mebibytes * MIB), expected, "{mebibytes} MiB");
        }
    }

    #[test]
    fn weights_stay_in_the_range_of_their_file() {
        assert_eq!([128, 1792, 10_240].map(|m| CPU_V2.of_memory(m * MIB)), [7, 100, 571]);
        assert_eq!([128, 1792, 10_240].map(|m| CPU_V1.of_memory(m * MIB)), [73, 1024, 5851]);
        assert_eq!([1, 128, 1 << 20].map(|m| IO[1].1.of_memory(m * MIB)), [1, 7, 1000]);
        assert_eq!([1, 128, 10_240].map(|m| IO[3].1.of_memory(m * MIB)), [10, 10, 571]);
    }

    #[test]
    fn the_scheduler_in_brackets_counts() {
        let directory = tempfile::tempdir().expect("temporary directory");
        assert!(!a_disk_heeds_weights(directory.path()));
        let of_a_file = directory.path().join("loop0/queue");
        std::fs::create_dir_all(&of_a_file).expect("make directory");
        std::fs::write(of_a_file.join("scheduler"), "none [bfq]\n").expect("write");
        let queue = directory.path().join("vda/queue");
        std::fs::create_dir_all(&queue).expect("make directory");
        for (schedulers, heeded) in [("[none] mq-deadline bfq\n", false), ("none [bfq]\n", true)] {
            std::fs::write(queue.join("scheduler"), schedulers).expect("write");
            assert_eq!(a_disk_heeds_weights(directory.path()), heeded, "{schedulers}");
        }
    }
}
