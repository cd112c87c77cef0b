//! An archive of the client's classes, which a JVM maps instead of loading and verifying them one by one
//! (application class data sharing, JEP 310 and JEP 350). It halves the time until a function can have its first event.
//!
//! An archive is valid for one build of a JVM, and for jars at the same paths, with the same times and sizes; a JVM
//! that finds any other goes on without. So it is made where functions run: in a sandbox, once for each JVM.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use lambd_types::Sha256Digest;

use super::super::Found;
use super::super::bootstraps::write_new;
use super::super::plan::toolchain;
use super::super::trial::{Outcome, Trial};
use super::Client;
use super::launch::class_path;
use crate::layout::{self, Layout};
use crate::ports::{Exit, Sandboxes};

/// The class of the client that loads all classes of the class path, and is there for this purpose.
const LOADER: &str = "com.amazonaws.services.lambda.runtime.api.client.ClasspathLoader";

/// JVMs before this version make archives in another way; for them there is none.
const MAKES_ARCHIVES: u32 = 13;

/// Runs what follows its first argument, which names the file that this makes, and writes the file to standard
/// output: a sandbox has no other way out.
const MAKE: &str = "file=$1; shift; \"$@\" >/dev/null 2>&1; cat \"$file\"";

/// More than twice that of the client's classes.
const ARCHIVE_MAX: u64 = 64 << 20;

/// It takes two seconds of an idle processor.
const PATIENCE: Duration = Duration::from_secs(120);

/// The name of a JVM's archive; `None` if it makes none. Another JVM, or other jars, have another name.
pub(super) fn name(found: &Found, directory: &Path) -> Option<String> {
    if found.version.0 < MAKES_ARCHIVES {
        return None;
    }
    let mut about = format!("{} {:?}", found.program.display(), found.exact);
    let mut jars: Vec<_> = fs::read_dir(directory.join("lib")).ok()?.flatten().collect();
    jars.sort_by_key(fs::DirEntry::file_name);
    for jar in jars {
        about += &format!(" {:?} {:?}", jar.file_name(), jar.metadata().ok()?.modified().ok()?);
    }
    Some(format!("{}.jsa", &Sha256Digest::of(about.as_bytes()).to_hex()[..16]))
}

impl Client {
    /// Makes the archive for a JVM of this machine, or of a root file system, unless it is there; `directory` is where
    /// the client is installed. Without one starts take longer, so a failure is only told to those who debug.
    pub(in super::super) async fn archive(
        &self,
        found: &Found,
        root: Option<&Path>,
        directory: &Path,
        sandboxes: &dyn Sandboxes,
    ) {
        let Some(archive) = name(found, directory).map(|name| directory.join(name)) else { return };
        if archive.exists() {
            return;
        }
        let jars = self.names();
        let args = |layout: &Layout| {
            let file = format!("{}/classes.jsa", layout.tmp.as_deref().unwrap_or("/tmp"));
            let program = found.program.display().to_string();
            let option = format!("-XX:ArchiveClassesAtExit={file}");
            let [command, script] = ["-c", MAKE].map(str::to_owned);
            let serial = "-XX:+UseSerialGC".to_owned();
            let path = ["-classpath".to_owned(), class_path(&jars, layout)];
            let [flag, path] = path;
            vec![command, script, "sh".into(), file, program, serial, option, flag, path, LOADER.into()]
        };
        let (mut binds, _) = toolchain(found, root.is_none());
        binds.push(layout::runtime(directory.to_owned()));
        let trial = Trial {
            root,
            program: Path::new("/bin/sh"),
            args: &args,
            binds,
            output_max: ARCHIVE_MAX,
            patience: PATIENCE,
            tmp_bytes: ARCHIVE_MAX,
        };
        let failed = match trial.run(sandboxes).await {
            Ok(Outcome { exit: Some(Exit::Exited(0)), output }) if (output.len() as u64) < ARCHIVE_MAX => {
                write_new(&archive, &output).err()
            }
            Ok(outcome) => Some(io::Error::other(format!("the JVM ended with {:?}", outcome.exit))),
            Err(error) => Some(io::Error::other(error)),
        };
        if let Some(error) = failed {
            tracing::debug!(%error, java = %found.program.display(), "cannot archive the client's classes");
        }
    }
}

/// Options for a JVM that maps an archive. If it cannot, because the function has chosen another collector for
/// example, nobody need be told.
pub(super) fn used(path: &str) -> [String; 2] {
    [format!("-XX:SharedArchiveFile={path}"), "-Xlog:cds*=off".to_owned()]
}
