//! How a function's process is started.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lambd_types::FunctionSnapshot;

use super::roots::{Contents, RuntimeRoot};
use super::{Bootstraps, Family, Found, LanguageVersion};
use crate::environment::{LANG_DIR, RUNTIME_DIR, TASK_ROOT};

/// The parts of a toolchain that programs need, below its prefix. Not the prefix itself: that of a Node.js in
/// `~/.local/bin` is `~/.local`, which holds much more, such as key rings and this daemon's own data.
const TOOLCHAIN_PARTS: &[&str] = &["bin", "lib", "lib64", "libexec"];

/// Everything about a start that depends on the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchPlan {
    /// Program inside the sandbox, or why there is none.
    pub command: Result<PathBuf, String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables that the language needs.
    pub env: Vec<(String, String)>,
    /// Host directories to show inside: (host path, path inside).
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// The directory that is the root file system; without one, the host's own programs and libraries.
    pub root: Option<PathBuf>,
    /// Links of the root file system: (link, target).
    pub symlinks: Vec<(PathBuf, PathBuf)>,
    /// Whether the init phase is billed (RT-51).
    pub init_is_billed: bool,
    /// A line for the log of each instance.
    pub notice: Option<String>,
}

impl LaunchPlan {
    /// A custom runtime: the package's own `bootstrap` (RT-43, RT-44), else one that its root file system has.
    pub(super) fn custom(function: &FunctionSnapshot, root: Option<&RuntimeRoot>) -> Self {
        let path = function.code_dir.join("bootstrap");
        let in_root = matches!(root.map(|root| &root.contents), Some(Contents::Files { bootstrap: true }));
        let command = match std::fs::metadata(&path) {
            Err(_) if in_root => Ok(Path::new(RUNTIME_DIR).join("bootstrap")),
            Err(_) => {
                Err(format!("Couldn't find valid bootstrap(s): [{TASK_ROOT}/bootstrap /opt/bootstrap]"))
            }
            Ok(meta) if meta.is_dir() || meta.permissions().mode() & 0o111 == 0 => {
                Err(format!("fork/exec {TASK_ROOT}/bootstrap: permission denied"))
            }
            Ok(_) => Ok(Path::new(TASK_ROOT).join("bootstrap")),
        };
        Self {
            command,
            args: Vec::new(),
            env: Vec::new(),
            binds: Vec::new(),
            root: root.map(|root| root.directory.clone()),
            symlinks: Vec::new(),
            init_is_billed: true,
            notice: None,
        }
    }

    /// A managed runtime that its root file system brings along.
    pub(super) fn brought_along(runtime: &str, root: &RuntimeRoot) -> Self {
        let env = match Family::of(runtime) {
            Some((Family::Python, _)) => python().1,
            Some((Family::NodeJs, version)) => nodejs(version).1,
            None => Vec::new(),
        };
        Self {
            command: Ok(Path::new(RUNTIME_DIR).join("bootstrap")),
            args: Vec::new(),
            env,
            binds: Vec::new(),
            root: Some(root.directory.clone()),
            symlinks: Vec::new(),
            init_is_billed: false,
            notice: None,
        }
    }

    /// A managed runtime: our bootstrap on an interpreter of the host, or of another root file system.
    pub(super) fn managed(
        found: &Found,
        bootstraps: &Bootstraps,
        root: Option<&RuntimeRoot>,
        notice: Option<String>,
    ) -> Self {
        let mut binds = vec![(bootstraps.directory(found.family), RUNTIME_DIR.into())];
        // Interpreters find their libraries by the place they were built for, so a toolchain keeps its
        // path; what is below /usr is inside anyway.
        if root.is_none() && !found.prefix.starts_with("/usr") {
            let parts = TOOLCHAIN_PARTS.iter().map(|part| found.prefix.join(part));
            binds.extend(parts.filter(|part| part.is_dir()).map(|part| (part.clone(), part)));
        }
        let (args, env) = match found.family {
            Family::Python => python(),
            Family::NodeJs => nodejs(found.version),
        };
        let symlinks = if found.prefix == Path::new(LANG_DIR) {
            Vec::new()
        } else {
            vec![(LANG_DIR.into(), found.prefix.clone())]
        };
        Self {
            command: Ok(found.program.clone()),
            args,
            env,
            binds,
            root: root.map(|root| root.directory.clone()),
            symlinks,
            init_is_billed: false,
            notice,
        }
    }
}

type ArgsAndEnv = (Vec<String>, Vec<(String, String)>);

fn python() -> ArgsAndEnv {
    // Without the user's own site directory, which is not inside; with everything else that users of
    // Python rely on.
    let args = vec!["-s".to_owned(), format!("{RUNTIME_DIR}/bootstrap.py")];
    let env = vec![("PYTHONPATH".to_owned(), RUNTIME_DIR.to_owned())];
    (args, env)
}

fn nodejs(version: LanguageVersion) -> ArgsAndEnv {
    let major = version.0;
    let args = vec![format!("{RUNTIME_DIR}/bootstrap.cjs")];
    let node_path = format!(
        "/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:{RUNTIME_DIR}/node_modules:{RUNTIME_DIR}:{TASK_ROOT}"
    );
    (args, vec![("NODE_PATH".to_owned(), node_path)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::LanguageVersion;

    #[test]
    fn of_a_prefix_only_the_toolchain_is_shown() {
        let home = tempfile::tempdir().unwrap();
        let prefix = home.path().join(".local");
        for part in ["bin", "lib/node_modules", "share/keyrings", "share/lambd", "state"] {
            std::fs::create_dir_all(prefix.join(part)).unwrap();
        }
        let found = Found {
            family: Family::NodeJs,
            version: LanguageVersion(20, 0),
            program: prefix.join("bin/node"),
            prefix: prefix.clone(),
            exact: None,
        };
        let plan = LaunchPlan::managed(&found, &Bootstraps::at("/bootstraps".into()), None, None);
        let shown: Vec<_> = plan.binds.iter().map(|(from, _)| from.clone()).collect();
        assert_eq!(shown, [PathBuf::from("/bootstraps/nodejs"), prefix.join("bin"), prefix.join("lib")]);
        assert!(plan.binds.iter().skip(1).all(|(from, to)| from == to));
    }
}
