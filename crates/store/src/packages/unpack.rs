//! Unpacking an archive that a stranger made.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use lambd_types::limits;
use zip::ZipArchive;
use zip::result::ZipError;

/// Deepest path in a package: removing a tree takes an open file a level.
const DEPTH_MAX: usize = 100;
/// Longest name of one file or directory.
const NAME_MAX: usize = 255;
/// Longest path of an entry: the kernel's limit, less where packages are unpacked.
const PATH_MAX: usize = 3500;
/// Longest target of a link, PATH_MAX without its end.
const LINK_MAX: u64 = 4095;

/// Rights that entries may have: of those who are not their owner, nobody may write.
const MODES: u32 = 0o755;
/// Start of each entry's header in an archive's directory, and the least bytes of one.
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";
const ENTRY_MIN: u64 = 46;

/// How much an archive may unpack to.
#[derive(Debug, Clone, Copy)]
pub struct UnpackLimits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files, directories and links.
    pub entries: usize,
}

impl UnpackLimits {
    /// No limit: for archives that were accepted before.
    pub const NONE: Self = Self { bytes: u64::MAX, entries: usize::MAX };
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self { bytes: limits::CODE_SIZE_UNZIPPED, entries: limits::CODE_ENTRIES }
    }
}

/// Why a package is refused.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It is no zip archive, or a broken one.
    #[error("not a readable zip archive: {0}")]
    NotAZip(String),
    /// An entry would land outside the package.
    #[error("entry {entry:?} would be written outside the package")]
    UnsafePath {
        /// The entry's name.
        entry: String,
    },
    /// A symbolic link leads out of the package.
    #[error("symbolic link {entry:?} leads out of the package, to {target:?}")]
    UnsafeLink {
        /// The link's name.
        entry: String,
        /// Where it points.
        target: String,
    },
    /// It is larger than the limit when unpacked.
    #[error("unpacked size is over {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// It has too many entries.
    #[error("more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// The disk said no.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl PackageError {
    /// Whether the package is at fault, rather than the machine.
    pub fn is_bad_package(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}

/// Checks what an archive says about itself, which costs little however large it is: that it is one, the names
/// and kinds of its entries, where its links lead, the sizes that it declares. Whether its content is what it
/// declares shows only when it is unpacked. Returns the bytes that it declares.
pub(super) fn inspect(zip: &File, limits: UnpackLimits) -> Result<u64, PackageError> {
    if has_more_entries(zip, limits.entries).map_err(|error| not_a_zip(error.into()))? {
        return Err(PackageError::TooManyEntries { limit: limits.entries });
    }
    let mut archive = open(BufReader::new(zip))?;
    let (mut kinds, mut declared) = (HashMap::new(), 0_u64);
    for index in 0..archive.len() {
        // Raw: nothing is decompressed.
        let entry = archive.by_index_raw(index).map_err(not_a_zip)?;
        let name = entry.name().map_err(not_a_zip)?.into_owned();
        let path = safe_path(&name).ok_or(PackageError::UnsafePath { entry: name.clone() })?;
        if path.as_os_str().len() > PATH_MAX || path.components().any(|p| p.as_os_str().len() > NAME_MAX) {
            return Err(PackageError::NotAZip(format!("no file can be called {name}")));
        }
        if entry.encrypted() {
            return Err(PackageError::NotAZip(format!("entry {name:?} is encrypted")));
        }
        declared = declared.saturating_add(entry.size());
        if declared > limits.bytes {
            return Err(PackageError::TooLarge { limit: limits.bytes });
        }
        // Maven gives directories that it adds by itself a mode of all bits, those of a link among them.
        let (is_dir, is_link) = (entry.is_dir(), entry.is_symlink());
        drop(entry);
        if is_link && !is_dir {
            let mut entry = archive.by_index(index).map_err(not_a_zip)?;
            link_target(&path, &name, &mut entry)?;
        }
        if kinds.insert(path, is_dir).is_some_and(|was_dir| !(was_dir && is_dir)) {
            return Err(PackageError::NotAZip(format!("entry {name:?} occurs twice")));
        }
    }
    // Only directories have something below them.
    for path in kinds.keys() {
        let mut above = path.ancestors().skip(1);
        if let Some(not_a_dir) = above.find(|above| kinds.get(*above).is_some_and(|is_dir| !is_dir)) {
            let shown = not_a_dir.display();
            return Err(PackageError::NotAZip(format!("{shown} is two different things")));
        }
    }
    Ok(declared)
}

