//! What an AWS SDK looks like on disk, language by language.

use std::fs;
use std::path::{Path, PathBuf};

use crate::recipe::Family;

/// How deep in an archive or folder the SDK may lie.
const DEPTH: usize = 5;

/// An SDK on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The directory that its language looks into.
    pub(crate) directory: PathBuf,
    /// Its version.
    pub(crate) version: String,
    /// The first version of the language that it runs on; nothing if it does not say.
    pub(crate) since: Vec<u64>,
}

/// The name that the SDK's directory has in a toolchain. Node.js finds nothing in one of another name.
pub(crate) fn place(family: Family) -> &'static str {
    match family {
        Family::Python => "python",
        Family::Ruby => "gems",
        _ => "node_modules",
    }
}

/// The SDK in a directory, or in one below.
pub(crate) fn find(family: Family, top: &Path) -> Option<Found> {
    let mut level = vec![top.to_owned()];
    for _ in 0..=DEPTH {
        if let Some(found) = level.iter().find_map(|directory| at(family, directory)) {
            return Some(found);
        }
        let below =
            level.iter().flat_map(|directory| names(directory).into_iter().map(|n| directory.join(n)));
        level = below.filter(|path| path.is_dir() && !path.is_symlink()).collect();
        level.sort();
    }
    None
}

fn at(family: Family, directory: &Path) -> Option<Found> {
    let (version, since) = match family {
        Family::Python => python(directory)?,
        Family::Ruby => ruby(directory)?,
        _ => node(directory)?,
    };
    Some(Found { directory: directory.to_owned(), version, since })
}

/// A `site-packages` with boto3.
fn python(directory: &Path) -> Option<(String, Vec<u64>)> {
    let is_about = |name: &String| name.starts_with("boto3-") && name.ends_with(".dist-info");
    let about = names(directory).into_iter().find(is_about).filter(|_| directory.join("boto3").is_dir())?;
    let metadata = fs::read_to_string(directory.join(about).join("METADATA")).ok()?;
    let field = |name: &str| metadata.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let since = field("Requires-Python:").and_then(at_least).unwrap_or_default();
    Some((field("Version:")?.to_owned(), since))
}

/// A `node_modules` with clients of version 3, or with version 2.
fn node(directory: &Path) -> Option<(String, Vec<u64>)> {
    let scope = directory.join("@aws-sdk");
    let mut clients = names(&scope).into_iter().filter(|name| name.starts_with("client-"));
    let packages = [Path::new("@aws-sdk/client-lambda").to_owned(), "aws-sdk".into()];
    let first = clients.next().map(|name| Path::new("@aws-sdk").join(name));
    packages.into_iter().chain(first).find_map(|package| {
        let text = fs::read(directory.join(package).join("package.json")).ok()?;
        let about: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let engine = about.pointer("/engines/node").and_then(|engine| at_least(engine.as_str()?));
        Some((about.get("version")?.as_str()?.to_owned(), engine.unwrap_or_default()))
    })
}

/// A directory of gems with the core of the SDK.
fn ruby(directory: &Path) -> Option<(String, Vec<u64>)> {
    let specifications = directory.join("specifications");
    let core = |name: &String| name.starts_with("aws-sdk-core-") && name.ends_with(".gemspec");
    let file = names(&specifications).into_iter().filter(core).max()?;
    let version = file.strip_prefix("aws-sdk-core-")?.strip_suffix(".gemspec")?.to_owned();
    let text = fs::read_to_string(specifications.join(&file)).ok()?;
    let line = text.lines().find(|line| line.contains("required_ruby_version"));
    let since = line.and_then(|line| at_least(line.split_once("new(")?.1.trim_matches(['"', '\''])));
    Some((version, since.unwrap_or_default()))
}

/// The version after `>=` of a condition, as Python, npm and Ruby write it.
pub(crate) fn at_least(condition: &str) -> Option<Vec<u64>> {
    let rest = condition.split_once(">=")?.1.trim_start();
    let numbers: Vec<u64> = rest
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()?
        .split('.')
        .map_while(|n| n.parse().ok())
        .collect();
    (!numbers.is_empty()).then(|| numbers.into_iter().take(2).collect())
}

/// Names in a directory, in order; none if there is no such directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn sdks_of_node_and_ruby_are_found_where_they_lie() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path();
        assert_eq!(find(Family::NodeJs, top), None);
        let package =
            |version: &str, node: &str| format!(r#"{{"version":"{version}","engines":{{"node":"{node}"}}}}"#);
        write(top.join("node_modules/@aws-sdk/client-s3/package.json"), &package("3.900.0", ">=18.0.0"));
        let found = find(Family::NodeJs, top).unwrap();
        assert_eq!(found.directory, top.join("node_modules"));
        assert_eq!((found.version.as_str(), found.since), ("3.900.0", vec![18, 0]));
        let v2 = tempfile::tempdir().unwrap();
        write(v2.path().join("aws-sdk/package.json"), &package("2.1692.0", ">= 10.0.0"));
        assert_eq!(find(Family::NodeJs, v2.path()).unwrap().since, [10, 0]);
        let spec = "Gem::Specification.new do |s|\n  s.required_ruby_version = Gem::Requirement.new(\">= 2.7\".freeze)\n";
        write(top.join("ruby/3.3.0/specifications/aws-sdk-core-3.220.0.gemspec"), spec);
        let found = find(Family::Ruby, top).unwrap();
        assert_eq!((found.version.as_str(), found.since), ("3.220.0", vec![2, 7]));
    }

    #[test]
    fn conditions_are_read_as_each_language_writes_them() {
        for (text, expected) in [
            (">= 3.10", Some(vec![3, 10])),
            (">=18.0.0", Some(vec![18, 0])),
            (">=3.8,<4", Some(vec![3, 8])),
            ("*", None),
        ] {
            assert_eq!(at_least(text), expected, "{text}");
        }
    }
}
