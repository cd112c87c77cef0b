//! Finding interpreters.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{Family, Found, LanguageVersion, dotnet, java, versions};

/// Where version managers keep what they install, and where in it the programs are.
const PYTHON_MANAGERS: &[(&str, &str)] = &[
    (".pyenv/versions", "bin"),
    (".local/share/uv/python", "bin"),
    (".local/share/mise/installs/python", "bin"),
    (".asdf/installs/python", "bin"),
];
const NODE_MANAGERS: &[(&str, &str)] = &[
    (".nvm/versions/node", "bin"),
    (".local/share/fnm/node-versions", "installation/bin"),
    (".local/share/mise/installs/node", "bin"),
    (".asdf/installs/nodejs", "bin"),
    (".volta/tools/image/node", "bin"),
];
const RUBY_MANAGERS: &[(&str, &str)] = &[
    (".rbenv/versions", "bin"),
    (".rvm/rubies", "bin"),
    (".rubies", "bin"),
    (".local/share/mise/installs/ruby", "bin"),
    (".asdf/installs/ruby", "bin"),
];

/// All interpreters that `usable` accepts, newest first within a language, the first found of each version.
pub(super) async fn all(usable: impl Fn(&Found) -> bool) -> Vec<Found> {
    let mut found = BTreeMap::new();
    for python in pythons().into_iter().filter(&usable) {
        found.entry((python.family, std::cmp::Reverse(python.version))).or_insert(python);
    }
    let (nodes, rubies, jvms) = tokio::join!(
        asked(Family::NodeJs, "node", NODE_MANAGERS),
        asked(Family::Ruby, "ruby", RUBY_MANAGERS),
        java::jvms()
    );
    for program in nodes.into_iter().chain(rubies).chain(jvms).filter(&usable) {
        found.entry((program.family, std::cmp::Reverse(program.version))).or_insert(program);
    }
    for dotnet in dotnet::places().iter().flat_map(|place| dotnet::found(place)).filter(&usable) {
        found.entry((dotnet.family, std::cmp::Reverse(dotnet.version))).or_insert(dotnet);
    }
    found.into_values().collect()
}

/// Directories that may hold interpreters: the search path first, then version managers.
pub(super) fn directories(managers: &[(&str, &str)]) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all: Vec<PathBuf> = std::env::split_paths(&path).collect();
    all.extend(["/usr/local/bin", "/usr/bin"].map(PathBuf::from));
    let home = std::env::home_dir().unwrap_or_default();
    for (versions, bin) in managers {
        let mut roots: Vec<PathBuf> = std::fs::read_dir(home.join(versions))
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect();
        // Newer patch releases sort last by name and should win.
        roots.sort();
        all.extend(roots.into_iter().rev().map(|root| root.join(bin)));
    }
    all
}

fn pythons() -> Vec<Found> {
    let mut found = Vec::new();
    for dir in directories(PYTHON_MANAGERS) {
        let names = std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|e| e.file_name());
        for name in names {
            let Some(version) = name.to_str().and_then(python_version) else { continue };
            let Some(program) = program(&dir.join(&name)) else { continue };
            // `python3.11` may be a link to something else, but a prefix has the version's library.
            let Some(prefix) = program.parent().and_then(Path::parent) else { continue };
            let library = format!("python{}.{}", version.0, version.1);
            if !prefix.join("lib").join(&library).is_dir() {
                continue;
            }
            let prefix = prefix.to_owned();
            found.push(Found { family: Family::Python, version, exact: None, program, prefix });
        }
    }
    found
}

/// `python3.11` is Python 3.11; `python3.11-config` and `python3` are not names of that kind.
pub(super) fn python_version(name: &str) -> Option<LanguageVersion> {
    let minor = name.strip_prefix("python3.")?;
    minor
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| minor.parse().ok())
        .flatten()
        .map(|m| LanguageVersion(3, m))
}

/// Interpreters whose versions nothing but they themselves tell.
async fn asked(family: Family, name: &str, managers: &[(&str, &str)]) -> Vec<Found> {
    let mut programs: Vec<PathBuf> = Vec::new();
    for dir in directories(managers) {
        if let Some(program) = program(&dir.join(name))
            && !programs.contains(&program)
        {
            programs.push(program);
        }
    }
    let questions = programs.into_iter().map(|program| async move {
        let told = versions::of_host(family, &program).await?;
        let prefix = program.parent()?.parent()?.to_owned();
        let (version, exact) = (told.version, Some(told.exact));
        Some(Found { family, version, exact, program, prefix })
    });
    futures_util::future::join_all(questions).await.into_iter().flatten().collect()
}

/// The program behind a path, links resolved, if it is an executable of this machine. Shims of version
/// managers are scripts; they need their manager, which is not inside a sandbox.
pub(super) fn program(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let mut magic = [0; 4];
    File::open(&path).ok()?.read_exact(&mut magic).ok()?;
    (magic == *b"\x7fELF").then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versioned_names_are_interpreters() {
        assert_eq!(python_version("python3.11"), Some(LanguageVersion(3, 11)));
        for other in ["python3", "python", "python3.11-config", "python2.7", "python3."] {
            assert_eq!(python_version(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn this_machine_has_what_the_tests_need() {
        let found = all(|_| true).await;
        for family in [Family::Python, Family::NodeJs, Family::Ruby, Family::Java] {
            assert!(found.iter().any(|f| f.family == family), "no {} found; install it", family.name());
        }
    }
}
