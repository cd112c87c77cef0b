//! Examining root file systems whose programs only pretend to run.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::net::TcpStream;

use super::*;
use crate::ports::{Addresses, Base, Blueprint, Exit, Listeners, Prepared, Sandbox, View};

const IDENTIFIERS: &[&str] = &[
    "python2.7",
    "python3.11",
    "python3.12",
    "nodejs20.x",
    "java21",
    "dotnet8",
    "provided",
    "provided.al2023",
];

/// Sandboxes in which a program's output is the text of its file.
struct Pretenders;

struct Pretender {
    output: Option<OwnedFd>,
    exit: Exit,
}

impl Sandboxes for Pretenders {
    fn prepare(&self, base: Base) -> BoxFuture<'_, Result<Box<dyn Prepared>, SpawnError>> {
        assert!(base.own_root);
        Box::pin(async { Ok(Box::new(Pretenders) as Box<dyn Prepared>) })
    }
}

impl Prepared for Pretenders {
    fn addresses(&self) -> Addresses {
        unreachable!("a program that tells its version calls nobody")
    }

    fn view(&self) -> View {
        View::OwnRoot
    }

    fn build(
        self: Box<Self>,
        blueprint: Blueprint,
    ) -> BoxFuture<'static, Result<Box<dyn Sandbox>, SpawnError>> {
        Box::pin(async move {
            assert_eq!(blueprint.args, ["--version"]);
            let root = blueprint.root.ok_or(SpawnError("no root file system".into()))?;
            let program = blueprint.command.strip_prefix("/").expect("an absolute path");
            let text = fs::read_to_string(root.join(program)).map_err(|e| SpawnError(e.to_string()))?;
            let (output, mut write) = io::pipe().expect("a pipe");
            write.write_all(text.as_bytes()).expect("it fits into the pipe");
            let exit = if text.starts_with("error") { Exit::Exited(127) } else { Exit::Exited(0) };
            Ok(Box::new(Pretender { output: Some(output.into()), exit }) as Box<dyn Sandbox>)
        })
    }
}

impl Sandbox for Pretender {
    fn take_listeners(&mut self) -> Option<Listeners> {
        None
    }

    fn take_output(&mut self) -> Option<OwnedFd> {
        self.output.take()
    }

