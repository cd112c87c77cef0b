//! Libraries in Java: jars of a Maven repository that are known by their checksums.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest as _, Sha256};

use crate::add::{Added, Step, blocking, lock};
use crate::download::{self, Checksum, Published, hex};
use crate::manifest::{FORMAT, Manifest, Place};
use crate::store::{Adding, Installed, Toolchains, store_error};
use crate::{ToolchainError, settle};

/// Copies what a project depends on; Maven gets it by itself if need be.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// A jar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jar {
    /// Its group, with dots.
    pub group: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Of the file, in hexadecimal digits.
    pub sha256: &'static str,
}

impl Jar {
    /// Its file's name.
    fn file(&self) -> String {
        format!("{}-{}.jar", self.name, self.version)
    }

    /// Where the file is below the address of a repository.
    fn path(&self) -> String {
        format!("{}/{}/{}/{}", self.group.replace('.', "/"), self.name, self.version, self.file())
    }
}

/// Jars that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// What they are asked for by.
    pub runtime: &'static str,
    /// The name of their directory.
    pub directory: &'static str,
    /// The first is the one that the others are for.
    pub jars: Vec<Jar>,
}

/// Where jars come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JarSource {
    /// The machine's own Maven, with its settings: mirrors, proxies and what it has already.
    Maven,
    /// A repository, by its URL.
    Repository(String),
    /// A folder that has them.
    Folder(PathBuf),
}

/// Maven Central, where there is no Maven to say otherwise.
const CENTRAL: &str = "https://repo1.maven.org/maven2";

impl JarSource {
    /// The machine's Maven, whose settings know of mirrors; Maven Central itself where it is not installed.
    pub fn usual() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        match std::env::split_paths(&path).any(|directory| directory.join("mvn").is_file()) {
            true => Self::Maven,
            false => Self::Repository(CENTRAL.to_owned()),
        }
    }
}

