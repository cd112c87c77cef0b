//! Commands that call a running daemon: `invoke`, `functions`, `logs`.

use lambd_types::{Clock as _, SystemClock};
use serde_json::Value;

use crate::stub::{FakeDaemon, Stub};
use crate::{lambd, lambd_started};

#[tokio::test]
async fn invoke_prints_the_response_and_nothing_else() {
    let stub = Stub::start().await;
    stub.add_function("hello");
    let url = stub.url();
    let done = lambd(&["invoke", "hello", "--payload", r#"{"name":"Ada"}"#, "--endpoint", &url]).await;
    assert_eq!((done.exit, done.out.as_str(), done.err.as_str()), (0, r#"{"message":"Hello, Ada!"}"#, ""));

    let done = lambd(&["invoke", "hello", "--log", "--endpoint", &url]).await;
    assert!(done.err.contains("greeting") && done.err.contains("REPORT RequestId: 11-22"), "{}", done.err);

    let done =
        lambd(&["invoke", "hello", "-o", "json", "--log", "--qualifier", "$LATEST", "--endpoint", &url])
            .await;
    let json: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(
        (json["StatusCode"].as_u64(), json["Payload"]["message"].as_str()),
        (Some(200), Some("Hello, World!"))
    );
    assert!(json["LogTail"].as_str().unwrap().contains("greeting"));
    let last = stub.state().requests.last().unwrap().1.clone();
    assert_eq!(last, "/2015-03-31/functions/hello/invocations?Qualifier=%24LATEST");
}

#[tokio::test]
async fn invoke_reads_files_and_queues_events() {
    let stub = Stub::start().await;
    stub.add_function("hello");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"{"name":"Bob"}"#).unwrap();
    let at = format!("@{}", file.path().display());
    let done = lambd(&["invoke", "hello", "-p", &at, "--endpoint", &stub.url()]).await;
    assert_eq!(done.out, r#"{"message":"Hello, Bob!"}"#);

    let done = lambd(&["invoke", "hello", "--async", "--endpoint", &stub.url()]).await;
    assert_eq!((done.exit, done.out.as_str()), (0, ""));
    assert!(done.err.contains("accepted, request 11-22"), "{}", done.err);

    let done = lambd(&["invoke", "hello", "-p", "@/no/such/file", "--endpoint", &stub.url()]).await;
    assert_eq!(done.exit, 2);
    assert!(done.err.contains("cannot read /no/such/file"), "{}", done.err);
}

#[tokio::test]
async fn exit_statuses_tell_whose_fault_it_is() {
    let stub = Stub::start().await;
    stub.add_function("failing");
    let done = lambd(&["invoke", "failing", "--endpoint", &stub.url()]).await;
    assert_eq!((done.exit, done.out.as_str()), (1, ""));
    assert!(done.err.contains("function error (Unhandled): KeyError: 'x'"), "{}", done.err);

    let done = lambd(&["invoke", "nobody", "--endpoint", &stub.url()]).await;
    assert_eq!(done.exit, 2);
    assert!(done.err.contains("ResourceNotFoundException: Function not found: nobody"), "{}", done.err);
    assert!(done.err.contains("try:"), "{}", done.err);

    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let done = lambd(&["functions", "--endpoint", &format!("http://{free}")]).await;
    assert_eq!(done.exit, 3);
    assert!(done.err.contains("nothing listens at") && done.err.contains("`lambd serve`"), "{}", done.err);
}

#[tokio::test]
async fn functions_are_listed_over_all_pages() {
    let stub = Stub::start().await;
    let empty = lambd(&["functions", "--endpoint", &stub.url()]).await;
    assert_eq!((empty.exit, empty.out.as_str()), (0, ""));
    for name in ["a", "b", "c", "d", "e"] {
        stub.add_function(name);
    }
    let done = lambd(&["functions", "--endpoint", &stub.url()]).await;
    assert_eq!(done.out.lines().count(), 6, "{}", done.out);
    assert!(done.out.starts_with("NAME  RUNTIME                 MEMORY"), "{}", done.out);
    assert_eq!(done.out.matches("python3.11 (on 3.12.4)").count(), 5, "{}", done.out);
    let done = lambd(&["functions", "-o", "json", "--endpoint", &stub.url()]).await;
    let json: Vec<Value> = serde_json::from_str(&done.out).unwrap();
    assert_eq!(json.iter().map(|f| f["FunctionName"].as_str().unwrap()).collect::<String>(), "abcde");
}

#[tokio::test]
async fn logs_are_read_over_all_pages_and_cut_to_the_newest() {
    let stub = Stub::start().await;
    stub.add_function("hello");
    let now = SystemClock.now().0;
    stub.log("hello", now - 7_200_000, "two hours ago");
    for n in 0..5 {
        stub.log("hello", now - 5_000 + n, &format!("line {n}\n"));
    }
    let done = lambd(&["logs", "hello", "--endpoint", &stub.url()]).await;
    assert_eq!(done.exit, 0);
    assert_eq!(done.out.lines().count(), 5, "{}", done.out);
    let done =
        lambd(&["logs", "hello", "--since", "1d", "-n", "2", "-o", "json", "--endpoint", &stub.url()]).await;
    let messages: Vec<Value> = done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        messages.iter().map(|m| m["message"].as_str().unwrap()).collect::<String>(),
        "line 3\nline 4\n"
    );
}

#[tokio::test]
async fn logs_of_silent_and_of_unknown_functions() {
    let stub = Stub::start().await;
    stub.add_function("hello");
    let done = lambd(&["logs", "hello", "--endpoint", &stub.url()]).await;
    assert_eq!(done.exit, 0);
    assert!(done.err.contains("hello has not been invoked yet"), "{}", done.err);
    let done = lambd(&["logs", "nobody", "--follow", "--endpoint", &stub.url()]).await;
    assert_eq!(done.exit, 2);
    assert!(done.err.contains("ResourceNotFoundException"), "{}", done.err);
}

#[tokio::test]
async fn following_misses_and_repeats_nothing() {
    let stub = Stub::start().await;
    stub.add_function("hello");
    let url = stub.url();
    let (captured, _stop, task) =
        lambd_started(&["logs", "hello", "--follow", "--endpoint", &url], FakeDaemon::default());
    let start = SystemClock.now().0;
    for n in 0..4 {
        // Every second event is late: behind one that was printed already.
        let lateness = if n % 2 == 1 { 700 } else { 0 };
        stub.log("hello", start + n - lateness, &format!("line {n}\n"));
        captured.out_with(&format!("line {n}")).await;
    }
    task.abort();
    let out = captured.out();
    assert_eq!(out.lines().count(), 4, "{out}");
}
