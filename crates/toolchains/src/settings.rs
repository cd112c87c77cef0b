//! Where the registries are.

use std::path::{Path, PathBuf};

/// Base URLs of the registries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registries {
    /// The npm registry.
    pub npm: String,
    /// An index of Python packages, by the interface that ends in `/simple`.
    pub pypi: String,
}

const NPM: &str = "https://registry.npmjs.org";
const PYPI: &str = "https://pypi.org/simple";

impl Registries {
    /// The registries of this machine's users: what was chosen, else what npm and pip are told by their environment
    /// variables or by their files, else the public ones.
    pub fn find(npm: Option<String>, pypi: Option<String>) -> Self {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::found(npm, pypi, env, |path| std::fs::read_to_string(path).ok())
    }

    fn found(
        npm: Option<String>,
        pypi: Option<String>,
        env: impl Fn(&str) -> Option<String>,
        read: impl Fn(&Path) -> Option<String>,
    ) -> Self {
        let home = env("HOME").map(PathBuf::from);
        let in_home = |path: &str| home.as_ref().map(|home| home.join(path));
        let setting = |files: Vec<Option<PathBuf>>, names: &[&str]| {
            files.into_iter().flatten().find_map(|file| value(&read(&file)?, names))
        };
        let npm_files = || {
            vec![
                env("NPM_CONFIG_USERCONFIG").map(PathBuf::from),
                in_home(".npmrc"),
                env("NPM_CONFIG_GLOBALCONFIG").map(PathBuf::from),
                Some("/etc/npmrc".into()),
            ]
        };
        let pip_files = || {
            vec![
                env("PIP_CONFIG_FILE").map(PathBuf::from),
                env("XDG_CONFIG_HOME").map(|dir| PathBuf::from(dir).join("pip/pip.conf")),
                in_home(".config/pip/pip.conf"),
                in_home(".pip/pip.conf"),
                Some("/etc/pip.conf".into()),
            ]
        };
        let npm = npm
            .or_else(|| env("NPM_CONFIG_REGISTRY"))
            .or_else(|| env("npm_config_registry"))
            .or_else(|| setting(npm_files(), &["registry"]))
            .unwrap_or_else(|| NPM.into());
        let pypi = pypi
            .or_else(|| env("PIP_INDEX_URL"))
            .or_else(|| setting(pip_files(), &["index-url", "index_url"]))
            .unwrap_or_else(|| PYPI.into());
        let plain = |url: String| url.trim_end_matches('/').to_owned();
        Self { npm: plain(npm), pypi: plain(pypi) }
    }
}

/// The value of a setting in a file of npm or pip.
fn value(text: &str, names: &[&str]) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        (names.contains(&name.trim()) && value.starts_with("http")).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_npm_and_pip_are_told_counts_too() {
        let find = |option: Option<&str>, vars: &[(&str, &str)], files: &[(&str, &str)]| {
            let get = |list: &[(&str, &str)], key: &str| {
                list.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
            };
            let read = |path: &Path| get(files, path.to_str().unwrap());
            let found = Registries::found(option.map(Into::into), None, |name| get(vars, name), read);
            (found.npm, found.pypi)
        };
        let public = (NPM.to_owned(), PYPI.to_owned());
        assert_eq!(find(None, &[], &[]), public);
        let home = ("HOME", "/home/ada");
        let files = [
            ("/home/ada/.npmrc", "fund=false\nregistry = http://mirror/npm/\n"),
            ("/etc/pip.conf", "[global]\nindex-url=http://mirror/simple/"),
        ];
        let mirrors = ("http://mirror/npm".to_owned(), "http://mirror/simple".to_owned());
        assert_eq!(find(None, &[home], &files), mirrors);
        let vars = [home, ("NPM_CONFIG_REGISTRY", "http://a"), ("PIP_INDEX_URL", "http://b/")];
        assert_eq!(find(None, &vars, &files), ("http://a".into(), "http://b".into()));
        assert_eq!(find(Some("http://c"), &vars, &files).0, "http://c");
    }
}
