//! An empty file system of a certain room, to be copied.
//!
//! mke2fs(8) takes some milliseconds and writes some hundred kilobytes whatever the size, so its result
//! is kept: writing those again is all it takes to make one more.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{SeekFrom, seek};

use super::error::ScratchError;
use super::place::Place;
use super::volume::Volume;

/// Size of a block of the file systems in bytes.
const BLOCK: u64 = 4096;

/// Blocks beyond those asked for: files need some for their own description, and what is asked for is
/// meant for contents. At most a quarter of a megabyte, so that the next megabyte does not fit.
const SPARE_BLOCKS: std::ops::RangeInclusive<u64> = 8..=64;
const SPARE_WANTED: u64 = 16;

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
        // Inodes take a sixteenth, and the kernel keeps up to a fiftieth for itself.
        let mut blocks = wanted + wanted / 11 + 512;
        let mut large_enough = None;
        for _ in 0..ATTEMPTS {
            let template = Self::of(place, mke2fs, blocks * BLOCK)?;
            let room = Volume::create(place, &template)?.0.free_blocks()?;
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

    fn of(place: &Place, mke2fs: &Path, image_bytes: u64) -> Result<Self, ScratchError> {
        let image = place.image(image_bytes)?;
        format(mke2fs, &image)?;
        let parts = read_parts(&image).map_err(|source| ScratchError::io("read the template", source))?;
        Ok(Self { image_bytes, parts })
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
