//! Memory: what of it goes into the image, and the calls that map it again.
//!
//! The image is mapped privately: a page is shared by all restored processes until one of them writes to it.
//! Such memory differs from what it was in one respect: it has a file, and the kernel lets a process see more of
//! that file by mremap(2). The C libraries' realloc(3) enlarges blocks from 128 KiB on in that manner and would
//! find other contents, or the end of the file, behind them. So anonymous memory is mapped in pieces that are too
//! small for such a block and that the kernel cannot join, because they are apart in the file: mremap(2) refuses
//! what spans several mappings (`EFAULT`), and realloc(3) copies the block to fresh memory.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use super::descriptors::FileId;
use super::maps::{Mapping, Range};
use super::table::{Purpose, Table};
use super::trace::Tracee;
use super::{CaptureError, PAGE, refused};
use crate::error::Step;

/// Pages between two pieces for which it is not worth having two.
const GAP: u64 = 8;
/// Pages of the largest piece of anonymous memory: less than 128 KiB.
const PIECE: u64 = 31;
/// Pages of a piece that is copied at once, because a process writes to most of its few variables soon.
const SMALL: u64 = 4;
/// Bytes copied at a time.
const CHUNK: u64 = 1 << 20;

/// Bits of proc_pid_pagemap(5): in memory, in swap, of a file (or shared).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_FILE: u64 = 1 << 61;

/// Advice of madvise(2) by the flag that it leaves.
const ADVICE: [(&str, i32); 6] = [
    ("hg", libc::MADV_HUGEPAGE),
    ("nh", libc::MADV_NOHUGEPAGE),
    ("dd", libc::MADV_DONTDUMP),
    ("dc", libc::MADV_DONTFORK),
    ("wf", libc::MADV_WIPEONFORK),
    ("mg", libc::MADV_MERGEABLE),
];

/// What no process can be given again, by flag.
const REFUSED: [(&str, &str); 8] = [
    ("ht", "the process uses huge pages of hugetlbfs"),
    ("lo", "the process has locked memory"),
    ("lf", "the process has locked memory"),
    ("um", "the process uses userfaultfd"),
    ("uw", "the process uses userfaultfd"),
    ("ui", "the process uses userfaultfd"),
    ("ss", "the process has a shadow stack"),
    ("io", "the process maps memory of a device"),
];

/// Of mmap(2): memory that the kernel may drop, Linux 6.11.
const MAP_DROPPABLE: i32 = 8;

/// Where memory comes from when nothing of it was written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Nothing,
    File {
        index: usize,
        offset: u64,
    },
    /// A file that nobody else can open, for example the image that the process itself was restored from.
    Lost,
}

/// A range of memory with the same properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) range: Range,
    protection: u64,
    flags: i32,
    advice: Vec<i32>,
    pub(super) origin: Origin,
    kind: Kind,
    /// Whether any page of it may be in no file.
    may_have_own: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordinary,
    /// The heap of brk(2), which nobody enlarges by mremap(2).
    Heap,
    /// Memory that grows downwards, which no file can be mapped to.
    Stack,
    /// Empty in a forked process, and so in a restored one: it holds what must not be there twice, such as the
    /// state of a random number generator.
    Wiped,
    /// Shared and never written to.
    SharedFile,
}

/// All regions of a process but the vdso.
pub(super) fn regions(
    mappings: &[Mapping],
    files: &mut Vec<(File, FileId)>,
) -> Result<Vec<Region>, CaptureError> {
    let mut regions: Vec<Region> = Vec::new();
    for mapping in mappings.iter().filter(|mapping| !mapping.is_vdso() && mapping.name != "[vsyscall]") {
        let region = region(mapping, files)?;
        match regions.last_mut() {
            // One that was restored consists of pieces.
            Some(last) if last.continues_in(&region) => {
                last.range.end = region.range.end;
                last.may_have_own |= region.may_have_own;
                if region.origin == Origin::Lost {
                    last.origin = Origin::Lost;
                }
            }
            _ => regions.push(region),
        }
    }
    Ok(regions)
}

