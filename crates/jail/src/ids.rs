//! Which ids of the host sandboxes get, so that no two of them share any: not of one daemon, and not of two.
//!
//! A daemon takes ids from blocks that it holds a lock of: a file in [`LOCKS`] for each block, named after its
//! first id. The lock goes with the spawner, however that ends, and all its sandboxes go with it as well.
//! Which block is tried first is left to chance: so it is seldom one whose sandboxes are just dying, and
//! daemons that cannot see each other's locks, in containers, seldom meet.

use std::collections::HashSet;
use std::fs::{File, Permissions, TryLockError};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::thread::CapabilitySet;

use crate::error::{Step, StepError};
use crate::identity::Lease;

/// Where the locks are. Empty after a boot, and only root can make something in it.
const LOCKS: &str = "/run/lambd/uids";

/// Host ids that sandboxes may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    first: u32,
    count: u32,
    /// How many of them a daemon takes at once, an even number.
    block: u32,
}

/// Where to look for free host ids, best first.
const WINDOWS: [Window; 2] = [
    // The range that systemd's "Users, Groups, UIDs and GIDs" documents as unused and free for such
    // purposes, as far as it stays below 2^31, beyond which some programs read a negative number.
    Window { first: 0x7000_0000, count: 0x1000_0000, block: 0x4_0000 },
    // What a container that maps only 65,536 ids has: the upper part of those for ordinary users.
    Window { first: 40_000, count: 20_000, block: 400 },
];

/// What a process needs to give ids to another.
const TO_GIVE_IDS: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::SETGID);

/// What it needs besides where the other is in the same user namespace: to give files to it, and to send
/// signals to it.
const TO_SERVE_IDS: CapabilitySet = CapabilitySet::CHOWN.union(CapabilitySet::KILL);

/// How ids of this process's user namespace are given to sandboxes.
pub(crate) enum HostIds {
    /// Two ids per sandbox.
    Pairs(Pairs),
    /// The daemon's own ids, shared by all sandboxes.
    Own,
}

/// Ids that this process alone gives to sandboxes.
pub(crate) struct Pairs {
    window: Window,
    locks: PathBuf,
    blocks: Vec<Block>,
    /// First ids of living sandboxes.
    used: HashSet<u32>,
    /// Which pair of the blocks to try next.
    next: u32,
}

struct Block {
    first: u32,
    /// Locked. `None` where no such file can be made, as in a container with a read-only root.
    _lock: Option<File>,
}

impl HostIds {
    /// Decides by the rights of this process and by what its own user namespace maps (a container's
    /// root may be root of a few ids only).
    pub(crate) fn detect() -> Self {
        window().map_or(Self::Own, |window| Self::Pairs(Pairs::of(window, Path::new(LOCKS))))
    }

    /// Takes ids for one more sandbox.
    pub(crate) fn take(&mut self) -> Result<Lease, StepError> {
        match self {
            Self::Own => Ok(Lease::Own),
            Self::Pairs(pairs) => Ok(Lease::Pair { first: pairs.take()? }),
        }
    }

    /// Gives the ids of a sandbox back that has no process any more.
    pub(crate) fn give_back(&mut self, lease: Lease) {
        if let (Self::Pairs(pairs), Lease::Pair { first }) = (self, lease) {
            pairs.used.remove(&first);
        }
    }
}

impl Pairs {
    fn of(window: Window, locks: &Path) -> Self {
        Self { window, locks: locks.to_owned(), blocks: Vec::new(), used: HashSet::new(), next: 0 }
    }

    fn take(&mut self) -> Result<u32, StepError> {
        let per_block = self.window.block / 2;
        if self.used.len() == self.blocks.len() * per_block as usize {
            let block = self.another_block()?;
            self.next = self.blocks.len() as u32 * per_block;
            self.blocks.push(block);
        }
        let all = self.blocks.len() as u32 * per_block;
        // Ends because one of them is free.
        loop {
            let block = &self.blocks[(self.next / per_block) as usize];
            let first = block.first + 2 * (self.next % per_block);
            self.next = (self.next + 1) % all;
            if self.used.insert(first) {
                return Ok(first);
            }
        }
    }

    /// Locks a block that no living daemon has.
    fn another_block(&self) -> Result<Block, StepError> {
        let Window { first, count, block } = self.window;
        let blocks = count / block;
        // Keyed at random.
        let start = (RandomState::new().build_hasher().finish() % u64::from(blocks)) as u32;
        for number in 0..blocks {
            let first = first + (start + number) % blocks * block;
            if self.blocks.iter().any(|own| own.first == first) {
                continue;
            }
            let Ok(file) = open(&self.locks, first) else { return Ok(Block { first, _lock: None }) };
            match file.try_lock() {
                Ok(()) => return Ok(Block { first, _lock: Some(file) }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(_)) => return Ok(Block { first, _lock: None }),
            }
        }
        Err(rustix::io::Errno::AGAIN).step("find user ids that no other daemon has taken for its sandboxes")
    }
}

