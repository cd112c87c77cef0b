use std::sync::atomic::{AtomicUsize, Ordering};

use lambd_types::{LogFormat, LogLevel, UnixMillis};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::telemetry::{Api, Telemetry};

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn connect() -> Connect {
    Arc::new(|port| Box::pin(TcpStream::connect(("127.0.0.1", port))))
}

fn subscription(api: Api, destination: &str) -> Subscription {
    let version = if api == Api::Logs { "2021-03-18" } else { "2022-12-13" };
    let document = format!(
        r#"{{"schemaVersion":"{version}","types":["platform","function"],"destination":{destination},"buffering":{{"timeoutMs":25}}}}"#
    );
    Subscription::parse(api, document.as_bytes()).unwrap()
}

fn telemetry() -> Telemetry {
    let format = LogFormat::Json { application: LogLevel::Trace, system: LogLevel::Trace };
    let telemetry = Telemetry::new(format);
    telemetry.begin();
    telemetry
}

fn line(telemetry: &Telemetry, text: &str) {
    telemetry.lines(UnixMillis(0), Category::Function, [text.as_bytes()].into_iter());
}

/// One request with its body.
async fn request(stream: &mut BufReader<TcpStream>) -> (String, Value) {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).await.unwrap() > 0, "the connection ended");
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn what_was_before_and_comes_after_is_posted() {
    let (listener, port) = listener().await;
    let telemetry = telemetry();
    line(&telemetry, "early\n");
    let uri = format!(r#"{{"protocol":"HTTP","URI":"http://sandbox.localdomain:{port}/logs"}}"#);
    telemetry.subscribe("a", subscription(Api::Telemetry, &uri), connect()).unwrap();
    telemetry.close();
    let mut stream = BufReader::new(listener.accept().await.unwrap().0);
    let (head, body) = request(&mut stream).await;
    assert!(head.starts_with("POST /logs HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: sandbox.localdomain:{port}\r\n")), "{head}");
    let expected =
        serde_json::json!([{ "time": "1970-01-01T00:00:00.000Z", "type": "function", "record": "early" }]);
    assert_eq!(body, expected);
    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    // A record of a function that logs in JSON is an object.
    line(&telemetry, "{\"level\":\"INFO\"}\n");
    let (_, body) = request(&mut stream).await;
    assert_eq!(body[0]["record"]["level"], "INFO", "over the same connection");
}

#[tokio::test]
async fn a_refused_batch_is_repeated_and_then_counted() {
    let (listener, port) = listener().await;
    let telemetry = telemetry();
    let uri = format!(r#"{{"protocol":"HTTP","URI":"http://sandbox.local:{port}","method":"PUT"}}"#);
    telemetry.subscribe("a", subscription(Api::Telemetry, &uri), connect()).unwrap();
    line(&telemetry, "lost\n");
    let mut stream = BufReader::new(listener.accept().await.unwrap().0);
    for attempt in 0..ATTEMPTS {
        // A failed attempt is made again over a fresh connection.
        if attempt > 0 {
            stream = BufReader::new(listener.accept().await.unwrap().0);
        }
        let (head, body) = request(&mut stream).await;
        assert!(head.starts_with("PUT / HTTP/1.1\r\n"), "{head}");
        assert_eq!(body[0]["record"], "lost");
        stream.get_mut().write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }
    line(&telemetry, "next\n");
    let mut stream = BufReader::new(listener.accept().await.unwrap().0);
    let (_, body) = request(&mut stream).await;
    assert_eq!(body[0]["type"], "platform.logsDropped");
    assert_eq!(body[0]["record"]["droppedRecords"], 1);
}

#[tokio::test]
async fn lines_of_json_go_over_tcp() {
    let (listener, port) = listener().await;
    let telemetry = telemetry();
    let destination = format!(r#"{{"protocol":"TCP","port":{port}}}"#);
    telemetry.subscribe("a", subscription(Api::Logs, &destination), connect()).unwrap();
    line(&telemetry, "one\n");
    line(&telemetry, "{\"two\": 2}\n");
    let mut lines = BufReader::new(listener.accept().await.unwrap().0).lines();
    for expected in ["one", "{\"two\": 2}"] {
        let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        assert_eq!(line["record"], expected, "always a text");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_subscriber_that_never_reads() {
    let (_listener, port) = listener().await;
    let telemetry = telemetry();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let connect: Connect = Arc::new(move |port| {
        counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(TcpStream::connect(("127.0.0.1", port)))
    });
    let uri = format!(r#"{{"protocol":"HTTP","URI":"http://sandbox:{port}"}}"#);
    telemetry.subscribe("a", subscription(Api::Telemetry, &uri), connect).unwrap();
    telemetry.close();
    let flood = "x".repeat(100_000);
    for _ in 0..1000 {
        line(&telemetry, &flood);
    }
    let state = telemetry.state();
    assert!(state.subscribers[0].queue.waiting_bytes() <= 2 * 262_144);
    assert!(connections.load(Ordering::Relaxed) <= 1);
}

#[tokio::test]
async fn an_extension_has_one_subscription_of_one_api() {
    let (_listener, port) = listener().await;
    let telemetry = telemetry();
    let destination = format!(r#"{{"protocol":"TCP","port":{port}}}"#);
    for _ in 0..2 {
        telemetry.subscribe("a", subscription(Api::Logs, &destination), connect()).unwrap();
    }
    assert!(telemetry.subscribe("a", subscription(Api::Telemetry, &destination), connect()).is_err());
    telemetry.subscribe("b", subscription(Api::Telemetry, &destination), connect()).unwrap();
    assert_eq!(telemetry.state().subscribers.len(), 2);
    telemetry.close();
    assert!(telemetry.is_wanted() && !telemetry.is_open());
    telemetry.begin();
    telemetry.close();
    assert!(!telemetry.is_wanted(), "nobody subscribed this time");
}
