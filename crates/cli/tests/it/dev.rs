//! `lambd dev`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stub::FakeDaemon;
use crate::{lambd_started, lambd_with};

const EVENT: &str = r#"{"name":"Ada"}"#;

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn project(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let manifest = "runtime = \"python\"\nhandler = \"app.handler\"\n[environment]\nSTAGE = \"dev\"\n";
        write(dir.path(), &format!("{name}/lambd.toml"), manifest);
        write(dir.path(), &format!("{name}/app.py"), "one");
    }
    dir
}

async fn once(dir: &Path, daemon: &FakeDaemon) -> crate::Ended {
    lambd_with(&["dev", dir.to_str().unwrap(), "--event", EVENT, "--once"], daemon).await
}

#[tokio::test]
async fn once_deploys_invokes_and_ends() {
    let (dir, daemon) = (project(&["hello", "other"]), FakeDaemon::default());
    let done = once(dir.path(), &daemon).await;
    assert_eq!((done.exit, done.err.as_str()), (0, ""));
    for part in [
        "created in",
        "python3.11  app.handler",
        "│ greeting",
        "Hello, Ada!",
        "1.50 ms in the handler",
        "9.00 ms init",
    ] {
        assert_eq!(done.out.matches(part).count(), 2, "{part}\n{}", done.out);
    }
    assert!(*daemon.stopped.lock().unwrap());
    {
        let stub = daemon.stub();
        let state = stub.state();
        let hello = &state.functions["hello"];
        assert_eq!(hello.files().into_iter().collect::<Vec<_>>(), [("app.py".to_owned(), "one".to_owned())]);
        assert_eq!(hello.configuration["Role"], "arn:aws:iam::000000000000:role/lambd-dev");
        assert_eq!(hello.configuration["Environment"]["Variables"]["STAGE"], "dev");
    }
    let again = once(dir.path(), &daemon).await;
    assert_eq!(again.out.matches("unchanged in").count(), 2, "{}", again.out);

    fs::remove_dir_all(dir.path().join("other")).unwrap();
    write(dir.path(), "hello/lambd.toml", "runtime = \"nodejs\"\nhandler = \"app.handler\"\n");
    let changed = once(dir.path(), &daemon).await;
    assert!(changed.out.contains("updated in") && changed.out.contains("other  removed"), "{}", changed.out);
    let stub = daemon.stub();
    let state = stub.state();
    assert_eq!(state.functions.len(), 1);
    assert_eq!(state.functions["hello"].configuration["Runtime"], "nodejs20.x");
    assert_eq!(state.functions["hello"].configuration["Environment"]["Variables"], serde_json::json!({}));
}

#[tokio::test]
async fn once_tells_failure() {
    let (dir, daemon) = (project(&["failing", "hello"]), FakeDaemon::default());
    let done = once(dir.path(), &daemon).await;
    assert_eq!(done.exit, 1);
    assert!(done.out.contains("KeyError: 'x'"), "{}", done.out);

    let path = dir.path().to_str().unwrap();
    let chosen = ["dev", path, "--event", EVENT, "--once", "--function", "hello"];
    assert_eq!(lambd_with(&chosen, &daemon).await.exit, 0);

    write(
        dir.path(),
        "hello/lambd.toml",
        "runtime = \"python\"\nhandler = \"a.b\"\nbuild = \"echo no; exit 1\"\n",
    );
    let done = lambd_with(&chosen, &daemon).await;
    assert_eq!(done.exit, 1);
    assert!(done.out.contains("build `echo no; exit 1` failed"), "{}", done.out);
}