fn open(directory: &Path, first: u32) -> io::Result<File> {
    std::fs::create_dir_all(directory)?;
    // Who can open the file could keep it locked.
    std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    File::options().write(true).create(true).truncate(false).open(directory.join(first.to_string()))
}

/// The host ids that sandboxes of this process can have for themselves.
fn window() -> Option<Window> {
    if !has_capabilities(TO_GIVE_IDS) {
        return None;
    }
    let map = |name: &str| std::fs::read_to_string(name).unwrap_or_default();
    let (uids, gids) = (map("/proc/self/uid_map"), map("/proc/self/gid_map"));
    WINDOWS.into_iter().find(|window| map_covers(&uids, *window) && map_covers(&gids, *window))
}

fn has_capabilities(needed: CapabilitySet) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|own| own.effective.contains(needed))
}

/// Whether sandboxes at the level `process` get user ids of their own, with which they can neither reach the
/// daemon's files nor each other's processes.
#[must_use]
pub fn has_ids_for_sandboxes() -> bool {
    window().is_some() && has_capabilities(TO_SERVE_IDS)
}

fn map_covers(text: &str, window: Window) -> bool {
    text.lines().any(|line| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [inside, _, count] = numbers[..] else { return false };
        let first = u64::from(window.first);
        inside <= first && inside + count >= first + u64::from(window.count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two blocks of two pairs.
    const SMALL: Window = Window { first: 100, count: 8, block: 4 };

    fn taken(pairs: &mut Pairs, count: usize) -> Vec<u32> {
        (0..count).map(|_| pairs.take().expect("one is free")).collect()
    }

    #[test]
    fn pairs_are_distinct_until_given_back() {
        let locks = tempfile::tempdir().expect("temporary directory");
        let mut pairs = Pairs::of(SMALL, locks.path());
        let all = taken(&mut pairs, 4);
        assert_eq!(all.iter().copied().collect::<HashSet<_>>(), HashSet::from([100, 102, 104, 106]));
        assert_eq!(pairs.take().expect_err("no more").errno, libc::EAGAIN);
        let mut ids = HostIds::Pairs(pairs);
        ids.give_back(Lease::Pair { first: 102 });
        assert_eq!(ids.take(), Ok(Lease::Pair { first: 102 }));
    }

    #[test]
    fn ids_are_not_used_again_at_once() {
        let locks = tempfile::tempdir().expect("temporary directory");
        let mut pairs = Pairs::of(SMALL, locks.path());
        let first = pairs.take().expect("free");
        pairs.used.remove(&first);
        assert_ne!(pairs.take(), Ok(first));
    }

    #[test]
    fn two_daemons_never_share_an_id() {
        let locks = tempfile::tempdir().expect("temporary directory");
        let start = || Pairs::of(SMALL, &locks.path().join("made"));
        // As often as chance would need to make them meet.
        for _ in 0..20 {
            let (mut one, mut other) = (start(), start());
            let (mine, others) = (taken(&mut one, 2), taken(&mut other, 2));
            assert!(mine.iter().all(|id| !others.contains(id)), "{mine:?} {others:?}");
            for full in [&mut one, &mut other] {
                assert!(full.take().expect_err("the rest is the other's").step.contains("no other daemon"));
            }
            drop(other);
            assert_eq!(taken(&mut one, 2), others, "a dead daemon's are free");
        }
    }

    #[test]
    fn where_nothing_can_be_locked_ids_are_distinct_within_a_daemon() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let mut pairs = Pairs::of(SMALL, file.path());
        assert_eq!(taken(&mut pairs, 4).into_iter().collect::<HashSet<_>>().len(), 4);
        assert!(pairs.take().is_err());
    }

    #[test]
    fn blocks_fill_their_window() {
        for Window { first, count, block } in WINDOWS {
            assert_eq!((count % block, block % 2), (0, 0));
            assert!(first.checked_add(count).is_some_and(|end| i32::try_from(end - 1).is_ok()));
        }
    }

    #[test]
    fn a_container_with_few_ids_covers_the_second_window_only() {
        let covered = |map: &str| WINDOWS.map(|window| map_covers(map, window));
        assert_eq!(covered("         0          0 4294967295\n"), [true, true]);
        assert_eq!(covered("         0     100000      65536\n"), [false, true]);
        assert_eq!(
            covered("         0       1000          1\n         1     100000      65536\n"),
            [false, true]
        );
        assert_eq!(covered("         0       1000          1\n"), [false, false]);
        assert_eq!(covered(""), [false, false]);
    }
}
