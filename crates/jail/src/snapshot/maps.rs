//! The mappings of a process, as proc_pid_smaps(5) lists them.

use std::path::PathBuf;

/// Addresses from `start` on and below `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Range {
    pub(super) fn length(self) -> u64 {
        self.end - self.start
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) range: Range,
    /// `PROT_READ`, `PROT_WRITE`, `PROT_EXEC`.
    pub(super) protection: u64,
    pub(super) is_shared: bool,
    /// Where in its file it begins.
    pub(super) offset: u64,
    /// Device and inode as the kernel prints them.
    pub(super) identity: String,
    /// Path of its file, or the kernel's name for it in brackets; empty for anonymous memory.
    pub(super) name: String,
    /// Two letters each.
    pub(super) flags: Vec<String>,
    /// Kilobytes in memory that no file has, and such in swap.
    pub(super) anonymous: u64,
    pub(super) swapped: u64,
    /// Protection key.
    pub(super) key: u64,
}

impl Mapping {
    pub(super) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|present| present == flag)
    }

    /// The kernel's own page with code for all processes, and its data: mappings that cannot be made, only moved.
    pub(super) fn is_vdso(&self) -> bool {
        self.name == "[vdso]" || self.name.starts_with("[vvar")
    }

    /// Path of its file, if it has one that a name leads to.
    pub(super) fn path(&self) -> Option<PathBuf> {
        (self.name.starts_with('/') && !self.is_gone())
            .then(|| PathBuf::from(self.name.replace("\\012", "\n")))
    }

    /// Whether no name leads to its file any more.
    pub(super) fn is_gone(&self) -> bool {
        self.name.ends_with(" (deleted)")
    }
}

/// Reads the contents of `maps` or `smaps`. `None` for what no kernel writes.
pub(super) fn parse(text: &str) -> Option<Vec<Mapping>> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        match line.split_once(':') {
            // Of `VmFlags: rd ex` and `Swap: 4 kB`, but not of `08:01` in the first line of a mapping.
            Some((name, value)) if !name.contains(' ') => {
                let mapping = mappings.last_mut()?;
                let number = || value.trim().trim_end_matches(" kB").parse().ok();
                match name {
                    "Anonymous" => mapping.anonymous = number()?,
                    "Swap" => mapping.swapped = number()?,
                    "ProtectionKey" => mapping.key = number()?,
                    "VmFlags" => mapping.flags = value.split_ascii_whitespace().map(String::from).collect(),
                    _ => {}
                }
            }
            _ => mappings.push(first_line(line)?),
        }
    }
    Some(mappings)
}

fn first_line(line: &str) -> Option<Mapping> {
    // The name is behind five fields and any number of spaces, and may contain spaces itself.
    let mut rest = line;
    let mut field = || {
        let (field, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after;
        field
    };
    let (start, end) = field().split_once('-')?;
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
    let range = Range { start: hexadecimal(start)?, end: hexadecimal(end)? };
    let rights = field().as_bytes();
    let (offset, device, inode) = (field(), field(), field());
    let protection = [(b'r', libc::PROT_READ), (b'w', libc::PROT_WRITE), (b'x', libc::PROT_EXEC)];
    Some(Mapping {
        range,
        protection: protection
            .iter()
            .filter(|(letter, _)| rights.contains(letter))
            .map(|(_, bit)| *bit as u64)
            .sum(),
        is_shared: rights.contains(&b's'),
        offset: hexadecimal(offset)?,
        identity: format!("{device} {inode}"),
        name: rest.trim_start_matches(' ').to_owned(),
        flags: Vec::new(),
        anonymous: 0,
        swapped: 0,
        key: 0,
    })
}

/// Names of allocators that rely on memory being zero which they gave back by `MADV_DONTNEED`. What is mapped from an
/// image shows its contents again instead.
const ZEROING: &[&str] = &["jemalloc", "mimalloc", "tcmalloc"];

/// The file of such an allocator.
pub(super) fn zeroing_allocator(mappings: &[Mapping]) -> Option<PathBuf> {
    mappings.iter().filter_map(Mapping::path).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        ZEROING.iter().any(|allocator| name.contains(allocator))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaps_are_read() {
        let text = "00400000-0040b000 r-xp 00001000 fe:01 3278 /usr/bin/a program\n\
                    Size:                 44 kB\n\
                    Rss:                  40 kB\n\
                    Anonymous:             8 kB\n\
                    Swap:                  4 kB\n\
                    ProtectionKey:         0\n\
                    VmFlags: rd ex mr mw me\n\
                    7ffe4000-7ffe5000 rw-s 00000000 00:01 12                         /memfd:x (deleted)\n\
                    VmFlags: rd wr sh\n\
                    7fff0000-7fff1000 ---p 00000000 00:00 0 \n";
        let [program, memfd, reserved] = &parse(text).expect("reads")[..] else { panic!("three") };
        assert_eq!(program.range, Range { start: 0x40_0000, end: 0x40_b000 });
        assert_eq!(program.protection, (libc::PROT_READ | libc::PROT_EXEC) as u64);
        assert_eq!((program.offset, program.anonymous, program.swapped), (0x1000, 8, 4));
        assert_eq!(program.path(), Some(PathBuf::from("/usr/bin/a program")));
        assert!(program.has("mw") && !program.has("sh") && !program.is_shared);
        assert!(memfd.is_shared && memfd.is_gone() && memfd.path().is_none());
        assert_eq!((reserved.protection, reserved.name.as_str()), (0, ""));
    }

    #[test]
    fn allocators_are_known_by_their_files() {
        let with = |path: &str| {
            let text = format!("00400000-0040b000 r-xp 00001000 fe:01 3278 {path}\nVmFlags: rd ex\n");
            zeroing_allocator(&parse(&text).expect("reads"))
        };
        let path = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";
        assert_eq!(with(path), Some(path.into()));
        assert_eq!(with("/usr/lib/x86_64-linux-gnu/libc.so.6"), None);
    }
}
