//! Which files are external extensions.

use std::path::{Path, PathBuf};

use super::registry::MOST;
use crate::layout::Layout;
use crate::ports::{Companions, View};

/// Below `/opt`, where layers and root file systems have them.
const DIRECTORY: &str = "extensions";

/// A file of this name in `/opt` turns extensions off, as on AWS.
const OFF: &str = "disable-extensions-jwigqn8j";

/// Variables of the function's process that extensions do not get.
const OF_THE_RUNTIME: [&str; 10] = [
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_AWS_XRAY_DAEMON_ADDRESS",
    "_AWS_XRAY_DAEMON_PORT",
    "_HANDLER",
];

/// The names of external extensions in order: every entry of `/opt/extensions` that is no directory, executable or not.
///
/// `/opt` is the directory of the function's layers, or that of its root file system if it has no layers.
pub(crate) fn find(layers: Option<&Path>, root: Option<&Path>) -> Vec<String> {
    let Some(opt) = layers.map(Path::to_owned).or_else(|| root.map(|root| root.join("opt"))) else {
        return Vec::new();
    };
    if opt.join(OFF).exists() {
        return Vec::new();
    }
    let entries = std::fs::read_dir(opt.join(DIRECTORY)).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()));
    let mut names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// What a sandbox needs to run them. `env` is the environment of the function's process without what its language adds.
pub(crate) fn companions(
    names: &[String],
    env: Vec<(String, String)>,
    layout: &Layout,
    view: &View,
) -> Companions {
    if names.is_empty() {
        return Companions::default();
    }
    let directory = Path::new(&layout.opt).join(DIRECTORY);
    let of_extensions = |(name, _): &(String, String)| !OF_THE_RUNTIME.contains(&name.as_str());
    Companions {
        commands: names.iter().take(MOST).map(|name| directory.join(name)).collect(),
        env: env.into_iter().filter(of_extensions).collect(),
        // Where the files are the host's, a process must not hold on to one of its directories.
        cwd: match view {
            View::OwnRoot => PathBuf::from("/"),
            View::Host { tmp } => tmp.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_below_opt_extensions_is_one() {
        let opt = tempfile::tempdir().unwrap();
        let extensions = opt.path().join("extensions");
        std::fs::create_dir_all(extensions.join("lib")).unwrap();
        assert_eq!(find(Some(opt.path()), None), [] as [&str; 0]);
        for name in ["b", "a.sh"] {
            std::fs::write(extensions.join(name), "").unwrap();
        }
        assert_eq!(find(Some(opt.path()), None), ["a.sh", "b"]);
        let root = tempfile::tempdir().unwrap();
        assert_eq!(find(None, Some(root.path())), [] as [&str; 0]);
        std::fs::create_dir(root.path().join("opt")).unwrap();
        std::fs::rename(&extensions, root.path().join("opt/extensions")).unwrap();
        assert_eq!(find(None, Some(root.path())), ["a.sh", "b"]);
        assert_eq!(find(Some(opt.path()), Some(root.path())), [] as [&str; 0], "layers cover /opt");
        std::fs::write(root.path().join("opt").join(OFF), "").unwrap();
        assert_eq!(find(None, Some(root.path())), [] as [&str; 0]);
    }
}
