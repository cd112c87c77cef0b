//! The root file system of the host, as far as a sandbox may see it: its programs and libraries, and the
//! parts of its `/etc` that these need.

use std::path::{Component, Path};

use super::captured::Captured;
use super::{EMPTY_DIRECTORIES, View};
use crate::error::StepError;
use crate::etc;

/// Top-level directories of the host's system: links into `/usr` on merged systems, else directories.
pub(crate) const SYSTEM_DIRECTORIES: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Copies the mounts of everything that will be seen of the host's system.
pub(super) fn capture(view: &mut View) -> Result<(), StepError> {
    view.directories = EMPTY_DIRECTORIES.iter().map(|path| (path.into(), 0o755)).collect();
    view.directories.push(("/root".into(), 0o711));
    view.system.push(Captured::read_only(Path::new("/usr"), Path::new("/usr"))?);
    for name in SYSTEM_DIRECTORIES {
        let path = Path::new("/").join(name);
        match std::fs::read_link(&path) {
            Ok(target) => view.links.push((path, target)),
            Err(_) if path.is_dir() => view.system.push(Captured::read_only(&path, &path)?),
            Err(_) => {}
        }
    }
    capture_shell(view)?;
    capture_etc(view)
}

/// `/bin/sh` is bash on AWS, and scripts written for it rely on that; on Debian it is dash. The
/// view of bash goes over the file that the host's `/bin/sh` leads to.
fn capture_shell(view: &mut View) -> Result<(), StepError> {
    let (Ok(shell), Ok(bash)) = (std::fs::canonicalize("/bin/sh"), std::fs::canonicalize("/bin/bash")) else {
        return Ok(());
    };
    if shell != bash {
        view.system.push(Captured::read_only(&bash, &shell)?);
    }
    Ok(())
}

fn capture_etc(view: &mut View) -> Result<(), StepError> {
    for path in etc::shown_paths() {
        // A link into /usr stays a link; a link elsewhere leads to what the sandbox must not see.
        match std::fs::read_link(&path) {
            Ok(target) if leads_into_usr(&target) => view.links.push((path, target)),
            Ok(_) => {}
            Err(_) if path.exists() => view.system.push(Captured::read_only(&path, &path)?),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Whether a link in `/etc` leads below `/usr`: absolutely, or by leading `..` only.
fn leads_into_usr(target: &Path) -> bool {
    let up = |part: &Component<'_>| matches!(part, Component::RootDir | Component::ParentDir);
    let mut down = target.components().skip_while(up);
    // A first part that nothing led up to would be a neighbour in /etc.
    target.components().next().as_ref().is_some_and(up)
        && down.next() == Some(Component::Normal("usr".as_ref()))
        && !down.any(|part| part == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_into_usr_are_kept() {
        for (target, kept) in [
            ("/usr/share/zoneinfo/UTC", true),
            ("../usr/lib/os-release", true),
            ("/var/lib/secret", false),
            ("../root/x", false),
            ("/usr/../root/x", false),
            ("usr/../../root", false),
            ("passwd", false),
            ("usr/share/x", false),
        ] {
            assert_eq!(leads_into_usr(Path::new(target)), kept, "{target}");
        }
    }
}