impl std::fmt::Display for JarSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Maven => f.write_str("Maven"),
            Self::Repository(url) => f.write_str(url),
            Self::Folder(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Library {
    /// One checksum for all jars, as it were that of a file of `sha256sum`.
    fn checksum(&self) -> String {
        let lines: String = self.jars.iter().map(|jar| format!("{}  {}\n", jar.sha256, jar.file())).collect();
        Checksum::Sha256(hex(&Sha256::digest(lines))).to_string()
    }

    /// A project that needs exactly these jars.
    fn project(&self) -> String {
        let dependency = |jar: &Jar| {
            let Jar { group, name, version, .. } = jar;
            format!(
                "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>\
                 </dependency>\n"
            )
        };
        format!(
            "<project><modelVersion>4.0.0</modelVersion><groupId>lambd</groupId><artifactId>{}</artifactId>\
             <version>1</version><dependencies>\n{}</dependencies></project>\n",
            self.directory,
            self.jars.iter().map(dependency).collect::<String>()
        )
    }
}

/// Installs jars: all of them or none, in the place of those of another version.
///
/// # Errors
/// One cannot be had, or is not what it should be, or cannot be stored.
pub async fn add_jars(
    toolchains: &Toolchains,
    library: &Library,
    source: &JarSource,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Added, ToolchainError> {
    let adding = lock(toolchains, progress).await?;
    let checksum = library.checksum();
    let there = toolchains.list().into_iter().find(|one| one.manifest.checksum.as_deref() == Some(&checksum));
    if let Some(installed) = there {
        return Ok(Added { installed, already: true });
    }
    let new = adding.path.join("new");
    fs::create_dir(&new).map_err(|source| store_error(&new, source))?;
    match source {
        JarSource::Maven => {
            progress(Step::Asking { registry: source.to_string() });
            maven(library, &adding, &new).await?;
        }
        JarSource::Repository(base) => download_all(library, base, &adding, &new, progress).await?,
        JarSource::Folder(folder) => copy_all(library, folder, &new)?,
    }
    let manifest = Manifest {
        format: FORMAT,
        runtime: library.runtime.to_owned(),
        family: library.runtime.to_owned(),
        version: library.jars.first().map(|jar| jar.version.to_owned()).unwrap_or_default(),
        place: Place::Jars {},
        source: source.to_string(),
        checksum: Some(checksum),
    };
    let library = library.clone();
    blocking(move || {
        verify(&library, &new)?;
        settle::settle(&new)?;
        let old = adding.directory.join(library.directory);
        if old.exists() {
            fs::rename(&old, adding.path.join("old")).map_err(|source| store_error(&old, source))?;
        }
        let installed: Installed = adding.keep(&new, library.directory, &manifest)?;
        Ok(Added { installed, already: false })
    })
    .await
}

/// Has Maven get the jars, as it gets those of any project.
async fn maven(library: &Library, adding: &Adding, new: &Path) -> Result<(), ToolchainError> {
    let project = adding.path.join("pom.xml");
    fs::write(&project, library.project()).map_err(|source| store_error(&project, source))?;
    let output = tokio::process::Command::new("mvn")
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(&project)
        .args([COPY, "-DexcludeTransitive=true"])
        .arg(format!("-DoutputDirectory={}", new.display()))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            let line = said.lines().find(|line| line.contains("ERROR")).unwrap_or("it says nothing");
            Err(ToolchainError::Maven { reason: line.trim().to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ToolchainError::Maven { reason: "it is not installed".into() })
        }
        Err(error) => Err(ToolchainError::Maven { reason: error.to_string() }),
    }
}

async fn download_all(
    library: &Library,
    base: &str,
    adding: &Adding,
    new: &Path,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<(), ToolchainError> {
    for jar in &library.jars {
        let published = Published {
            version: jar.version.to_owned(),
            url: format!("{}/{}", base.trim_end_matches('/'), jar.path()),
            checksum: Checksum::Sha256(jar.sha256.to_owned()),
        };
        let shown =
            |received, total| progress(Step::Downloading { url: published.url.clone(), received, total });
        let mut file = download::file(&published, &adding.path, &shown).await?;
        let path = new.join(jar.file());
        let copied = File::create(&path).and_then(|mut jar| io::copy(&mut file, &mut jar));
        copied.map_err(|source| store_error(&path, source))?;
    }
    Ok(())
}

fn copy_all(library: &Library, folder: &Path, new: &Path) -> Result<(), ToolchainError> {
    for jar in &library.jars {
        let path = folder.join(jar.file());
        fs::copy(&path, new.join(jar.file()))
            .map_err(|source| ToolchainError::Unreadable { path, source })?;
    }
    Ok(())
}

/// Whatever they come from, they are those that lambd knows.
fn verify(library: &Library, directory: &Path) -> Result<(), ToolchainError> {
    for jar in &library.jars {
        let path = directory.join(jar.file());
        let content = fs::read(&path).map_err(|source| store_error(&path, source))?;
        let (found, expected) = (hex(&Sha256::digest(&content)), jar.sha256.to_owned());
        if found != expected {
            return Err(ToolchainError::Checksum { url: jar.file(), expected, found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of the texts "one" and "two".
    const ONE: &str = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    const TWO: &str = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";

    fn library(jars: &[(&'static str, &'static str)]) -> Library {
        let jar = |&(name, sha256): &(&'static str, &'static str)| Jar {
            group: "org.example",
            name,
            version: "1.2",
            sha256,
        };
        Library { runtime: "java", directory: "things", jars: jars.iter().map(jar).collect() }
    }

    #[test]
    fn paths_are_those_of_maven() {
        let library = library(&[("one", ONE)]);
        assert_eq!(library.jars[0].path(), "org/example/one/1.2/one-1.2.jar");
        assert!(library.project().contains("<artifactId>one</artifactId><version>1.2</version>"));
    }

    #[tokio::test]
    async fn jars_are_added_all_or_none() {
        let (place, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let toolchains = Toolchains::at(&place.path().join("toolchains"));
        let source = JarSource::Folder(folder.path().to_owned());
        let add = async |library: &Library| add_jars(&toolchains, library, &source, &|_| {}).await;
        let both = library(&[("one", ONE), ("two", TWO)]);
        fs::write(folder.path().join("one-1.2.jar"), "one").unwrap();
        fs::write(folder.path().join("two-1.2.jar"), "to").unwrap();
        let refused = add(&both).await.unwrap_err().to_string();
        assert!(refused.starts_with("two-1.2.jar has another checksum"), "{refused}");
        assert_eq!(toolchains.list(), []);

        fs::write(folder.path().join("two-1.2.jar"), "two").unwrap();
        let added = add(&both).await.unwrap();
        assert_eq!((added.already, added.installed.name().as_str()), (false, "things"));
        assert!(add(&both).await.unwrap().already);
        assert_eq!(added.installed.program(), None);
        let found = |name: &str| added.installed.directory.join(name).exists();
        assert!(found("one-1.2.jar") && found("two-1.2.jar"));

        // Another lambd knows others.
        assert!(!add(&library(&[("two", TWO)])).await.unwrap().already);
        assert!(!found("one-1.2.jar") && found("two-1.2.jar"));
        assert_eq!(toolchains.list().len(), 1);
        assert_eq!(toolchains.remove("java").unwrap(), ["things"]);
    }
}
