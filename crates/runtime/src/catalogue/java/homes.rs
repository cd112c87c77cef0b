//! Finding JVMs. What each is stands in a file beside it, so that none need be started.

use std::path::{Path, PathBuf};

use super::super::discover::{directories, program};
use super::super::versions::{self, Told};
use super::super::{Family, Found};

/// Where distributions and version managers keep JVMs, and where in them the program is.
const PLACES: &[(&str, &str)] = &[
    ("/usr/lib/jvm", "bin"),
    ("/usr/java", "bin"),
    ("/opt", "bin"),
    (".sdkman/candidates/java", "bin"),
    (".jenv/versions", "bin"),
    (".jdks", "bin"),
    (".local/share/mise/installs/java", "bin"),
    (".asdf/installs/java", "bin"),
];

/// All JVMs of the machine, `JAVA_HOME` first.
pub(in super::super) async fn jvms() -> Vec<Found> {
    let home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin"));
    let mut found: Vec<Found> = Vec::new();
    for directory in home.into_iter().chain(directories(PLACES)) {
        let Some(program) = program(&directory.join("java")) else { continue };
        if found.iter().all(|other| other.program != program) {
            found.extend(examine(program).await);
        }
    }
    found
}

async fn examine(program: PathBuf) -> Option<Found> {
    let prefix = program.parent()?.parent()?.to_owned();
    let told = match released(&prefix) {
        Some(told) => told,
        None => versions::of_host(Family::Java, &program).await?,
    };
    Some(Found { family: Family::Java, version: told.version, exact: Some(told.exact), program, prefix })
}

/// What the file says that comes with each JDK, and with each JRE; that of a JRE inside a JDK is the JDK's.
fn released(prefix: &Path) -> Option<Told> {
    let parent = prefix.parent().filter(|_| prefix.ends_with("jre"));
    let files = std::iter::once(prefix).chain(parent).map(|directory| directory.join("release"));
    let text = files.filter_map(|file| std::fs::read_to_string(file).ok()).next()?;
    let quoted = text.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    versions::java_version(quoted.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::LanguageVersion;

    #[test]
    fn a_file_tells_the_version() {
        let home = tempfile::tempdir().unwrap();
        let jre = home.path().join("jre");
        std::fs::create_dir(&jre).unwrap();
        let said = |prefix: &Path| released(prefix).map(|told| (told.version, told.exact));
        assert_eq!(said(home.path()), None);
        let write = |text: &str| std::fs::write(home.path().join("release"), text).unwrap();
        write("IMPLEMENTOR=\"Debian\"\nJAVA_VERSION=\"17.0.15\"\nJAVA_VERSION_DATE=\"2025-04-15\"\n");
        assert_eq!(said(home.path()), Some((LanguageVersion(17, 0), "17.0.15".into())));
        write("JAVA_VERSION=\"1.8.0_392\"\n");
        assert_eq!(said(&jre), Some((LanguageVersion(8, 0), "1.8.0_392".into())));
        write("OS_ARCH=\"amd64\"\n");
        assert_eq!(said(home.path()), None);
    }
}
