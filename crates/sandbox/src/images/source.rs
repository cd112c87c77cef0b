//! Which kind of root file system a path names.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::error::ImageError;

/// Where a root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    /// A directory that holds one.
    Directory(PathBuf),
    /// An image that has to be unpacked.
    Image(ImageSource),
}

/// An image on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSource {
    /// The directory of an image layout, or a tar archive of one; absolute.
    pub path: PathBuf,
    /// Which of its images, by `org.opencontainers.image.ref.name`; needed where there are several.
    pub tag: Option<String>,
}

impl RootSource {
    /// Reads `PATH` or `PATH:TAG` and looks what is there.
    ///
    /// # Errors
    /// When nothing is there, or nothing that can be a root file system.
    pub fn parse(value: &str) -> Result<Self, ImageError> {
        let (path, tag) = split(value);
        let unreadable = |source| ImageError::Unreadable { path: path.into(), source };
        let path = fs::canonicalize(path).map_err(unreadable)?;
        let meta = fs::metadata(&path).map_err(unreadable)?;
        if !meta.is_dir() {
            refuse_compressed(&path)?;
            return Ok(Self::Image(ImageSource { path, tag }));
        }
        if path.join("oci-layout").is_file() {
            return Ok(Self::Image(ImageSource { path, tag }));
        }
        match tag {
            Some(tag) => Err(ImageError::TagWithoutLayout { path, tag }),
            None if path.parent().is_none() => Err(ImageError::HostRoot),
            None if fs::read_dir(&path).map_err(unreadable)?.next().is_none() => {
                Err(ImageError::Empty { path })
            }
            None => Ok(Self::Directory(path)),
        }
    }
}

/// A colon may be part of a path and of a tag: what exists decides, the longest first.
fn split(value: &str) -> (&str, Option<String>) {
    let colons = value.rmatch_indices(':').map(|(at, _)| at);
    let mut parts = colons.map(|at| (&value[..at], &value[at + 1..]));
    if Path::new(value).exists() {
        return (value, None);
    }
    match parts.find(|(path, tag)| !tag.is_empty() && Path::new(path).exists()) {
        Some((path, tag)) => (path, Some(tag.to_owned())),
        None => (value, None),
    }
}

/// Archives are read from the middle, which compressed ones do not allow.
fn refuse_compressed(path: &Path) -> Result<(), ImageError> {
    let mut start = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read(&mut start));
    read.map_err(|source| ImageError::Unreadable { path: path.to_owned(), source })?;
    let with = match start {
        [0x1f, 0x8b, ..] => "gunzip",
        [0x28, 0xb5, 0x2f, 0xfd] => "unzstd",
        _ => return Ok(()),
    };
    let reason = format!("it is compressed as a whole; run {with} first");
    Err(ImageError::NotAnArchive { path: path.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_decides() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let base = dir.path().canonicalize().expect("a path");
        let at = |name: &str| base.join(name).display().to_string();
        for (name, file) in [("root", "bin"), ("layout", "oci-layout"), ("with:colon", "oci-layout")] {
            fs::create_dir(base.join(name)).expect("mkdir");
            fs::write(base.join(name).join(file), "").expect("write");
        }
        fs::create_dir(base.join("empty")).expect("mkdir");
        fs::write(base.join("a.tar"), "not looked into yet").expect("write");
        fs::write(base.join("a.tar.gz"), [0x1f, 0x8b, 8, 0]).expect("write");
        let image = |path: &str, tag: Option<&str>| {
            RootSource::Image(ImageSource { path: base.join(path), tag: tag.map(str::to_owned) })
        };
        let parsed = |value: String| RootSource::parse(&value);
        assert_eq!(parsed(at("root")).unwrap(), RootSource::Directory(base.join("root")));
        assert_eq!(parsed(at("layout")).unwrap(), image("layout", None));
        assert_eq!(parsed(at("layout:3.12")).unwrap(), image("layout", Some("3.12")));
        assert_eq!(parsed(at("layout:docker.io/a:1")).unwrap(), image("layout", Some("docker.io/a:1")));
        assert_eq!(parsed(at("with:colon")).unwrap(), image("with:colon", None));
        assert_eq!(parsed(at("with:colon:1")).unwrap(), image("with:colon", Some("1")));
        assert_eq!(parsed(at("a.tar:1")).unwrap(), image("a.tar", Some("1")));
        let refused = |value: String| parsed(value).unwrap_err().to_string();
        assert!(refused(at("root:1")).contains("no oci-layout file"));
        assert!(refused(at("empty")).contains("is empty"));
        assert!(refused(at("gone")).contains("gone: No such file"), "{}", refused(at("gone")));
        assert!(refused(at("a.tar.gz")).contains("run gunzip first"));
        assert!(refused("/".into()).contains("own root"));
    }
}
