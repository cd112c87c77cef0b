//! Packaging: the same files make the same bytes, so that an unchanged function is not uploaded again.

use std::io::{self, Cursor, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lambd_types::limits;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::{Code, manifest};

/// Why a function could not be packaged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    #[error("{} holds no file to package", .0.display())]
    Empty(PathBuf),
    #[error("{} holds more than {} MB; package less of it with `package = \"FOLDER\"`", .0.display(), limits::CODE_SIZE_UNZIPPED >> 20)]
    TooLarge(PathBuf),
    #[error("{} has a name that is not UTF-8", .0.display())]
    Name(PathBuf),
    #[error("cannot write the package: {0}")]
    Zip(#[from] zip::result::ZipError),
}

/// The package of a function's code. Reads many files: call it where blocking is allowed.
pub(crate) fn package(code: &Code) -> Result<Vec<u8>, PackageError> {
    match code {
        Code::Folder { package, .. } => zip_folder(package),
        Code::Archive(path) => std::fs::read(path).map_err(reading(path)),
        Code::Inline { file, text } => {
            write_zip(vec![Entry { name: file.clone(), mode: 0o644, content: text.clone().into_bytes() }])
        }
    }
}

struct Entry {
    name: String,
    mode: u32,
    content: Vec<u8>,
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> PackageError + '_ {
    |source| PackageError::Read { path: path.to_owned(), source }
}

fn zip_folder(folder: &Path) -> Result<Vec<u8>, PackageError> {
    if !folder.is_dir() {
        return Err(PackageError::NotAFolder(folder.to_owned()));
    }
    let mut collector = Collector { root: folder, entries: Vec::new(), size: 0, inside: Vec::new() };
    collector.folder(folder, "")?;
    if collector.entries.is_empty() {
        return Err(PackageError::Empty(folder.to_owned()));
    }
    write_zip(collector.entries)
}

/// Gathers the files of a folder. Links are followed, as `sam build` and `zip -r` do.
struct Collector<'a> {
    root: &'a Path,
    entries: Vec<Entry>,
    size: u64,
    /// The real folders being gathered, outermost first: a link to one of them would never end.
    inside: Vec<PathBuf>,
}

impl Collector<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str) -> Result<(), PackageError> {
        let real = folder.canonicalize().map_err(reading(folder))?;
        if self.inside.contains(&real) {
            return Ok(());
        }
        self.inside.push(real);
        for entry in std::fs::read_dir(folder).map_err(reading(folder))? {
            let path = entry.map_err(reading(folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| PackageError::Name(path.clone()))?;
            if left_out(name, prefix) {
                continue;
            }
            // A file that vanished since, or a link to nothing: there is no content to package.
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let name = format!("{prefix}{name}");
            if metadata.is_dir() {
                self.folder(&path, &format!("{name}/"))?;
            } else if metadata.is_file() {
                self.file(&path, name, &metadata)?;
            }
        }
        self.inside.pop();
        Ok(())
    }

    fn file(&mut self, path: &Path, name: String, metadata: &std::fs::Metadata) -> Result<(), PackageError> {
        self.size += metadata.len();
        if self.size > limits::CODE_SIZE_UNZIPPED || self.entries.len() >= limits::CODE_ENTRIES {
            return Err(PackageError::TooLarge(self.root.to_owned()));
        }
        let content = match std::fs::read(path) {
            Ok(content) => content,
            // Editors replace files by renaming; the change that follows packages the new one.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(PackageError::Read { path: path.to_owned(), source }),
        };
        self.entries.push(Entry { name, mode: metadata.permissions().mode() & 0o777, content });
        Ok(())
    }
}

/// What lies in a source folder and is no code: version control, caches, editors' temporary files,
/// and lambd's own manifest.
fn left_out(name: &str, prefix: &str) -> bool {
    matches!(name, ".git" | ".hg" | ".svn" | ".DS_Store" | "__pycache__")
        || (name == manifest::FILE && prefix.is_empty())
        || name.ends_with('~')
        || name.ends_with(".swp")
}

fn write_zip(mut entries: Vec<Entry>) -> Result<Vec<u8>, PackageError> {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for entry in entries {
        // The fastest compression: the package travels over the loopback interface.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1))
            .last_modified_time(DateTime::DEFAULT)
            .unix_permissions(entry.mode);
        zip.start_file(entry.name, options)?;
        zip.write_all(&entry.content).map_err(zip::result::ZipError::Io)?;
    }
    Ok(zip.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(dir: &Path) -> Code {
        Code::Folder { root: dir.into(), package: dir.into(), build: None }
    }

    fn names(zip: Vec<u8>) -> Vec<(String, u32)> {
        let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        (0..archive.len())
            .map(|i| {
                let file = archive.by_index(i).unwrap();
                (file.name().unwrap().into_owned(), file.unix_mode().unwrap() & 0o777)
            })
            .collect()
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (dir, order) in [(&one, ["b.py", "a.py", "lib/c.py"]), (&two, ["lib/c.py", "a.py", "b.py"])] {
            fs::create_dir(dir.path().join("lib")).unwrap();
            for name in order {
                fs::write(dir.path().join(name), name).unwrap();
            }
        }
        let (a, b) = (package(&folder(one.path())).unwrap(), package(&folder(two.path())).unwrap());
        assert_eq!(a, b);
        fs::set_permissions(two.path().join("a.py"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(a, package(&folder(two.path())).unwrap(), "modes count");
    }

    #[test]
    fn code_is_packaged_and_the_rest_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "bootstrap",
            "lambd.toml",
            "x.py~",
            ".x.swp",
            "__pycache__/x.pyc",
            ".git/HEAD",
            "data/lambd.toml",
        ] {
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), "x").unwrap();
        }
        fs::set_permissions(dir.path().join("bootstrap"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(dir.path().join("data/lambd.toml"), fs::Permissions::from_mode(0o644)).unwrap();
        symlink("..", dir.path().join("data/loop")).unwrap();
        symlink("nowhere", dir.path().join("broken")).unwrap();
        let expected = [("bootstrap".to_owned(), 0o755), ("data/lambd.toml".to_owned(), 0o644)];
        assert_eq!(names(package(&folder(dir.path())).unwrap()), expected);
    }

    #[test]
    fn what_cannot_be_packaged_says_why() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(package(&folder(dir.path())), Err(PackageError::Empty(_))));
        assert!(matches!(package(&folder(&dir.path().join("dist"))), Err(PackageError::NotAFolder(_))));
        assert!(matches!(package(&Code::Archive(dir.path().join("x.zip"))), Err(PackageError::Read { .. })));
        let huge = fs::File::create(dir.path().join("huge")).unwrap();
        huge.set_len(limits::CODE_SIZE_UNZIPPED + 1).unwrap();
        assert!(matches!(package(&folder(dir.path())), Err(PackageError::TooLarge(_))));
    }

    #[test]
    fn inline_code_is_one_file() {
        let code = Code::Inline { file: "index.py".into(), text: "x".into() };
        assert_eq!(names(package(&code).unwrap()), [("index.py".to_owned(), 0o644)]);
    }
}