    fn exited(&self) -> BoxFuture<'static, Exit> {
        Box::pin(std::future::ready(self.exit.clone()))
    }

    fn take_companion_output(&mut self) -> Option<OwnedFd> {
        None
    }

    fn take_companion_ends(&mut self) -> Option<BoxStream<'static, (usize, Exit)>> {
        None
    }

    fn launch(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn init(&self) -> Option<i32> {
        None
    }
    fn gone(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn terminate_process(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn kill_process(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn connect(&self, _: u16) -> BoxFuture<'static, io::Result<TcpStream>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())))
    }

    fn freeze(&self) -> io::Result<()> {
        Ok(())
    }

    fn thaw(&self) -> io::Result<()> {
        Ok(())
    }

    fn limit_cpu(&self) -> io::Result<()> {
        Ok(())
    }

    fn terminate(&self, _: Duration) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn kill(&self) {}

    fn memory_peak_bytes(&self) -> Option<u64> {
        None
    }
}

/// A root file system of programs, by path and what they say.
fn root(programs: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temporary directory");
    for (path, says) in programs {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("mkdir");
        fs::write(&path, says).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    }
    dir
}

async fn examined(selector: &str, root: &tempfile::TempDir) -> Result<Contents, String> {
    let directory = root.path().to_owned();
    let origin = RootOrigin::Directory { path: directory.clone() };
    let selector = Selector::parse(selector, IDENTIFIERS).expect("a selector");
    let examined = RuntimeRoot::examine(selector, directory, origin, &Pretenders).await;
    examined.map(|root| root.contents).map_err(|error| error.to_string())
}

/// `version at path under prefix` of each interpreter.
async fn interpreters(selector: &str, root: &tempfile::TempDir) -> Vec<String> {
    match examined(selector, root).await {
        Ok(Contents::Interpreters(found)) => found
            .iter()
            .map(|found| {
                let exact = found.exact.as_deref().unwrap_or("?");
                format!("{exact} at {} under {}", found.program.display(), found.prefix.display())
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn interpreters_are_found_where_images_have_them() {
    let images = root(&[
        ("var/lang/bin/python3.12", "Python 3.12.4\n"),
        ("usr/local/bin/python3.12", "Python 3.12.9\n"),
        ("usr/bin/python3.11", "Python 3.11.2\n"),
        ("usr/bin/python3.11-config", "error: not asked"),
        ("usr/local/bin/node", "v20.11.1\n"),
    ]);
    symlink("python3.11", images.path().join("usr/bin/python3")).expect("link");
    let twelve = "3.12.4 at /var/lang/bin/python3.12 under /var/lang";
    let eleven = "3.11.2 at /usr/bin/python3.11 under /usr";
    assert_eq!(interpreters("python", &images).await, [twelve, eleven]);
    assert_eq!(interpreters("python3.11", &images).await, [eleven]);
    assert_eq!(
        interpreters("nodejs20.x", &images).await,
        ["20.11.1 at /usr/local/bin/node under /usr/local"]
    );
}

#[tokio::test]
async fn the_version_is_what_the_program_says() {
    let lying = root(&[("usr/bin/python3.12", "Python 3.11.7\n")]);
    let refused = examined("python3.12", &lying).await.unwrap_err();
    assert_eq!(refused, "it has no Python 3.12 in /var/lang/bin, /usr/local/bin, /usr/bin, only 3.11");
    assert_eq!(interpreters("python3.11", &lying).await.len(), 1);
    let refused = examined("nodejs", &lying).await.unwrap_err();
    assert_eq!(refused, "it has no Node.js in /var/lang/bin, /usr/local/bin, /usr/bin");
}

#[tokio::test]
async fn a_program_that_does_not_run_is_named() {
    let broken = root(&[
        ("usr/bin/python3.12", "error while loading shared libraries: libpython3.12.so.1.0\n"),
        ("usr/bin/python3.11", "Python 3.11.2\n"),
    ]);
    let refused = examined("python3.12", &broken).await.unwrap_err();
    let reason = "exit status 127: error while loading shared libraries: libpython3.12.so.1.0";
    assert_eq!(refused, format!("its /usr/bin/python3.12 does not run: {reason}"));
    // It is in nobody's way where another works.
    assert_eq!(interpreters("python", &broken).await.len(), 1);
}

#[tokio::test]
async fn a_bootstrap_is_the_runtime() {
    let brought = root(&[("var/runtime/bootstrap", "#!"), ("var/lang/bin/python3.12", "Python 3.12.4\n")]);
    assert_eq!(examined("dotnet8", &brought).await, Ok(Contents::Runtime { interpreter: None }));
    match examined("python3.12", &brought).await {
        Ok(Contents::Runtime { interpreter: Some(found) }) => {
            assert_eq!(found.exact.as_deref(), Some("3.12.4"));
        }
        other => panic!("{other:?}"),
    }
    // The image for one version, chosen for another; elsewhere an interpreter may be there for other reasons.
    let refused = examined("python3.11", &brought).await.unwrap_err();
    assert!(refused.contains("no Python 3.11") && refused.ends_with("only 3.12"), "{refused}");
    let system = root(&[("var/runtime/bootstrap", "#!"), ("usr/bin/python3.12", "Python 3.12.4\n")]);
    assert_eq!(examined("python3.11", &system).await, Ok(Contents::Runtime { interpreter: None }));
    assert_eq!(examined("provided", &brought).await, Ok(Contents::Files { bootstrap: true }));

    let file = brought.path().join("var/runtime/bootstrap");
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("chmod");
    assert_eq!(examined("provided.al2023", &brought).await, Ok(Contents::Files { bootstrap: false }));
    let refused = examined("dotnet", &brought).await.unwrap_err();
    assert!(refused.contains("it has no .NET in ") && refused.contains("/usr/share/dotnet"), "{refused}");
    let refused = examined("python2.7", &brought).await.unwrap_err();
    assert!(refused.contains("no runtime of its own for python2.7"), "{refused}");
}
