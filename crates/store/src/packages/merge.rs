//! Making one directory of several unpacked packages.

use std::fs::{self, DirBuilder, FileType};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::Path;

/// Lays `layers` over each other in the new directory `target`: directories of the same name become one, of
/// everything else the last one stays (CORE-208). Files are links to the same inodes where the file system has
/// such links. On failure `target` may be half-made; the caller removes it.
///
/// No link is followed: each entry is made in a directory that was made here.
pub(super) fn merge<'a>(layers: impl IntoIterator<Item = &'a Path>, target: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(target)?;
    layers.into_iter().try_for_each(|layer| lay_over(layer, target))
}

fn lay_over(from: &Path, onto: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), onto.join(entry.file_name()));
        let kind = entry.file_type()?;
        let below = match fs::symlink_metadata(&target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
            Ok(meta) => Some(meta.file_type()),
        };
        if kind.is_dir() {
            make_room(&target, below, FileType::is_dir)?;
            if !target.is_dir() {
                DirBuilder::new().mode(0o755).create(&target)?;
            }
            lay_over(&source, &target)?;
            // Last, for what is in it is made before; the owner's right to write is in all of them.
            fs::set_permissions(&target, entry.metadata()?.permissions())?;
        } else {
            make_room(&target, below, |_| false)?;
            place(&source, &target, kind)?;
        }
    }
    Ok(())
}

/// Removes what a later layer replaces.
fn make_room(target: &Path, below: Option<FileType>, may_stay: impl Fn(&FileType) -> bool) -> io::Result<()> {
    match below {
        None => Ok(()),
        Some(below) if may_stay(&below) => Ok(()),
        Some(below) if below.is_dir() => fs::remove_dir_all(target),
        Some(_) => fs::remove_file(target),
    }
}

fn place(source: &Path, target: &Path, kind: FileType) -> io::Result<()> {
    if kind.is_symlink() {
        return symlink(fs::read_link(source)?, target);
    }
    // A file system without such links, or a file that has too many of them.
    fs::hard_link(source, target).or_else(|_| fs::copy(source, target).map(drop))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::PathBuf;

    use super::*;

    /// Directories with these files, each with its path and the layer's name as content.
    fn layer(root: &Path, name: &str, files: &[&str]) -> PathBuf {
        let layer = root.join(name);
        for file in files {
            let path = layer.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        layer
    }

    fn merged(root: &Path, layers: &[&PathBuf]) -> PathBuf {
        let target = root.join("merged");
        merge(layers.iter().map(|layer| layer.as_path()), &target).unwrap();
        target
    }

    fn content(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    /// CORE-208.
    #[test]
    fn folders_are_merged_and_the_last_file_wins() {
        let dir = tempfile::tempdir().unwrap();
        let one = layer(dir.path(), "one", &["python/a.py", "python/both.py", "bin/tool"]);
        let two = layer(dir.path(), "two", &["python/b.py", "python/both.py", "lib/x"]);
        fs::set_permissions(one.join("bin/tool"), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(two.join("python"), Permissions::from_mode(0o700)).unwrap();
        let target = merged(dir.path(), &[&one, &two]);
        for (path, from) in
            [("python/a.py", "one"), ("python/b.py", "two"), ("python/both.py", "two"), ("lib/x", "two")]
        {
            assert_eq!(content(&target.join(path)), from, "{path}");
        }
        let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(target.join("bin/tool")), inode(one.join("bin/tool")), "no second copy");
        assert_eq!(fs::metadata(target.join("bin/tool")).unwrap().mode() & 0o777, 0o755);
        assert_eq!(fs::metadata(target.join("python")).unwrap().mode() & 0o777, 0o700);
        assert_eq!(content(&one.join("python/both.py")), "one", "the layers themselves stay as they are");
    }

    #[test]
    fn what_is_of_another_kind_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let one = layer(dir.path(), "one", &["file-or-folder", "folder-or-file/deep/x", "link-or-file"]);
        let two = layer(dir.path(), "two", &["file-or-folder/y", "folder-or-file"]);
        fs::remove_file(one.join("link-or-file")).unwrap();
        symlink("file-or-folder", two.join("link-or-file")).unwrap();
        let target = merged(dir.path(), &[&one, &two]);
        assert_eq!(content(&target.join("file-or-folder/y")), "two");
        assert_eq!(content(&target.join("folder-or-file")), "two");
        assert_eq!(fs::read_link(target.join("link-or-file")).unwrap(), Path::new("file-or-folder"));
    }

    /// A link of one layer must not lead the files of the next to somewhere else.
    #[test]
    fn no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = layer(dir.path(), "victim", &["kept"]);
        let one = layer(dir.path(), "one", &["x"]);
        for (link, leads_to) in [("folder", victim.as_path()), ("file", &victim.join("kept"))] {
            symlink(leads_to, one.join(link)).unwrap();
        }
        let two = layer(dir.path(), "two", &["folder/kept", "folder/new", "file"]);
        let target = merged(dir.path(), &[&one, &two]);
        assert_eq!(content(&target.join("folder/kept")), "two");
        assert_eq!(content(&target.join("file")), "two");
        assert_eq!(content(&victim.join("kept")), "victim");
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 1);
        // The other way round the link replaces the directory.
        fs::remove_dir_all(&target).unwrap();
        let target = merged(dir.path(), &[&two, &one]);
        assert_eq!(fs::read_link(target.join("folder")).unwrap(), victim);
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 1);
    }
}
