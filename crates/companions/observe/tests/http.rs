//! The service behind a real listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lambd_http::{BoundListener, CallerDefaults, Router, Server};
use lambd_observe::{LogWriter, Observe, ObserveHandle, StreamId};
use lambd_store::{DataDir, Store};
use lambd_types::invocation::LogEvent;
use lambd_types::{AccountId, Clock, ManualClock, Region, Scope, UnixMillis};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const NOW: i64 = 1_559_763_003_171;

struct Fixture {
    address: SocketAddr,
    writer: LogWriter,
    clock: ManualClock,
    handle: ObserveHandle,
    store: Arc<Store>,
    _dir: tempfile::TempDir,
}

async fn start() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap());
    let clock = ManualClock::at(UnixMillis(NOW));
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let (writer, service, handle) = Observe::start(store.clone(), shared);
    let listener = BoundListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let defaults = CallerDefaults {
        account: AccountId::default_local(),
        region: Region::default_local(),
        confined: false,
    };
    let server = Server::new(Router::new(vec![service]), defaults);
    tokio::spawn(server.run(listener, std::future::pending(), Duration::ZERO));
    Fixture { address, writer, clock, handle, store, _dir: dir }
}

impl Fixture {
    /// Sends a request and returns status and body.
    async fn call(&self, operation: &str, input: Value) -> (u16, Value) {
        let body = input.to_string();
        let credential = "000000000000/20260101/us-east-1/logs/aws4_request";
        let request = format!(
            "POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.1\r\n\
             x-amz-target: Logs_20140328.{operation}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("content-type: application/x-amz-json-1.1"), "{head}");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() })
    }

    async fn ok(&self, operation: &str, input: Value) -> Value {
        let (status, body) = self.call(operation, input).await;
        assert_eq!(status, 200, "{operation}: {body}");
        body
    }

    /// Code and message of the error that the operation must answer with.
    async fn error(&self, operation: &str, input: Value) -> (String, String) {
        let (status, body) = self.call(operation, input).await;
        assert_eq!(status, 400, "{operation}: {body}");
        (body["__type"].as_str().unwrap().into(), body["message"].as_str().unwrap().into())
    }

    fn log(&self, stream: &str, messages: impl IntoIterator<Item = String>) {
        let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
        let id = Arc::new(StreamId { scope, group: "/aws/lambda/f".into(), stream: stream.into() });
        let now = self.clock.now().0;
        let event = |(i, message)| LogEvent { timestamp: UnixMillis(now + i as i64), message };
        self.writer.append(&id, messages.into_iter().enumerate().map(event).collect());
    }
}

fn messages(output: &Value) -> Vec<&str> {
    output["events"].as_array().unwrap().iter().map(|e| e["message"].as_str().unwrap()).collect()
}

/// CORE-060, LANG1-054: the last events, in order, with tokens that lead back and forth.
#[tokio::test]
async fn a_reader_sees_what_was_logged_before_and_pages_through_it() {
    let f = start().await;
    f.log("s", (0..12).map(|i| format!("line {i}\n")));
    let input = |token: Option<&Value>| {
        let mut input = json!({"logGroupName": "/aws/lambda/f", "logStreamName": "s", "limit": 5});
        if let Some(token) = token {
            input["nextToken"] = token.clone();
        }
        input
    };
    let page = f.ok("GetLogEvents", input(None)).await;
    assert_eq!(messages(&page), ["line 7\n", "line 8\n", "line 9\n", "line 10\n", "line 11\n"]);
    assert_eq!(page["events"][0], json!({"timestamp": NOW + 7, "message": "line 7\n", "ingestionTime": NOW}));
    for (name, letter) in [("nextForwardToken", "f/"), ("nextBackwardToken", "b/")] {
        let token = page[name].as_str().unwrap();
        assert!(token.starts_with(letter) && token.len() == 58, "{token}");
    }
    let older = f.ok("GetLogEvents", input(Some(&page["nextBackwardToken"]))).await;
    assert_eq!(messages(&older), ["line 2\n", "line 3\n", "line 4\n", "line 5\n", "line 6\n"]);
    let again = f.ok("GetLogEvents", input(Some(&older["nextForwardToken"]))).await;
    assert_eq!(messages(&again), messages(&page));
    // At the end the token stays, until more is logged.
    let end = f.ok("GetLogEvents", input(Some(&again["nextForwardToken"]))).await;
    assert_eq!((messages(&end).len(), &end["nextForwardToken"]), (0, &again["nextForwardToken"]));
    let back = f.ok("GetLogEvents", input(Some(&end["nextBackwardToken"]))).await;
    assert_eq!(messages(&back), messages(&page));
    f.clock.advance(100);
    f.log("s", ["late\n".to_owned()]);
    let more = f.ok("GetLogEvents", input(Some(&end["nextForwardToken"]))).await;
    assert_eq!(messages(&more), ["late\n"]);
    let head = f
        .ok(
            "GetLogEvents",
            json!({"logGroupName": "/aws/lambda/f", "logStreamName": "s", "limit": 1, "startFromHead": true}),
        )
        .await;
    assert_eq!(messages(&head), ["line 0\n"]);
}

/// CORE-037, LANG1-038: groups and streams come into being with their first event.
#[tokio::test]
async fn groups_and_streams_of_functions_appear_by_themselves() {
    let f = start().await;
    f.log("2020/01/31/[$LATEST]a", ["one".to_owned()]);
    let groups = f.ok("DescribeLogGroups", json!({"logGroupNamePrefix": "/aws/lambda/"})).await;
    assert_eq!(
        groups["logGroups"][0]["arn"],
        "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/f:*"
    );
    assert_eq!(groups["logGroups"][0]["storedBytes"], 29);
    let input = json!({"logGroupName": "/aws/lambda/f", "orderBy": "LastEventTime", "descending": true});
    let streams = f.ok("DescribeLogStreams", input).await;
    let stream = &streams["logStreams"][0];
    assert_eq!(stream["logStreamName"], "2020/01/31/[$LATEST]a");
    assert_eq!(stream["firstEventTimestamp"], NOW);
}

#[tokio::test]
async fn filtering_pages_over_interleaved_streams() {
    let f = start().await;
    f.log("a", (0..4).map(|i| format!("a{i} ERROR")));
    f.log("b", (0..4).map(|i| format!("b{i} ok")));
    f.log("c", (0..4).map(|i| format!("c{i} ERROR")));
    let mut input = json!({"logGroupName": "/aws/lambda/f", "filterPattern": "ERROR -a3", "limit": 3});
    let mut seen = Vec::new();
    loop {
        let page = f.ok("FilterLogEvents", input.clone()).await;
        assert_eq!(page["searchedLogStreams"], json!([]));
        assert!(
            page["events"].as_array().unwrap().iter().all(|e| e["eventId"].as_str().unwrap().len() == 56)
        );
        seen.extend(messages(&page).into_iter().map(|m| m[..2].to_owned()));
        match page.get("nextToken") {
            Some(token) => input["nextToken"] = token.clone(),
            None => break,
        }
    }
    assert_eq!(seen, ["a0", "c0", "a1", "c1", "a2", "c2", "c3"]);
    let some = f.ok("FilterLogEvents", json!({"logGroupIdentifier": "/aws/lambda/f", "logStreamNames": ["c", "b"], "startTime": NOW + 3})).await;
    assert_eq!(messages(&some), ["b3 ok", "c3 ERROR"]);
    let prefix = f
        .ok(
            "FilterLogEvents",
            json!({"logGroupName": "/aws/lambda/f", "logStreamNamePrefix": "a", "endTime": NOW + 1}),
        )
        .await;
    assert_eq!(messages(&prefix), ["a0 ERROR", "a1 ERROR"]);
    let (code, message) =
        f.error("FilterLogEvents", json!({"logGroupName": "/aws/lambda/f", "filterPattern": "[a, b]"})).await;
    assert!(code == "InvalidParameterException" && message.contains("does not support"));
}

#[tokio::test]
async fn a_client_writes_its_own_log() {
    let f = start().await;
    f.ok("CreateLogGroup", json!({"logGroupName": "g", "tags": {"team": "a"}})).await;
    f.ok("CreateLogStream", json!({"logGroupName": "g", "logStreamName": "s"})).await;
    let events = json!([{"timestamp": NOW - 20 * 86_400_000, "message": "old"}]);
    let put =
        f.ok("PutLogEvents", json!({"logGroupName": "g", "logStreamName": "s", "logEvents": events})).await;
    assert_eq!(put["rejectedLogEventsInfo"], json!({"tooOldLogEventEndIndex": 1}));
    let events =
        json!([{"timestamp": NOW, "message": "{\"level\":\"warn\"}"}, {"timestamp": NOW, "message": "text"}]);
    let put =
        f.ok("PutLogEvents", json!({"logGroupName": "g", "logStreamName": "s", "logEvents": events})).await;
    assert!(put.get("rejectedLogEventsInfo").is_none());
    let json =
        f.ok("FilterLogEvents", json!({"logGroupName": "g", "filterPattern": "{ $.level = warn }"})).await;
    assert_eq!(messages(&json), ["{\"level\":\"warn\"}"]);
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:g";
    f.ok("TagResource", json!({"resourceArn": arn, "tags": {"stage": "x"}})).await;
    f.ok("UntagResource", json!({"resourceArn": arn, "tagKeys": ["team"]})).await;
    assert_eq!(
        f.ok("ListTagsForResource", json!({"resourceArn": arn})).await,
        json!({"tags": {"stage": "x"}})
    );
    f.ok("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 7})).await;
    let groups = f.ok("DescribeLogGroups", json!({})).await;
    assert_eq!(groups["logGroups"][0]["retentionInDays"], 7);
    f.ok("DeleteRetentionPolicy", json!({"logGroupName": "g"})).await;
    f.ok("DeleteLogStream", json!({"logGroupName": "g", "logStreamName": "s"})).await;
    f.ok("DeleteLogGroup", json!({"logGroupName": "g"})).await;
    assert_eq!(f.ok("DescribeLogGroups", json!({})).await, json!({"logGroups": []}));
}

#[tokio::test]
async fn errors_are_those_of_the_service() {
    let f = start().await;
    let missing = json!({"logGroupName": "no", "logStreamName": "s"});
    let expected =
        ("ResourceNotFoundException".to_owned(), "The specified log group does not exist.".to_owned());
    assert_eq!(f.error("GetLogEvents", missing.clone()).await, expected);
    f.ok("CreateLogGroup", json!({"logGroupName": "no"})).await;
    assert_eq!(
        f.error("CreateLogGroup", json!({"logGroupName": "no"})).await.0,
        "ResourceAlreadyExistsException"
    );
    assert_eq!(f.error("GetLogEvents", missing).await.1, "The specified log stream does not exist.");
    let (code, message) = f.error("CreateLogGroup", json!({"logGroupName": "a b"})).await;
    assert_eq!(code, "InvalidParameterException");
    assert!(message.starts_with("1 validation error detected: Value 'a b' at 'logGroupName'"), "{message}");
    assert_eq!(f.error("CreateLogGroup", json!({"logGroupName": 5})).await.0, "SerializationException");
    let (code, message) = f.error("StartQuery", json!({})).await;
    assert!(code == "UnknownOperationException" && message.contains("docs/compatibility.md"), "{message}");
}

#[tokio::test]
async fn shutdown_writes_what_is_queued() {
    let f = start().await;
    f.log("s", (0..3000).map(|i| format!("{i}")));
    assert!(f.writer.backlog_bytes() > 0);
    f.handle.shutdown().await;
    assert_eq!((f.writer.backlog_bytes(), f.writer.dropped_events()), (0, 0));
    let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
    let group = f.store.logs().group(&scope, "/aws/lambda/f").await.unwrap().unwrap();
    assert!(f.store.logs().stream(&group, "s").await.unwrap().unwrap().activity.is_some());
}

#[tokio::test]
async fn a_failing_store_loses_events_but_blocks_nobody() {
    let f = start().await;
    f.store.close().await;
    f.log("s", ["lost".to_owned(), "too".to_owned()]);
    f.writer.flush().await;
    assert_eq!((f.writer.backlog_bytes(), f.writer.dropped_events()), (0, 2));
}
