//! From a folder to functions.
//!
//! A project is read anew on every change: parsing a few small files is cheaper than knowing which of
//! them a change concerns.

mod manifest;
mod package;
mod runtime;
mod sam;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use lambd_types::{FunctionName, MemorySize, Scope, Timeout};

pub(crate) use package::{PackageError, package};
pub(crate) use runtime::{is_installed, resolve_runtime};

/// The functions of a folder, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Project {
    /// Sorted by name, names unique.
    pub(crate) functions: Vec<FunctionSpec>,
    /// Mistakes that keep a file's functions from being deployed.
    pub(crate) problems: Vec<Problem>,
    /// What is in the files and has no effect here.
    pub(crate) warnings: Vec<Problem>,
}

/// One function as its source describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FunctionSpec {
    pub(crate) name: FunctionName,
    /// An identifier such as `python3.12`, or a family such as `python`.
    pub(crate) runtime: String,
    pub(crate) handler: String,
    pub(crate) description: String,
    pub(crate) memory: MemorySize,
    pub(crate) timeout: Timeout,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) code: Code,
    /// The `lambd.toml` or template that describes it.
    pub(crate) source: PathBuf,
}

/// The tag that says which network a function sees.
const NETWORK_TAG: &str = "lambd:network";

/// Where a function's code is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Code {
    /// A folder to be packaged.
    Folder {
        /// Changes below this concern the function; `build` runs here.
        root: PathBuf,
        /// What is packaged.
        package: PathBuf,
        /// Shell command that makes it ready.
        build: Option<String>,
    },
    /// A zip file, taken as it is.
    Archive(PathBuf),
    /// A single file whose text is in the template.
    Inline { file: String, text: String },
}

impl Code {
    /// The file or folder whose changes concern the function.
    pub(crate) fn watched(&self) -> Option<&Path> {
        match self {
            Self::Folder { root, .. } => Some(root),
            Self::Archive(path) => Some(path),
            Self::Inline { .. } => None,
        }
    }
}

/// Something to be said about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) path: PathBuf,
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
}

impl Problem {
    fn new(path: &Path, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.message),
            None => write!(f, "{}: {}", self.path.display(), self.message),
        }
    }
}

/// Reads all functions in `dir` and below.
///
/// A folder with a `lambd.toml` is one function, whatever lies below it. Hidden folders and
/// `node_modules` are not entered.
pub(crate) fn load(dir: &Path, scope: &Scope) -> Project {
    let mut project = Project::default();
    visit(dir, scope, &mut project);
    refuse_double_names(&mut project);
    project
}

fn visit(dir: &Path, scope: &Scope, project: &mut Project) {
    let manifest = dir.join(manifest::FILE);
    if manifest.is_file() {
        match manifest::read(dir, &manifest) {
            Ok(function) => project.functions.push(function),
            Err(problem) => project.problems.push(problem),
        }
        return;
    }
    if let Some(template) = sam::TEMPLATES.iter().map(|name| dir.join(name)).find(|path| path.is_file()) {
        sam::read(&template, scope, project);
    }
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) => {
            return project.problems.push(Problem::new(dir, None, format!("cannot read the folder: {e}")));
        }
    };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        // Without following links: a link to a folder above would never end.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| {
            let name = entry.file_name();
            name != "node_modules" && !name.as_encoded_bytes().starts_with(b".")
        })
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    for folder in folders {
        visit(&folder, scope, project);
    }
}

fn refuse_double_names(project: &mut Project) {
    project.functions.sort_by(|a, b| a.name.cmp(&b.name));
    let Project { functions, problems, .. } = project;
    functions.dedup_by(|second, first| {
        let double = second.name == first.name;
        if double {
            let message =
                format!("{} is also the name of the function in {}", second.name, first.source.display());
            problems.push(Problem::new(&second.source, None, message));
        }
        double
    });
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lambd_types::{AccountId, Region};

    use super::*;

    fn scope() -> Scope {
        Scope { account: AccountId::default_local(), region: Region::default_local() }
    }

    fn write(dir: &Path, path: &str, text: &str) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    const MANIFEST: &str = "runtime = \"python\"\nhandler = \"app.handler\"\n";

    #[test]
    fn functions_are_found_in_the_folder_and_below() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["b", "a", "deep/er/c", "node_modules/x", ".git/y", "a/nested"] {
            write(dir.path(), &format!("{folder}/lambd.toml"), MANIFEST);
        }
        write(
            dir.path(),
            "app/template.yaml",
            "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Runtime: python3.12\n      \
             Handler: a.b\n      InlineCode: x\n",
        );
        let project = load(dir.path(), &scope());
        let names: Vec<&str> = project.functions.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["F", "a", "b", "c"]);
        assert_eq!(project.problems, []);

        let one = load(&dir.path().join("a"), &scope());
        assert_eq!(one.functions.len(), 1, "the folder itself is a function");
    }

    #[test]
    fn two_functions_of_one_name_are_refused_by_file() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "x/same/lambd.toml", MANIFEST);
        write(dir.path(), "y/same/lambd.toml", MANIFEST);
        let project = load(dir.path(), &scope());
        assert_eq!(project.functions.len(), 1);
        let text = project.problems[0].to_string();
        assert!(text.contains("y/same/lambd.toml") && text.contains("x/same/lambd.toml"), "{text}");
    }

    #[test]
    fn a_missing_folder_is_a_problem() {
        assert!(
            load(Path::new("/nowhere/at/all"), &scope()).problems[0]
                .message
                .contains("cannot read the folder")
        );
    }
}
