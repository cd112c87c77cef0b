//! Java: the JVMs of the machine, and AWS's own runtime interface client, which runs functions on them.
//!
//! The client is not part of lambd. Its jars lie in a directory that `lambd runtimes add java` fills, or that an
//! operator names; from there they are copied to where functions see them, `/var/runtime/lib`.
//!
//! | module      | idea                                                        |
//! |-------------|-------------------------------------------------------------|
//! | `homes`     | finding JVMs                                                |
//! | `artefacts` | which jars the client is made of, and where they come from  |
//! | `launch`    | the command line of a function's JVM                        |
//! | `archive`   | the client's classes as a JVM maps them, for faster starts  |

mod archive;
mod artefacts;
mod homes;
mod launch;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::bootstraps::write_new;

pub use artefacts::{ARTEFACTS, Artefact};
pub(super) use homes::jvms;
pub use launch::Jvm;

/// The runtimes that it is for, and what it is asked for by.
pub const FAMILY: &str = "java";

/// What people call it.
pub const CLIENT: &str = "the AWS Lambda Java runtime interface client";

/// Its directory below the toolchains of a data directory.
pub const TOOLCHAIN: &str = "java-runtime-interface-client";

/// The jar that all others are for; what follows is its version.
const MAIN_JAR: &str = "aws-lambda-java-runtime-interface-client-";

/// Its native part, one for each kind of machine, inside the main jar.
const NATIVE: &str = "jni/libaws-lambda-jni.linux-";

/// The same on disk: the client would unpack it to `/tmp` at each start.
const LIBRARY: &str = "libaws-lambda-jni.so";

/// The jars of a runtime interface client that is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// By name: the class path of all functions is the same.
    jars: Vec<PathBuf>,
}

impl Client {
    /// The client in a directory; `None` if it has no jar of that name.
    pub fn find(directory: &Path) -> Option<Self> {
        let entries = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
        let mut jars: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|ext| ext == "jar")).collect();
        jars.sort();
        let client = Self { jars };
        client.main_jar().is_some().then_some(client)
    }

    fn main_jar(&self) -> Option<&Path> {
        let is_main = |path: &&PathBuf| name(path).starts_with(MAIN_JAR);
        self.jars.iter().find(is_main).map(PathBuf::as_path)
    }

    /// File names of the jars.
    fn names(&self) -> Vec<String> {
        self.jars.iter().map(|jar| name(jar)).collect()
    }

    /// Puts the jars and the native part into a directory that functions see as `/var/runtime`. What is there
    /// already stays as it is, so that archives stay valid; jars of another client are removed.
    pub(super) fn install(&self, directory: &Path) -> io::Result<()> {
        let library = directory.join("lib");
        fs::create_dir_all(&library)?;
        let names = self.names();
        for entry in fs::read_dir(&library)?.flatten() {
            if !names.contains(&name(&entry.path())) {
                fs::remove_file(entry.path())?;
            }
        }
        for jar in &self.jars {
            let installed = library.join(name(jar));
            if !is_copy(jar, &installed)? {
                write_new(&installed, &fs::read(jar)?)?;
            }
        }
        match self.main_jar().map(native) {
            Some(Ok(native)) => {
                let installed = directory.join(LIBRARY);
                if fs::read(&installed).ok().as_ref() != Some(&native) {
                    write_new(&installed, &native)?;
                }
                Ok(())
            }
            // It unpacks what it finds by itself, and tells if it finds nothing.
            Some(Err(error)) => {
                tracing::debug!(%error, "the client has no native part for this machine");
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_copy(jar: &Path, installed: &Path) -> io::Result<bool> {
    let size = |path: &Path| fs::metadata(path).map(|meta| meta.len());
    Ok(size(installed).ok() == Some(size(jar)?) && fs::read(installed)? == fs::read(jar)?)
}

/// The client's library for this machine's processor and glibc.
fn native(jar: &Path) -> io::Result<Vec<u8>> {
    let processor = match std::env::consts::ARCH {
        "aarch64" => "aarch_64",
        other => other,
    };
    let mut archive = zip::ZipArchive::new(fs::File::open(jar)?).map_err(io::Error::other)?;
    let mut entry = archive.by_name(&format!("{NATIVE}{processor}.so")).map_err(io::Error::other)?;
    let mut content = Vec::new();
    io::copy(&mut entry, &mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A client with one other jar, whose native part is `library`.
    pub(super) fn client(directory: &Path, library: &[u8]) -> Client {
        let file = fs::File::create(directory.join(format!("{MAIN_JAR}1.0.jar"))).unwrap();
        let mut jar = zip::ZipWriter::new(file);
        for processor in ["x86_64", "aarch_64"] {
            let options = zip::write::SimpleFileOptions::default();
            jar.start_file(format!("{NATIVE}{processor}.so"), options).unwrap();
            jar.write_all(library).unwrap();
        }
        jar.finish().unwrap();
        fs::write(directory.join("aws-lambda-java-core-1.0.jar"), "core").unwrap();
        Client::find(directory).expect("a client")
    }

    #[test]
    fn a_client_is_a_directory_with_its_main_jar() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Client::find(&directory.path().join("gone")), None);
        fs::write(directory.path().join("aws-lambda-java-core-1.0.jar"), "core").unwrap();
        fs::write(directory.path().join(format!("{MAIN_JAR}1.0.jar.part")), "").unwrap();
        assert_eq!(Client::find(directory.path()), None);
        let names = client(directory.path(), b"").names();
        assert_eq!(names, ["aws-lambda-java-core-1.0.jar", &format!("{MAIN_JAR}1.0.jar")]);
    }

    #[test]
    fn functions_see_the_jars_of_one_client() {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let lib = target.path().join("lib");
        let client = client(source.path(), b"native");
        fs::create_dir(&lib).unwrap();
        fs::write(lib.join("aws-lambda-java-core-0.9.jar"), "another's").unwrap();
        client.install(target.path()).unwrap();
        let mut installed: Vec<String> =
            fs::read_dir(&lib).unwrap().map(|entry| name(&entry.unwrap().path())).collect();
        installed.sort();
        assert_eq!(installed, client.names());
        assert_eq!(fs::read(target.path().join(LIBRARY)).unwrap(), b"native");

        // A JVM's archive of classes is valid for files with these times only.
        let changed = || fs::metadata(lib.join(&installed[0])).unwrap().modified().unwrap();
        let before = changed();
        client.install(target.path()).unwrap();
        assert_eq!(changed(), before);
        fs::write(&client.jars[0], "CORE").unwrap();
        client.install(target.path()).unwrap();
        assert_eq!(fs::read(lib.join(&installed[0])).unwrap(), b"CORE");
    }
}