fn region(mapping: &Mapping, files: &mut Vec<(File, FileId)>) -> Result<Region, CaptureError> {
    for (flag, reason) in REFUSED {
        if mapping.has(flag) {
            return Err(refused(reason));
        }
    }
    if mapping.key != 0 {
        return Err(refused("the process uses protection keys"));
    }
    let has_name = mapping.name.starts_with('/');
    if mapping.is_shared && (!has_name || mapping.is_gone() || mapping.has("mw")) {
        let what = if has_name { mapping.name.trim_end_matches(" (deleted)") } else { "anonymous memory" };
        return Err(refused(format!("the process shares memory ({what})")));
    }
    let origin = match mapping.path() {
        Some(path) if path == *"/dev/zero" => Origin::Lost,
        Some(path) => {
            let known = files.iter().position(|(_, file)| file.path == path);
            let index = match known {
                Some(index) => index,
                None => {
                    files.push(FileId::open_first(path)?);
                    files.len() - 1
                }
            };
            Origin::File { index, offset: mapping.offset }
        }
        None if has_name => Origin::Lost,
        None => Origin::Nothing,
    };
    let kind = match mapping.name.as_str() {
        _ if mapping.is_shared => Kind::SharedFile,
        _ if mapping.has("gd") => Kind::Stack,
        _ if mapping.has("wf") || mapping.has("dp") => Kind::Wiped,
        "[heap]" => Kind::Heap,
        _ => Kind::Ordinary,
    };
    let mut flags = match kind {
        Kind::SharedFile => libc::MAP_SHARED,
        _ if mapping.has("dp") => MAP_DROPPABLE,
        _ => libc::MAP_PRIVATE,
    };
    if mapping.has("nr") {
        flags |= libc::MAP_NORESERVE;
    }
    let advice = ADVICE.iter().filter(|(flag, _)| mapping.has(flag)).map(|(_, advice)| *advice);
    Ok(Region {
        range: mapping.range,
        protection: mapping.protection,
        flags,
        // The kernel gives it to droppable memory by itself.
        advice: advice.filter(|advice| !(mapping.has("dp") && *advice == libc::MADV_WIPEONFORK)).collect(),
        kind,
        // What such a file holds is nowhere else.
        may_have_own: mapping.anonymous + mapping.swapped > 0 || origin == Origin::Lost,
        origin,
    })
}

impl Region {
    fn is_anonymous(&self) -> bool {
        !matches!(self.origin, Origin::File { .. })
    }

    fn continues_in(&self, next: &Self) -> bool {
        self.range.end == next.range.start
            && self.is_anonymous()
            && next.is_anonymous()
            && self.kind == next.kind
            && self.protection == next.protection
            && self.flags == next.flags
            && self.advice == next.advice
    }

    /// Copies what is needed of it to the image, and adds the calls that map it.
    pub(super) fn capture(
        &self,
        tracee: &Tracee,
        pagemap: &File,
        image: &mut Image,
        table: &mut Table,
        numbers: &Numbers,
    ) -> Result<(), CaptureError> {
        let pieces = match self.kind {
            Kind::Wiped | Kind::SharedFile => Vec::new(),
            _ if !self.may_have_own => Vec::new(),
            _ => self.pieces(tracee, pagemap)?,
        };
        let covered = pieces.iter().map(|piece| piece.range.length()).sum::<u64>() == self.range.length();
        if self.kind == Kind::Stack || !covered {
            self.map_base(table, numbers);
        }
        for piece in pieces {
            let offset = image.store(piece.range, tracee)?;
            let Range { start, .. } = piece.range;
            let length = piece.range.length();
            if self.kind == Kind::Stack {
                let args = [numbers.image as u64, start, length, offset];
                table.call(Purpose::Fill, libc::SYS_pread64, &args);
                continue;
            }
            let is_small = self.protection & libc::PROT_WRITE as u64 != 0 && length <= SMALL * PAGE;
            let populate = if is_small { libc::MAP_POPULATE } else { 0 };
            let flags = (self.flags | populate | libc::MAP_FIXED) as u64;
            let args = [start, length, self.protection, flags, numbers.image as u64, offset];
            table.call(Purpose::Map, libc::SYS_mmap, &args);
        }
        for advice in &self.advice {
            let args = [self.range.start, self.range.length(), *advice as u64];
            table.call(Purpose::Advise, libc::SYS_madvise, &args);
        }
        Ok(())
    }

    fn map_base(&self, table: &mut Table, numbers: &Numbers) {
        let grows = if self.kind == Kind::Stack { libc::MAP_GROWSDOWN } else { 0 };
        let (kind, fd, offset) = match self.origin {
            Origin::File { index, offset } => (0, numbers.first_file as u64 + index as u64, offset),
            Origin::Nothing | Origin::Lost => (libc::MAP_ANONYMOUS, u64::MAX, 0),
        };
        let flags = (self.flags | kind | grows | libc::MAP_FIXED) as u64;
        let args = [self.range.start, self.range.length(), self.protection, flags, fd, offset];
        table.call(Purpose::Map, libc::SYS_mmap, &args);
    }

