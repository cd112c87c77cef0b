//! What must hold of the files of a toolchain: functions run as other users, and see its directories as they are.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use crate::ToolchainError;

/// Makes all files readable for everybody, and refuses links that lead out. Nobody else may write there meanwhile.
pub(crate) fn settle(root: &Path) -> Result<(), ToolchainError> {
    let root = root.canonicalize().map_err(|source| ToolchainError::Store { path: root.into(), source })?;
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        let failed = |source: io::Error| ToolchainError::Store { path: directory.clone(), source };
        allow(&directory, 0o755).map_err(failed)?;
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
            if kind.is_symlink() {
                check_link(&path, &root)?;
            } else if kind.is_dir() {
                directories.push(path);
            } else if kind.is_file() {
                let mode = entry.metadata().map_err(failed)?.permissions().mode();
                allow(&path, if mode & 0o111 == 0 { 0o644 } else { 0o755 }).map_err(failed)?;
            } else {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
    }
    Ok(())
}

fn allow(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Where a link leads in the end counts; of one that leads nowhere, what it says.
fn check_link(link: &Path, root: &Path) -> Result<(), ToolchainError> {
    let target = fs::read_link(link).unwrap_or_default();
    let stays = match link.canonicalize() {
        Ok(end) => end.starts_with(root) && !target.is_absolute(),
        Err(_) => says_inside(link, &target, root),
    };
    if stays {
        return Ok(());
    }
    let link = link.strip_prefix(root).unwrap_or(link).to_owned();
    Err(ToolchainError::LinkLeavesIt { link, target })
}

fn says_inside(link: &Path, target: &Path, root: &Path) -> bool {
    let mut place = PathBuf::from(link.parent().unwrap_or(root));
    for part in target.components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                place.pop();
            }
            Component::RootDir | Component::Prefix(_) => return false,
        }
        if !place.starts_with(root) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_inside_stay_and_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("bin/deep")).unwrap();
        fs::write(dir.path().join("bin/node"), "").unwrap();
        allow(&dir.path().join("bin/node"), 0o4700).unwrap();
        symlink("node", dir.path().join("bin/nodejs")).unwrap();
        symlink("../gone", dir.path().join("bin/dangling")).unwrap();
        settle(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join("bin/node")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        for bad in ["/etc", "../../x", "/nowhere", "deep/../../../x"] {
            let link = dir.path().join("bin/bad");
            symlink(bad, &link).unwrap();
            let refused = settle(dir.path()).unwrap_err().to_string();
            assert!(refused.contains("bin/bad in it is a link that leads out of it"), "{refused}");
            fs::remove_file(link).unwrap();
        }
    }
}
