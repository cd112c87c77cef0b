//! Commands about this machine: `serve`, `runtimes`, `doctor`, `completions`, and the help.

use clap::CommandFactory as _;
use lambd_cli::{Cli, Console, Stop, run_in};
use serde_json::Value;

use crate::stub::{FakeDaemon, FakeInspector};
use crate::{cli, lambd, lambd_started, lambd_with};

#[tokio::test]
async fn serve_says_where_it_is_and_stops_when_told() {
    let daemon = FakeDaemon::default();
    let stopped = daemon.stopped.clone();
    let (captured, stop, task) = lambd_started(&["serve", "--data", "/d"], daemon);
    let out = captured.out_with("data").await;
    for part in [
        "listens on http://127.0.0.1:",
        "isolation  namespaces",
        "network    nat",
        "nodejs20.x, python3.9",
        "/d",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    assert!(!*stopped.lock().unwrap());
    stop.send(()).unwrap();
    assert_eq!(task.await.unwrap(), 0);
    assert!(*stopped.lock().unwrap());
}

#[tokio::test]
async fn a_daemon_that_cannot_start_says_what_to_do() {
    let daemon = FakeDaemon { taken: true, ..FakeDaemon::default() };
    let done = lambd_with(&["serve"], &daemon).await;
    assert_eq!(done.exit, 3);
    assert!(
        done.err.contains("127.0.0.1:4566 is already in use") && done.err.contains("--listen"),
        "{}",
        done.err
    );
}

async fn doctor(line: &[&str], inspector: &FakeInspector) -> (u8, String) {
    let (console, captured) = Console::captured();
    let exit = run_in(cli(line), &FakeDaemon::default(), inspector, console, Stop::never()).await;
    (exit, captured.out())
}

#[tokio::test]
async fn doctor_marks_what_is_missing_and_how_to_have_it() {
    let listen = ["--listen", "127.0.0.1:0", "--data", "/d"];
    let (exit, out) = doctor(&[&["doctor"], &listen[..]].concat(), &FakeInspector::healthy()).await;
    assert_eq!(exit, 0, "{out}");
    assert!(out.contains("! nat") && out.contains("try: apt install passt"), "{out}");
    assert!(out.contains("! landlock") && out.contains("✓ namespaces") && out.contains("in force"), "{out}");

    let broken = FakeInspector::without_isolation();
    let (exit, out) = doctor(&[&["doctor"], &listen[..]].concat(), &broken).await;
    assert_eq!(exit, 1);
    assert!(out.contains("✗ namespaces") && out.contains("try: sysctl -w"), "{out}");

    let (exit, out) = doctor(&[&["doctor", "-o", "json"], &listen[..]].concat(), &broken).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((exit, &json["healthy"], &json["dataDir"]), (1, &Value::from(false), &Value::from("/d")));
    assert_eq!(json["listener"]["verdict"]["status"], "ok");
}

#[tokio::test]
async fn doctor_sees_a_port_that_is_in_use() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Whoever listens there hangs up: that is no HTTP server.
    let hang_up = std::thread::spawn(move || drop(listener.accept()));
    let (exit, out) = doctor(&["doctor", "--listen", &address], &FakeInspector::healthy()).await;
    hang_up.join().unwrap();
    assert_eq!(exit, 0);
    assert!(out.contains("in use by another program"), "{out}");
}

#[tokio::test]
async fn runtimes_are_listed_with_those_of_the_options() {
    let done = lambd(&["runtimes", "--data", "/d", "--runtime-root", "python3.12=/roots/py"]).await;
    assert_eq!(done.exit, 0, "{}", done.err);
    assert_eq!(
        done.out,
        "RUNTIME     VERSION  FROM\n\
         python3.12  3.12.4   /usr/bin/python3.12 in directory /roots/py\n\
         ruby3.4     -        missing; look into /d\n"
    );
    let done = lambd(&["runtimes", "-o", "json", "--data", "/d", "--runtime-root", "python=/r"]).await;
    let json: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(json[0]["root"], serde_json::json!({"kind": "directory", "path": "/r"}));
    assert_eq!(json[0]["runs"], serde_json::json!({"kind": "interpreter", "path": "/usr/bin/python3.12"}));
    assert_eq!((&json[0]["state"], &json[1]["state"]), (&"available".into(), &"missing".into()));
}

#[tokio::test]
async fn a_root_that_cannot_be_used_says_what_to_do() {
    let done = lambd(&["runtimes", "--runtime-root", "python=/broken"]).await;
    assert_eq!(done.exit, 3);
    assert!(done.err.contains("cannot use --runtime-root python=/broken: it is empty"), "{}", done.err);
    assert!(done.err.contains("try: unpack something into it"), "{}", done.err);
}

#[tokio::test]
async fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let done = lambd(&["completions", shell]).await;
        assert_eq!(done.exit, 0);
        assert!(done.out.contains("lambd") && done.out.contains("invoke"), "{shell}");
    }
}

#[test]
fn help_teaches() {
    let help = Cli::command().render_long_help().to_string();
    for part in ["lambd dev examples/hello", "Exit status:", "NO_COLOR"] {
        assert!(help.contains(part), "{part}\n{help}");
    }
}

#[tokio::test]
async fn toolchains_are_added_and_removed() {
    let added =
        lambd(&["runtimes", "add", "nodejs22.x", "--data", "/d", "--npm-registry", "http://mirror"]).await;
    assert_eq!(added.exit, 0, "{}", added.err);
    let out = &added.out;
    assert!(out.starts_with("nodejs22.x 22.1.0 is installed: nodejs22.x-toolchain\n"), "{out}");
    for part in ["from      http://mirror", "checksum  sha512-x", "in        /d/toolchains/it"] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    assert_eq!(added.err, "nodejs22.x: asking http://mirror\nnodejs22.x: downloading http://mirror\n");

    let json = lambd(&["runtimes", "add", "java21", "--from", "/x.zip", "-o", "json", "--data", "/d"]).await;
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&json["source"], &json["already"]), (&Value::from("/x.zip"), &Value::from(false)));

    let refused = lambd(&["runtimes", "add", "cobol"]).await;
    assert_eq!(refused.exit, 2);
    assert!(refused.err.ends_with("error: no such runtime\ntry: choose another\n"), "{}", refused.err);

    let removed = lambd(&["runtimes", "remove", "java21", "--data", "/d"]).await;
    assert_eq!((removed.exit, removed.out.as_str()), (0, "removed java21 of /d/toolchains\n"));
}
