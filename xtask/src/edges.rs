//! Which crate may depend on which: the layers of `ARCHITECTURE.md`, held by a test.
//!
//! Dependencies point downwards only. So crates of one level never import each other; one that
//! needs a sibling declares a port, and `server` wires it. Every new crate is added to [`LEVELS`]
//! on purpose: a new edge is a change of design.

use std::path::Path;

use crate::metadata::Package;

/// Folders of the crates, lowest level first. `companions/*` stands for every companion.
const LEVELS: &[&[&str]] = &[
    &["types", "jail"],
    &["api", "archives", "http", "iam", "outbound", "store"],
    &["control", "invoke", "runtime", "sandbox", "toolchains", "poller", "companions/*", "cli", "console"],
    &["server"],
];

/// Packages beside the layers. They see lambd from outside, so they import none of its crates,
/// except the test kit, which serves the crates' own tests.
const ASIDE: &[&str] = &["xtask", "perf", "tests/functions/*", "tests/rust-sdk", "crates/testkit"];

/// Breaches of the layers, as sentences. Dependencies of every kind count, tests included.
pub(crate) fn breaches(root: &Path, packages: &[Package]) -> Vec<String> {
    let ours: Vec<(&Package, String)> = packages
        .iter()
        .filter(|package| package.ours)
        .map(|package| {
            (package, package.folder.strip_prefix(root).unwrap_or(&package.folder).display().to_string())
        })
        .collect();
    let mut breaches = Vec::new();
    for (package, folder) in &ours {
        let Some(place) = Place::of(folder) else {
            breaches.push(format!("{} in {folder} has no level: add it to xtask/src/edges.rs", package.name));
            continue;
        };
        let last = folder.rsplit('/').next().unwrap_or(folder);
        if matches!(place, Place::Level(_)) && package.name != format!("lambd-{last}") {
            breaches.push(format!("{} in {folder} should be named lambd-{last}", package.name));
        }
        for (target, target_folder) in &ours {
            if target.name == package.name || !package.dependencies.contains(&target.name) {
                continue;
            }
            if !place.may_import(Place::of(target_folder), target_folder) {
                breaches.push(format!("{} ({place}) must not depend on {}", package.name, target.name));
            }
        }
    }
    breaches
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Level(usize),
    Aside,
}

impl Place {
    fn of(folder: &str) -> Option<Self> {
        if ASIDE.iter().any(|pattern| matches(pattern, folder)) {
            return Some(Self::Aside);
        }
        let inside = folder.strip_prefix("crates/")?;
        LEVELS.iter().position(|level| level.iter().any(|pattern| matches(pattern, inside))).map(Self::Level)
    }

    fn may_import(self, target: Option<Self>, target_folder: &str) -> bool {
        match (self, target) {
            (Self::Level(from), Some(Self::Level(to))) => to < from,
            (Self::Level(_), Some(Self::Aside)) => target_folder == "crates/testkit",
            (Self::Aside, _) | (_, None) => false,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Level(level) => write!(f, "level {level}"),
            Self::Aside => f.write_str("beside the levels"),
        }
    }
}

fn matches(pattern: &str, folder: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(parent) => folder
            .strip_prefix(parent)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|name| !name.contains('/')),
        None => pattern == folder,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::breaches;
    use crate::metadata::{self, Package};
    use crate::workspace::Workspace;

    fn package(folder: &str, name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            folder: Path::new("/w").join(folder),
            dependencies: dependencies.iter().map(|&d| d.to_owned()).collect(),
            ours: true,
            ..Package::default()
        }
    }

    fn check(packages: &[Package]) -> Vec<String> {
        breaches(Path::new("/w"), packages)
    }

    #[test]
    fn the_workspace_keeps_to_the_layers() {
        let workspace = Workspace::find().unwrap();
        let found = breaches(workspace.root(), &metadata::packages(&workspace).unwrap());
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn downward_edges_are_free() {
        let packages = [
            package("crates/types", "lambd-types", &["bytes"]),
            package("crates/jail", "lambd-jail", &["libc"]),
            package("crates/sandbox", "lambd-sandbox", &["lambd-jail", "lambd-types"]),
            package("crates/companions/observe", "lambd-observe", &["lambd-types"]),
            package("crates/server", "lambd-server", &["lambd-sandbox", "lambd-observe"]),
        ];
        assert_eq!(check(&packages), Vec::<String>::new());
    }

    #[test]
    fn siblings_upward_edges_and_strangers_are_breaches() {
        let types = package("crates/types", "lambd-types", &["lambd-store"]);
        let store = package("crates/store", "lambd-store", &[]);
        let invoke = package("crates/invoke", "lambd-invoke", &["lambd-control"]);
        let control = package("crates/control", "lambd-control", &[]);
        let perf = package("perf", "lambd-perf", &["lambd-types"]);
        let stranger = package("crates/extra", "lambd-extra", &[]);
        let misnamed = package("crates/http", "http-of-lambd", &[]);
        let found = check(&[types, store, invoke, control, perf, stranger, misnamed]);
        assert_eq!(found.len(), 5, "{found:#?}");
    }
}
