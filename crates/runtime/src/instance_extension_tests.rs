//! Instances whose runtime has an internal extension. External ones have real processes, and are tested with them.

use super::*;

/// One call of the Extensions API on a connection of its own: head and body of the answer.
async fn call(api: SocketAddr, method: &str, path: &str, header: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(api).await.ok()?;
    let request = format!(
        "{method} /2020-01-01/extension/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// Registers; the header that names the extension.
async fn register(api: SocketAddr) -> String {
    let events = r#"{"events":["INVOKE"]}"#;
    let answer = call(api, "POST", "register", "lambda-extension-name: inside", events).await.unwrap();
    let id = answer.lines().find(|line| line.starts_with("lambda-extension-identifier: "));
    id.expect("an identifier").to_owned()
}

async fn next(api: SocketAddr, id: &str) -> Option<String> {
    call(api, "GET", "event/next", id, "").await
}

async fn deliver_quietly(instance: &Instance, id: &str) -> Delivery {
    instance.deliver(event(id), Wants::default()).await.unwrap()
}

/// A runtime that answers at once, with an extension that is done with an event when it is told to.
fn with_extension(done: Arc<tokio::sync::Notify>) -> Script {
    script(move |inside| async move {
        let api = inside.api;
        let id = register(api).await;
        let extension = async {
            while next(api, &id).await.is_some() {
                done.notified().await;
            }
        };
        tokio::join!(inside.serve("answer"), extension);
    })
}

#[tokio::test]
async fn the_answer_comes_before_the_extension_is_done() {
    let done = Arc::new(tokio::sync::Notify::new());
    let bench = Bench::new([with_extension(done.clone())]);
    let instance = bench.start().await;
    let delivery = deliver_quietly(&instance, "a").await;
    assert_eq!((text(&delivery), delivery.reusable), ("answer", None));
    assert!(!bench.log().iter().any(|line| line.starts_with("REPORT")), "{:?}", bench.log());
    let mut finish = Box::pin(instance.finish());
    assert!(futures_util::FutureExt::now_or_never(&mut finish).is_none());
    done.notify_one();
    assert!(finish.await, "it can take another event");
    assert_eq!(bench.log()[0], "EXTENSION\tName: inside\tState: Ready\tEvents: [INVOKE]");
    assert!(bench.log().last().unwrap().starts_with("REPORT RequestId: a\t"));
    // The end of the log is part of the answer, which waits for it.
    done.notify_one();
    let delivery = deliver(&instance, "b").await;
    assert_eq!((text(&delivery), delivery.reusable), ("answer", Some(true)));
}

#[tokio::test]
async fn an_extension_shares_the_timeout() {
    let bench = Bench::new([with_extension(Arc::default())]);
    let instance = bench.start().await;
    let delivery = deliver_quietly(&instance, "a").await;
    assert_eq!((text(&delivery), delivery.reusable), ("answer", None));
    assert!(!instance.finish().await);
    let log = bench.log();
    assert!(log.iter().any(|line| line.ends_with("Task timed out after 1.00 seconds")), "{log:?}");
    assert!(log.last().unwrap().ends_with("\tStatus: timeout"), "{log:?}");
    assert_eq!(bench.deeds(0).last(), Some(&"kill"));
}

/// Without an extension's call there is no end of init: it is cut, repeated in the event, and cut by the timeout.
#[tokio::test]
async fn an_extension_that_never_asks_holds_up_init() {
    let silent = || {
        script(|inside| async move {
            let _id = register(inside.api).await;
            inside.serve("never").await;
        })
    };
    let bench = Bench::new([silent(), silent()]);
    let instance = bench.start().await;
    let delivery = deliver(&instance, "a").await;
    let document = r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: a Error: Task timed out after 1.00 seconds"}"#;
    assert_eq!((text(&delivery), delivery.reusable), (document, Some(false)));
    assert_eq!(bench.log()[0], "EXTENSION\tName: inside\tState: Registered\tEvents: [INVOKE]");
}

#[tokio::test]
async fn an_extension_can_give_up() {
    let failing = || {
        script(|inside| async move {
            let id = register(inside.api).await;
            let header = format!("{id}\r\nlambda-extension-function-error-type: My.Error");
            call(inside.api, "POST", "init/error", &header, "").await;
            inside.serve("never").await;
        })
    };
    let bench = Bench::new([failing(), failing()]);
    let instance = bench.start().await;
    let delivery = deliver(&instance, "a").await;
    let document = r#"{"errorType":"Extension.InitError","errorMessage":"RequestId: a Error: My.Error"}"#;
    assert_eq!((text(&delivery), delivery.reusable), (document, Some(false)));
    let line = "EXTENSION\tName: inside\tState: InitError\tEvents: [INVOKE]\tError Type: My.Error";
    assert_eq!(bench.log()[0], line);
}