    /// What to store.
    fn pieces(&self, tracee: &Tracee, pagemap: &File) -> Result<Vec<Piece>, CaptureError> {
        let mut range = self.range;
        if self.kind == Kind::Stack {
            // Below is what earlier calls left.
            let used = (tracee.before_call().rsp.saturating_sub(RED_ZONE) / PAGE * PAGE)
                .clamp(range.start, range.end);
            range.start = used;
        }
        let is_split = self.kind == Kind::Ordinary && self.is_anonymous();
        let longest = if is_split { PIECE } else { u64::MAX };
        let mut pieces: Vec<Piece> = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let part = Range { start: at, end: range.end.min(at + CHUNK) };
            for page in self.own_pages(part, tracee, pagemap)? {
                match pieces.last_mut() {
                    Some(Piece { range }) if (page - range.end) / PAGE <= GAP => {
                        // The pages between are stored as well.
                        range.end = page + PAGE;
                    }
                    _ => pieces.push(Piece { range: Range { start: page, end: page + PAGE } }),
                }
            }
            at = part.end;
        }
        Ok(pieces.into_iter().flat_map(|piece| piece.split(longest)).collect())
    }

    /// Addresses of pages whose contents only the process has.
    fn own_pages(&self, part: Range, tracee: &Tracee, pagemap: &File) -> Result<Vec<u64>, CaptureError> {
        let pages = part.length() / PAGE;
        let mut entries = vec![0; pages as usize * 8];
        pagemap.read_exact_at(&mut entries, part.start / PAGE * 8).step("read the map of pages")?;
        let is_own = |entry: u64| match self.origin {
            Origin::Lost => true,
            _ => entry & SWAPPED != 0 || entry & PRESENT != 0 && entry & OF_FILE == 0,
        };
        let mut own = Vec::new();
        for (index, entry) in entries.chunks_exact(8).enumerate() {
            let entry = entry.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            if is_own(entry) {
                own.push(part.start + index as u64 * PAGE);
            }
        }
        if self.is_anonymous() && !own.is_empty() {
            let contents = read(tracee.memory(), part)?;
            own.retain(|page| {
                let at = (page - part.start) as usize;
                contents[at..at + PAGE as usize].iter().any(|byte| *byte != 0)
            });
        }
        Ok(own)
    }
}

/// What a function without a stack frame may use below the stack.
const RED_ZONE: u64 = 128;

/// A range to store.
struct Piece {
    range: Range,
}

impl Piece {
    fn split(self, pages: u64) -> impl Iterator<Item = Self> {
        let Range { start, end } = self.range;
        let step = pages.saturating_mul(PAGE).min(end - start);
        (start..end)
            .step_by(step as usize)
            .map(move |start| Self { range: Range { start, end: end.min(start + step) } })
    }
}

/// Numbers of descriptors while a process is restored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) image: i32,
    pub(super) first_file: i32,
}

/// The file with the memory.
pub(super) struct Image {
    file: File,
    end: u64,
}

impl Image {
    pub(super) fn new(file: OwnedFd) -> Self {
        Self { file: file.into(), end: 0 }
    }

    /// Adds memory; where it begins. A page that is never mapped keeps it apart from the next.
    fn store(&mut self, range: Range, tracee: &Tracee) -> Result<u64, CaptureError> {
        let begin = self.end;
        let mut start = range.start;
        while start < range.end {
            let part = Range { start, end: range.end.min(start + CHUNK) };
            let contents = read(tracee.memory(), part)?;
            self.file.write_all_at(&contents, begin + (start - range.start)).step("write the image")?;
            start = part.end;
        }
        self.end = begin + range.length() + PAGE;
        Ok(begin)
    }

    /// How large it is, holes included.
    pub(super) fn bytes(&self) -> u64 {
        self.end
    }

    /// Adds anything else, in whole pages.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<u64, CaptureError> {
        let begin = self.end;
        self.file.write_all_at(bytes, begin).step("write the image")?;
        self.end = super::page_up(begin + bytes.len() as u64);
        Ok(begin)
    }

    pub(super) fn into_file(self) -> OwnedFd {
        self.file.into()
    }
}

/// Contents of memory; what cannot be read, because it is behind the end of a file, is zero.
fn read(memory: &File, range: Range) -> Result<Vec<u8>, CaptureError> {
    let mut contents = vec![0; range.length() as usize];
    if memory.read_exact_at(&mut contents, range.start).is_ok() {
        return Ok(contents);
    }
    for (index, page) in contents.chunks_exact_mut(PAGE as usize).enumerate() {
        let address = range.start + index as u64 * PAGE;
        match memory.read_exact_at(page, address) {
            Err(error) if error.raw_os_error() == Some(libc::EIO) => page.fill(0),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => page.fill(0),
            result => result.step_with(|| format!("read memory at {address:x}"))?,
        }
    }
    Ok(contents)
}