fn open<R: Read + Seek>(zip: R) -> Result<ZipArchive<R>, PackageError> {
    let archive = ZipArchive::new(zip).map_err(not_a_zip)?;
    if archive.is_empty() {
        return Err(PackageError::NotAZip("it has no entry".into()));
    }
    // The last of them would count here, and the first for somebody who looks at the package beforehand.
    if archive.has_duplicate_names() {
        return Err(PackageError::NotAZip("a name occurs twice".into()));
    }
    Ok(archive)
}

/// Unpacks `zip`, which was inspected, into the new directory `target`. On failure `target` may be
/// half-written; the caller removes it.
pub(super) fn unpack(zip: impl Read + Seek, target: &Path, limits: UnpackLimits) -> Result<(), PackageError> {
    let mut archive = open(zip)?;
    make_dir(target, 0o755)?;
    let mut writer = Unpacker { target, limits, written: 0, links: Vec::new(), directories: Vec::new() };
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(not_a_zip)?;
        let name = entry.name().map_err(not_a_zip)?.into_owned();
        let path = safe_path(&name).ok_or(PackageError::UnsafePath { entry: name.clone() })?;
        // The mode of an archive made without modes is 0; such files get the usual ones.
        let mode = entry.unix_mode().map(|m| m & MODES).filter(|m| *m != 0);
        if entry.is_dir() {
            writer.directory(&path, mode.unwrap_or(0o755))?;
        } else if entry.is_symlink() {
            let link_target = link_target(&path, &name, &mut entry)?;
            writer.links.push((path, link_target));
        } else {
            let declared = entry.size();
            writer.file(&path, mode.unwrap_or(0o644), declared, &mut entry)?;
        }
    }
    writer.finish()
}

/// Whether an archive may list more entries than that. Answered before it is parsed, which takes some hundred
/// bytes of memory for each of its entries, by counting what looks like the header of one. A package that
/// holds other archives as they are counts theirs as well.
fn has_more_entries(mut zip: &File, limit: usize) -> io::Result<bool> {
    const PART: usize = 256 * 1024;
    // Most packages are too small to have so many.
    if zip.metadata()?.len() / ENTRY_MIN <= limit as u64 {
        return Ok(false);
    }
    zip.rewind()?;
    let (mut part, mut kept, mut seen) = (vec![0; PART], 0, 0);
    loop {
        let length = zip.read(&mut part[kept..])?;
        if length == 0 {
            return Ok(false);
        }
        let end = kept + length;
        let windows = part[..end].windows(ENTRY_SIGNATURE.len());
        seen += windows.filter(|bytes| *bytes == ENTRY_SIGNATURE).count();
        if seen > limit {
            return Ok(true);
        }
        // What may be the beginning of one.
        kept = end.min(ENTRY_SIGNATURE.len() - 1);
        part.copy_within(end - kept..end, 0);
    }
}

struct Unpacker<'a> {
    target: &'a Path,
    limits: UnpackLimits,
    written: u64,
    /// Made last: while files are written there is no link to follow.
    links: Vec<(PathBuf, PathBuf)>,
    /// Modes are set last: a directory may be read-only.
    directories: Vec<(PathBuf, u32)>,
}