#[tokio::test]
async fn mistakes_are_told_before_anything_starts() {
    let (dir, daemon) = (tempfile::tempdir().unwrap(), FakeDaemon::default());
    let path = dir.path().to_str().unwrap();
    let done = once(dir.path(), &daemon).await;
    assert_eq!(done.exit, 2);
    assert!(done.err.contains("found no function") && done.err.contains("lambd.toml"), "{}", done.err);

    write(dir.path(), "a/lambd.toml", "runtime = 1");
    write(dir.path(), "b/lambd.toml", "handler = \"x\"");
    let done = once(dir.path(), &daemon).await;
    assert_eq!(done.exit, 2);
    assert!(done.err.contains("a/lambd.toml:1: ") && done.err.contains("b/lambd.toml:1: "), "{}", done.err);

    let done = lambd_with(&["dev", path, "--event", "{name}", "--once"], &daemon).await;
    assert_eq!(done.exit, 2);
    assert!(done.err.contains("{name} is not valid JSON"), "{}", done.err);

    let dir = project(&["hello"]);
    let path = dir.path().to_str().unwrap();
    let done = lambd_with(&["dev", path, "--event", "{}", "--function", "helo"], &daemon).await;
    assert_eq!(done.exit, 2);
    assert!(done.err.contains("no function named helo here; there is hello"), "{}", done.err);
    assert!(daemon.started.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_taken_port_is_replaced_unless_it_was_asked_for() {
    let dir = project(&["hello"]);
    let daemon = FakeDaemon { taken: true, ..FakeDaemon::default() };
    let path = dir.path().to_str().unwrap();
    let asked = ["dev", path, "--event", EVENT, "--once", "--listen", "127.0.0.1:4566"];
    assert_eq!(lambd_with(&asked, &daemon).await.exit, 3);
    assert_eq!(once(dir.path(), &daemon).await.exit, 0);
    let ports: Vec<u16> = daemon.started.lock().unwrap().iter().map(|args| args.listen.port()).collect();
    assert_eq!(ports, [4566, 4566, 0]);
}

#[tokio::test]
async fn saves_are_deployed_and_broken_ones_are_not() {
    let (dir, daemon) = (project(&["hello", "other"]), FakeDaemon::default());
    let stopped = daemon.stopped.clone();
    let (captured, stop, task) =
        lambd_started(&["dev", dir.path().to_str().unwrap(), "--event", EVENT], daemon.clone());
    captured.out_with("watching 2 functions").await;
    let stub = daemon.stub();
    let updates = |suffix: &str| {
        let is_update = |(_, path, _): &&(http::Method, String, Value)| path.ends_with(suffix);
        stub.state().requests.iter().filter(|r| r.0 == http::Method::PUT).filter(is_update).count()
    };

    let saved = Instant::now();
    write(dir.path(), "hello/app.py", "two");
    captured.out_with("↻ hello  updated").await;
    assert!(saved.elapsed() < Duration::from_secs(1), "{:?}", saved.elapsed());
    assert_eq!(stub.state().functions["hello"].files()["app.py"], "two");
    assert_eq!((updates("hello/code"), updates("other/code")), (1, 0), "only what changed");

    write(dir.path(), "hello/lambd.toml", "runtime = \"python\"\nhandler = \n");
    captured.out_with("hello/lambd.toml:2: ").await;
    captured.out_with("what was deployed before keeps running").await;
    assert_eq!(stub.state().functions.len(), 2);

    write(dir.path(), "hello/lambd.toml", "runtime = \"python\"\nhandler = \"app.other\"\n");
    write(dir.path(), "new/lambd.toml", "runtime = \"nodejs\"\nhandler = \"i.h\"\n");
    write(dir.path(), "new/i.mjs", "x");
    captured.out_with("↻ new  ").await;
    assert_eq!(stub.state().functions["hello"].configuration["Handler"], "app.other");

    assert_eq!(stub.state().functions["hello"].tags, serde_json::json!({}));
    let manifest = "runtime = \"python\"\nhandler = \"app.other\"\nnetwork = \"none\"\n";
    write(dir.path(), "hello/lambd.toml", manifest);
    captured.out_with_times("↻ hello  updated", 3).await;
    assert_eq!(stub.state().functions["hello"].tags["lambd:network"], "none");

    fs::remove_dir_all(dir.path().join("new")).unwrap();
    captured.out_with("new  removed").await;
    assert!(!stub.state().functions.contains_key("new"));

    stub.log("hello", lambd_types::Clock::now(&lambd_types::SystemClock).0, "from elsewhere\n");
    let out = captured.out_with("hello │ from elsewhere").await;
    assert!(out.matches("Hello, Ada!").count() >= 3, "{out}");

    stop.send(()).unwrap();
    assert_eq!(task.await.unwrap(), 0);
    assert!(*stopped.lock().unwrap());
}

#[tokio::test]
async fn a_build_that_writes_beside_its_sources_does_not_go_round_in_circles() {
    let (dir, daemon) = (project(&["made", "other"]), FakeDaemon::default());
    let manifest =
        "runtime = \"python\"\nhandler = \"app.handler\"\nbuild = \"echo >> ../builds; cp app.src app.py\"\n";
    write(dir.path(), "made/lambd.toml", manifest);
    write(dir.path(), "made/app.src", "one");
    let (captured, stop, task) = lambd_started(&["dev", dir.path().to_str().unwrap()], daemon.clone());
    captured.out_with("watching 2 functions").await;
    write(dir.path(), "made/app.src", "two");
    captured.out_with("↻ made  updated").await;
    assert_eq!(daemon.stub().state().functions["made"].files()["app.py"], "two");
    // Each of these rounds would see one more build if builds caused builds.
    for round in 1..=8 {
        write(dir.path(), "other/app.py", &format!("round {round}"));
        captured.out_with_times("↻ other  updated", round).await;
    }
    // At most: the first, the one for the save, and one after each of them.
    let builds = fs::read_to_string(dir.path().join("builds")).unwrap().lines().count();
    assert!((2..=4).contains(&builds), "{builds}");
    stop.send(()).unwrap();
    assert_eq!(task.await.unwrap(), 0);
}

#[tokio::test]
async fn the_examples_deploy() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    // Those for interpreters that the double has; the real daemon runs all of them in the conformance tests.
    let dir = tempfile::tempdir().unwrap();
    let parts = ["hello", "sam-app"].map(|part| examples.join(part));
    assert!(
        std::process::Command::new("cp").arg("-r").args(&parts).arg(dir.path()).status().unwrap().success()
    );
    let daemon = FakeDaemon::default();
    let done = once(dir.path(), &daemon).await;
    assert_eq!((done.exit, done.err.as_str()), (0, ""));
    let stub = daemon.stub();
    let names: Vec<String> = stub.state().functions.keys().cloned().collect();
    assert_eq!(names, ["hello-nodejs", "hello-python", "sam-app-count", "sam-app-greet"]);
    let notices: Vec<&str> = done.out.lines().filter(|line| line.starts_with("! ")).collect();
    assert_eq!(notices.len(), 2, "one for each runtime that is not installed: {notices:?}");
}
