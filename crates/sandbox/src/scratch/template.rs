//! An empty file system of a certain room, to be copied.
//!
//! mke2fs(8) takes some milliseconds and writes some hundred kilobytes whatever the size, so its result
//! is kept: writing those again is all it takes to make one more.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{AtFlags, MemfdFlags, Mode, SeekFrom, seek};

use super::error::ScratchError;
use super::place::Place;

/// Size of a block of the file systems in bytes.
const BLOCK: u64 = 4096;

/// Blocks beyond those asked for: files need some for their own description, and what is asked for is
/// meant for contents. At most a quarter of a megabyte, so that the next megabyte does not fit.
const SPARE_BLOCKS: std::ops::RangeInclusive<u64> = 8..=64;
const SPARE_WANTED: u64 = 16;

/// Mode of `/tmp`.
const TMP_MODE: Mode = Mode::from_bits_retain(0o1777);

/// How often the size of the image is corrected.
const ATTEMPTS: u32 = 8;

/// Everything named, whatever the machine's mke2fs.conf says and newer kernels know. No journal: the
/// contents are worth nothing after a crash.
const FEATURES: &str = "none,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,huge_file,\
                        large_file,metadata_csum,sparse_super";

/// As many inodes as blocks, so that any file system full of files that have contents is full of blocks.
const BYTES_PER_INODE: &str = "4096";

/// Directories where administrators' programs are, which are not on everybody's `PATH`.
const ADMINISTRATORS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// An empty file system.
pub(crate) struct Template {
    image_bytes: u64,
    /// Offset and contents of what is not zero.
    parts: Vec<(u64, Vec<u8>)>,
}

impl Template {
    /// Makes a file system with room for so many bytes of contents, by trying: how much of an image is
    /// left for contents depends on the kernel too.
    pub(crate) fn make(place: &Place, mke2fs: &Path, bytes: u64) -> Result<Self, ScratchError> {
        let wanted = bytes.div_ceil(BLOCK);
        let mut blocks = estimate(wanted + SPARE_WANTED);
        let mut large_enough = None;
        for _ in 0..ATTEMPTS {
            let (template, room) = Self::of(place, mke2fs, blocks * BLOCK)?;
            let fits = room >= wanted + SPARE_BLOCKS.start();
            if fits && room <= wanted + SPARE_BLOCKS.end() {
                return Ok(template);
            }
            if fits {
                large_enough = Some(template);
            }
            blocks = (blocks + wanted + SPARE_WANTED).saturating_sub(room).max(SPARE_WANTED);
        }
        // Some sizes cannot be had exactly, because the kernel's unit there is a whole group of blocks.
        large_enough.ok_or(ScratchError::Size { bytes })
    }

    /// Makes one of a certain size, and says how many blocks users can fill.
    fn of(place: &Place, mke2fs: &Path, image_bytes: u64) -> Result<(Self, u64), ScratchError> {
        // In memory: mke2fs waits for the disk several times.
        let image = rustix::fs::memfd_create("lambd-template", MemfdFlags::CLOEXEC).map(File::from);
        let image = image.map_err(|error| ScratchError::io("make a file in memory", error.into()))?;
        image.set_len(image_bytes).map_err(|source| ScratchError::io("set the size of an image", source))?;
        format(mke2fs, &image)?;
        let room = prepare(place.attach(&image)?.open_root()?)
            .map_err(|error| ScratchError::io("prepare an empty file system", error.into()))?;
        wait_until_clean(&image)?;
        let parts = read_parts(&image).map_err(|source| ScratchError::io("read the template", source))?;
        Ok((Self { image_bytes, parts }, room))
    }

    /// Size of an image for it.
    pub(crate) fn image_bytes(&self) -> u64 {
        self.image_bytes
    }

    /// Makes an empty image of the right size such a file system.
    pub(crate) fn write(&self, image: &File) -> Result<(), ScratchError> {
        for (offset, bytes) in &self.parts {
            image
                .write_all_at(bytes, *offset)
                .map_err(|source| ScratchError::io("write an empty file system", source))?;
        }
        Ok(())
    }
}

/// Blocks of an image that leave so many to fill, about.
fn estimate(room: u64) -> u64 {
    // What the kernel keeps for itself (`ext4_set_resv_clusters`), as much of it as there is inode table.
    let kept = (room / 46).min(4096);
    let with_inodes = (room + kept) * 16 / 15;
    // Bitmaps of each group, and copies of the superblock.
    with_inodes + with_inodes / 32768 * 2 + 16
}

/// Makes it what `/tmp` is: empty, and everybody may write, and remove only what is theirs. Returns how many
/// blocks users can fill.
fn prepare(root: OwnedFd) -> rustix::io::Result<u64> {
    rustix::fs::unlinkat(&root, "lost+found", AtFlags::REMOVEDIR)?;
    rustix::fs::fchmod(&root, TMP_MODE)?;
    Ok(rustix::fs::fstatvfs(&root)?.f_bavail)
}

/// Waits until a file system is unmounted and all of it written. Usually it is by now; but a child that
/// another thread has just forked holds the same descriptors until it executes its program.
fn wait_until_clean(image: &File) -> Result<(), ScratchError> {
    /// `s_state` of the superblock, whose lowest bit is set by unmounting and not by syncing.
    const STATE: u64 = 1024 + 0x3A;
    for _ in 0..5000 {
        let mut state = [0];
        image
            .read_exact_at(&mut state, STATE)
            .map_err(|source| ScratchError::io("read the template", source))?;
        if state[0] & 1 == 1 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(ScratchError::io("unmount the template", std::io::ErrorKind::TimedOut.into()))
}

/// Looks for mke2fs, which makes ext4 file systems.
pub(crate) fn find_mke2fs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ADMINISTRATORS.iter().map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrators)
        .map(|dir| dir.join("mke2fs"))
        .find(|file| file.is_file())
}

fn format(mke2fs: &Path, image: &File) -> Result<(), ScratchError> {
    let failed = |source| ScratchError::io("run mke2fs", source);
    let output = Command::new(mke2fs)
        .args(["-q", "-F", "-O", FEATURES, "-E", "lazy_itable_init=1,nodiscard", "-m", "0"])
        .args(["-b", &BLOCK.to_string(), "-I", "256", "-i", BYTES_PER_INODE])
        // The image has no name.
        .arg("/proc/self/fd/0")
        .stdin(Stdio::from(image.try_clone().map_err(failed)?))
        .env_clear()
        .env("MKE2FS_CONFIG", "/dev/null")
        .env("LC_ALL", "C")
        .current_dir("/")
        .output()
        .map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ScratchError::Mke2fs { status: output.status, message })
}

/// What of a sparse file is not zero. Where the host's file system cannot tell holes, everything is read.
fn read_parts(image: &File) -> std::io::Result<Vec<(u64, Vec<u8>)>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(start) = next(image, SeekFrom::Data(at))? {
        let end = next(image, SeekFrom::Hole(start))?.unwrap_or(start);
        let mut offset = start;
        while offset < end {
            let mut bytes = vec![0; usize::try_from((end - offset).min(64 * BLOCK)).unwrap_or(0)];
            image.read_exact_at(&mut bytes, offset)?;
            let length = bytes.len() as u64;
            if bytes.iter().any(|byte| *byte != 0) {
                parts.push((offset, bytes));
            }
            offset += length;
        }
        at = end;
    }
    Ok(parts)
}

/// The next data or hole; `None` at the end of the file, see lseek(2).
fn next(image: &File, from: SeekFrom) -> std::io::Result<Option<u64>> {
    match seek(image.as_fd(), from) {
        Ok(offset) => Ok(Some(offset)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