impl Unpacker<'_> {
    fn directory(&mut self, path: &Path, mode: u32) -> Result<(), PackageError> {
        let full = self.target.join(path);
        make_dir(&full, 0o755)?;
        self.directories.push((full, mode | 0o700));
        Ok(())
    }

    fn file(
        &mut self,
        path: &Path,
        mode: u32,
        declared: u64,
        content: &mut impl Read,
    ) -> Result<(), PackageError> {
        let full = self.target.join(path);
        if let Some(parent) = full.parent() {
            make_dir(parent, 0o755)?;
        }
        let io = |source| PackageError::Io { path: full.clone(), source };
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(&full).map_err(|e| refused(path, e))?;
        // Declared sizes may lie: count what really comes out.
        let room = self.limits.bytes - self.written;
        let mut buffer = vec![0; 64 * 1024];
        let mut taken = 0;
        loop {
            let n = content.read(&mut buffer).map_err(|e| PackageError::NotAZip(e.to_string()))?;
            if n == 0 {
                break;
            }
            taken += n as u64;
            if taken > room {
                return Err(PackageError::TooLarge { limit: self.limits.bytes });
            }
            io::Write::write_all(&mut file, &buffer[..n]).map_err(io)?;
        }
        if taken != declared {
            // Limits on several packages together rest on what each declares.
            let shown = path.display();
            return Err(PackageError::NotAZip(format!("{shown} is not as large as the archive says")));
        }
        self.written += taken;
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(io)
    }

    fn finish(self) -> Result<(), PackageError> {
        // All directories are made before the first link, so that none is made through a link; a link in
        // the place of such a directory then finds it taken.
        for (path, _) in &self.links {
            if let Some(parent) = path.parent() {
                make_dir(&self.target.join(parent), 0o755)?;
            }
        }
        for (path, link_target) in self.links {
            symlink(&link_target, self.target.join(&path)).map_err(|e| refused(&path, e))?;
        }
        for (path, mode) in self.directories.into_iter().rev() {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                .map_err(|source| PackageError::Io { path, source })?;
        }
        Ok(())
    }
}

/// Reads where a link leads, and refuses what leads out of the package.
fn link_target(path: &Path, name: &str, content: &mut impl Read) -> Result<PathBuf, PackageError> {
    let mut target = String::new();
    let broken = |e: io::Error| PackageError::NotAZip(e.to_string());
    let length = content.take(LINK_MAX + 1).read_to_string(&mut target).map_err(broken)?;
    if length as u64 > LINK_MAX || target.contains('\0') {
        return Err(PackageError::NotAZip(format!("the target of link {name:?} is no path")));
    }
    if !stays_inside(path, Path::new(&target)) {
        return Err(PackageError::UnsafeLink { entry: name.to_owned(), target });
    }
    Ok(target.into())
}

fn make_dir(path: &Path, mode: u32) -> Result<(), PackageError> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|e| refused(path, e))
}

/// What it means that the kernel did not make an entry: the archive's fault, or the machine's.
fn refused(path: &Path, source: io::Error) -> PackageError {
    use io::ErrorKind as Kind;
    let shown = path.file_name().unwrap_or_default().to_string_lossy();
    match source.kind() {
        Kind::AlreadyExists | Kind::NotADirectory | Kind::IsADirectory => {
            PackageError::NotAZip(format!("{shown} is two different things"))
        }
        Kind::InvalidFilename | Kind::InvalidInput => {
            PackageError::NotAZip(format!("no file can be called {shown}"))
        }
        _ => PackageError::Io { path: path.to_owned(), source },
    }
}

/// The relative path of an entry, `None` when it is absolute, climbs out, is empty or is too deep.
fn safe_path(name: &str) -> Option<PathBuf> {
    if name.contains('\0') || name.starts_with('/') {
        return None;
    }
    // Archivers on Windows write backslashes; a file name that really has one is not worth the risk.
    let name = name.replace('\\', "/");
    let mut path = PathBuf::new();
    for component in Path::new(&name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let named = !path.as_os_str().is_empty() || name.ends_with('/');
    (named && path.components().count() <= DEPTH_MAX).then_some(path)
}

/// Whether a link at `path` to `target` resolves, by its text alone, to a place inside the package. `..`
/// is allowed only at the start, where what is climbed out of are directories and not other links.
fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    let mut named = false;
    for component in target.components() {
        match component {
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 && !named => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    !target.as_os_str().is_empty()
}

fn not_a_zip(error: ZipError) -> PackageError {
    PackageError::NotAZip(error.to_string())
}
