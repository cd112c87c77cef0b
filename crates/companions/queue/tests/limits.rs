//! The service behind a real listener: what needs options that a daemon does not have, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lambd_http::{BoundListener, CallerDefaults, Router, Server};
use lambd_queue::{QueueHandle, QueueOptions, Queues};
use lambd_store::{DataDir, Store};
use lambd_types::{AccountId, Clock as _, ManualClock, Region, UnixMillis};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

struct Fixture {
    address: SocketAddr,
    clock: ManualClock,
    handle: QueueHandle,
    _dir: tempfile::TempDir,
}

async fn start(most_in_flight: i64) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap());
    let clock = ManualClock::at(UnixMillis(1_700_000_000_000));
    let options = QueueOptions { most_in_flight };
    let (service, handle) = Queues::start(store, Arc::new(clock.clone()), options).await.unwrap();
    let listener = BoundListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let defaults = CallerDefaults {
        account: AccountId::default_local(),
        region: Region::default_local(),
        confined: false,
    };
    let server = Server::new(Router::new(vec![service]), defaults);
    tokio::spawn(server.run(listener, std::future::pending(), Duration::ZERO));
    Fixture { address, clock, handle, _dir: dir }
}

impl Fixture {
    /// Calls an operation; status and answer.
    async fn call(&self, operation: &str, mut input: Value) -> (u16, Value) {
        if operation != "CreateQueue" {
            input["QueueUrl"] = "http://test/000000000000/q".into();
        }
        let body = input.to_string();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-amz-target: AmazonSQS.{operation}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, \
             SignedHeaders=host, Signature=0\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// Receives up to ten messages; how many there were, and the handle of the first.
    async fn receive(&self) -> Result<(usize, String), String> {
        match self.call("ReceiveMessage", json!({"MaxNumberOfMessages": 10})).await {
            (200, output) => {
                let messages = output["Messages"].as_array().map_or(0, Vec::len);
                Ok((messages, output["Messages"][0]["ReceiptHandle"].as_str().unwrap_or_default().to_owned()))
            }
            (_, error) => Err(error["__type"].as_str().unwrap().to_owned()),
        }
    }

    async fn fill(&self, messages: usize) {
        for number in 0..messages {
            let (status, output) = self.call("SendMessage", json!({"MessageBody": number.to_string()})).await;
            assert_eq!(status, 200, "{output}");
        }
    }
}

#[tokio::test]
async fn so_many_messages_are_in_flight_and_no_more() {
    let fixture = start(15).await;
    fixture.call("CreateQueue", json!({"QueueName": "q"})).await;
    fixture.fill(20).await;
    let (count, handle) = fixture.receive().await.unwrap();
    assert_eq!(count, 10);
    assert_eq!(fixture.receive().await.unwrap().0, 5, "as many as there is room for");
    assert_eq!(fixture.receive().await, Err("com.amazonaws.sqs#OverLimit".to_owned()));
    fixture.call("DeleteMessage", json!({"ReceiptHandle": handle})).await;
    assert_eq!(fixture.receive().await.unwrap().0, 1);
    fixture.clock.advance(30_000);
    assert_eq!(fixture.receive().await.unwrap().0, 10, "what is visible again is not in flight");
}

/// A daemon that is told to stop does not wait for those who wait.
#[tokio::test]
async fn the_end_of_the_service_ends_long_polls() {
    let fixture = start(100).await;
    fixture.call("CreateQueue", json!({"QueueName": "q"})).await;
    let before = fixture.clock.now();
    let poll = fixture.call("ReceiveMessage", json!({"WaitTimeSeconds": 20}));
    let end = async {
        // The first half of the test is that the poll does wait.
        tokio::time::sleep(Duration::from_millis(50)).await;
        fixture.handle.end_waits();
    };
    let (answer, ()) =
        tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(poll, end) }).await.unwrap();
    assert_eq!(answer, (200, json!({})));
    assert_eq!(fixture.clock.now(), before);
}
