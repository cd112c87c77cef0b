//! Finding .NET. What is installed shows in the names of directories, so nothing is run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::super::rooted::Rooted;
use super::super::{Family, Found, LanguageVersion};

/// Where distributions and Microsoft's packages put it.
pub(in super::super) const PLACES: [&str; 3] = ["/usr/share/dotnet", "/usr/lib/dotnet", "/usr/lib64/dotnet"];

/// Where one installation has its runtimes, each in a directory with the name of its version.
const RUNTIMES: &str = "shared/Microsoft.NETCore.App";

/// The first that the bootstrap runs on.
const OLDEST: LanguageVersion = LanguageVersion(2, 0);

/// Installations of this machine: `DOTNET_ROOT` first, then what `PATH` leads to.
pub(in super::super) fn places() -> Vec<PathBuf> {
    let root = std::env::var_os("DOTNET_ROOT").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all: Vec<PathBuf> = root.into_iter().chain(std::env::split_paths(&path)).collect();
    all.extend(PLACES.map(PathBuf::from));
    all.extend(std::env::home_dir().map(|home| home.join(".dotnet")));
    all
}

/// The runtimes of an installation, the newest patch of each version.
pub(in super::super) fn found(place: &Path) -> Vec<Found> {
    // `dotnet` in /usr/bin is a link to where the rest is.
    let Some(program) = super::super::discover::program(&place.join("dotnet")) else { return Vec::new() };
    let Some(root) = program.parent().map(Path::to_owned) else { return Vec::new() };
    let entries = std::fs::read_dir(root.join(RUNTIMES)).into_iter().flatten().flatten();
    runtimes(&program, &root, entries.map(|entry| entry.file_name()))
}

/// The same in a root file system.
pub(in super::super) fn inside(place: &Path, rooted: &Rooted) -> Vec<Found> {
    let Some(program) = rooted.program(&place.join("dotnet")) else { return Vec::new() };
    let Some(root) = program.parent().map(Path::to_owned) else { return Vec::new() };
    runtimes(&program, &root, rooted.names(&root.join(RUNTIMES)).into_iter())
}

fn runtimes(program: &Path, root: &Path, names: impl Iterator<Item = OsString>) -> Vec<Found> {
    let mut versions: Vec<(Vec<u32>, String)> = names
        .filter_map(|name| name.into_string().ok())
        .filter_map(|name| Some((numbers(&name)?, name)))
        .collect();
    versions.sort();
    let mut found: Vec<Found> = Vec::new();
    for (numbers, exact) in versions.into_iter().rev() {
        let version = LanguageVersion(numbers[0], numbers[1]);
        if version >= OLDEST && found.iter().all(|found| found.version != version) {
            found.push(Found {
                family: Family::DotNet,
                version,
                exact: Some(exact),
                program: program.to_owned(),
                prefix: root.to_owned(),
            });
        }
    }
    found
}

/// `3.1.23`; previews such as `9.0.0-preview.1.24080.9` are not taken.
fn numbers(name: &str) -> Option<Vec<u32>> {
    let numbers: Vec<u32> = name.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    (numbers.len() == 3).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_patch_of_each_version_is_found() {
        let place = tempfile::tempdir().unwrap();
        for name in ["3.1.9", "3.1.23", "8.0.4", "1.1.13", "9.0.0-preview.1", "notes"] {
            std::fs::create_dir_all(place.path().join(RUNTIMES).join(name)).unwrap();
        }
        assert_eq!(found(place.path()), [], "there is no program");
        let bin = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("dotnet"), b"\x7fELF...").unwrap();
        std::os::unix::fs::symlink(place.path().join("dotnet"), bin.path().join("dotnet")).unwrap();
        let root = place.path().canonicalize().unwrap();
        for at in [place.path(), bin.path()] {
            let found = found(at);
            let exact: Vec<_> = found.iter().map(|found| found.exact.clone().unwrap()).collect();
            assert_eq!(exact, ["8.0.4", "3.1.23"]);
            assert_eq!(found[1].version, LanguageVersion(3, 1));
            assert_eq!((&found[1].program, &found[1].prefix), (&root.join("dotnet"), &root));
        }
    }
}
