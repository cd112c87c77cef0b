//! Images of programs that are initialised already. Daemons of root's that limit memory by cgroups have them, on x86-64.
#![cfg(target_arch = "x86_64")]

use std::path::Path;

use lambd_sandbox::{Base, Bind, Captured, ExitStatus, Sandbox, SandboxSpec, Spawner};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use crate::ahead::ALL;
use crate::support::{finish, program, start};

/// By which number the shell keeps its door.
const DOOR: i32 = 63;

/// A shell that does what is in `INIT`, waits at its door, and then does what is in `RUN`.
const SHELL: &str = r#"exec 63<&0 < /dev/null
eval "$INIT"
echo ready
while IFS= read -r -d '' -u 63 variable; do export "$variable"; done
exec 63<&-
eval "$RUN""#;

fn function(code: &Path, run: &str) -> SandboxSpec {
    let mut spec = program("/bin/bash", &["-c", SHELL]);
    spec.env.push(("RUN".into(), run.into()));
    spec.binds.push(Bind { source: code.into(), target: "/var/task".into() });
    spec
}

/// One that has done this and waits.
async fn initialised(spawner: &Spawner, code: &Path, init: &str) -> Sandbox {
    let mut spec = SandboxSpec { door: Some(DOOR), ..function(code, "exit 1") };
    spec.env.push(("INIT".into(), init.into()));
    let mut sandbox = spawner.spawn(spec).await.expect("spawns");
    let mut output = pipe::Receiver::from_owned_fd(sandbox.take_output()).expect("a pipe");
    let mut said = [0; 6];
    output.read_exact(&mut said).await.expect("it says something");
    assert_eq!(&said, b"ready\n");
    sandbox
}

async fn restored(spawner: &Spawner, image: &Captured, spec: SandboxSpec) -> Sandbox {
    let prepared = spawner.prepare(Base::default()).await.expect("prepares");
    prepared.restore(spec, image).await.expect("restores")
}

#[tokio::test]
async fn many_go_on_where_one_was_captured() {
    let code = tempfile::tempdir().expect("temporary directory");
    std::fs::write(code.path().join("file"), "code\n").expect("writes");
    let spawner = start();
    if !spawner.takes_images() {
        return;
    }
    let template = initialised(&spawner, code.path(), "LOADED=$(cat /var/task/file)").await;
    let image = template.capture().await.expect("an image");
    template.kill();
    template.gone().await;

    let run = format!("cd /tmp; {ALL}");
    let plain =
        SandboxSpec { args: vec!["-c".into(), r#"eval "$RUN""#.into()], ..function(code.path(), &run) };
    let expected = finish(spawner.spawn(plain).await.expect("spawns")).await;
    let mut sandboxes = Vec::new();
    for number in 0..4 {
        let mut spec = function(code.path(), &format!("{run}; echo $LOADED $MINE; exit 7"));
        spec.env.push(("MINE".into(), number.to_string()));
        sandboxes.push(restored(&spawner, &image, spec).await);
    }
    for (number, sandbox) in sandboxes.into_iter().enumerate() {
        let finished = finish(sandbox).await;
        assert_eq!(finished.output, format!("{}code {number}\n", expected.output));
        assert_eq!(finished.status, ExitStatus::Exited(7));
    }
    spawner.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_captured_goes_on() {
    let code = tempfile::tempdir().expect("temporary directory");
    let spawner = start();
    if !spawner.takes_images() {
        return;
    }
    for (init, reason) in [
        (": > /tmp/left", "the process left /tmp/left"),
        ("sleep 1000 &", "the process has child processes"),
        ("exec 5>&1", "the process has an open pipe (descriptor 5)"),
    ] {
        let template = initialised(&spawner, code.path(), init).await;
        assert_eq!(template.capture().await.err().as_deref(), Some(reason));
        template.kill();
    }
    spawner.shutdown().await;
}

/// Files that an image refers to must be the same in its new sandbox; else nothing of it runs.
#[tokio::test]
async fn an_image_needs_its_files() {
    let code = tempfile::tempdir().expect("temporary directory");
    std::fs::write(code.path().join("file"), "code\n").expect("writes");
    let spawner = start();
    if !spawner.takes_images() {
        return;
    }
    let template = initialised(&spawner, code.path(), "exec 5< /var/task/file").await;
    let image = template.capture().await.expect("an image");
    std::fs::write(code.path().join("file"), "other code\n").expect("writes");
    let prepared = spawner.prepare(Base::default()).await.expect("prepares");
    let refused =
        prepared.restore(function(code.path(), "cat <&5"), &image).await.expect_err("it has changed");
    let error = format!("{refused:?}");
    assert!(error.contains("map /var/task/file, which has changed since the snapshot"), "{error}");
    spawner.shutdown().await;
}
