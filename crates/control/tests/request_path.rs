//! Requests that nobody sends on purpose: whatever comes, there is no panic, no fault of the daemon, and every error
//! is one that clients can read. Seeded: a failure is told with what repeats it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use lambd_api::Operation;
use lambd_control::{Control, ControlOptions, LambdaService};
use lambd_http::{
    AwsRequest, AwsService as _, BoundListener, Caller, CallerDefaults, QueryPairs, RequestHead, Router,
    Server,
};
use lambd_store::{DataDir, Store};
use lambd_types::{AccountId, Region, RequestId, Scope, SystemClock};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SEED: u64 = 0x1a_3bd;
const REQUESTS: usize = 15_000;
const UPLOADS: usize = 400;

/// SplitMix64: enough to choose by, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

const LABELS: &[&str] = &[
    "f",
    "g",
    "f:1",
    "f:live",
    "f:$LATEST",
    "000000000000:function:f",
    "arn:aws:lambda:us-east-1:000000000000:function:f",
    "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af%3Alive",
    "arn:aws:lambda:us-east-1:000000000000:event-source-mapping:0",
    "arn:aws:lambda:eu-west-1:000000000000:function:f",
    "arn:aws:lambda:us-east-1:000000000000:layer:l",
    "function:",
    ":",
    "::::::::",
    "%00",
    "%ff%fe",
    "%",
    "%2",
    "..",
    "ä",
    "\u{0}",
    "live",
    "1",
    "18446744073709551616",
    "$LATEST",
    "x' OR '1'='1",
];

const PATHS: &[&str] = &[
    "/2014-11-13/functions/{}/invoke-async",
    "/2015-03-31/functions",
    "/2015-03-31/functions/{}",
    "/2015-03-31/functions/{}/aliases",
    "/2015-03-31/functions/{}/aliases/{}",
    "/2015-03-31/functions/{}/code",
    "/2015-03-31/functions/{}/configuration",
    "/2015-03-31/functions/{}/invocations",
    "/2015-03-31/functions/{}/policy",
    "/2015-03-31/functions/{}/policy/{}",
    "/2015-03-31/functions/{}/versions",
    "/2015-03-31/event-source-mappings",
    "/2015-03-31/event-source-mappings/{}",
    "/2016-08-19/account-settings",
    "/2017-03-31/tags/{}",
    "/2017-10-31/functions/{}/concurrency",
    "/2018-10-31/layers",
    "/2018-10-31/layers/{}/versions",
    "/2018-10-31/layers/{}/versions/{}",
    "/2018-10-31/layers/{}/versions/{}/policy",
    "/2018-10-31/layers/{}/versions/{}/policy/{}",
    "/2019-09-25/functions/{}/event-invoke-config",
    "/2019-09-25/functions/{}/event-invoke-config/list",
    "/2019-09-30/functions/{}/concurrency",
    "/2019-09-30/functions/{}/provisioned-concurrency",
    "/2020-04-22/code-signing-configs",
    "/2020-04-22/code-signing-configs/{}",
    "/2020-04-22/code-signing-configs/{}/functions",
    "/2020-06-30/functions/{}/code-signing-config",
    "/2021-07-20/functions/{}/runtime-management-config",
    "/2021-10-31/functions/{}/url",
    "/2021-10-31/functions/{}/urls",
    "/2021-11-15/functions/{}/response-streaming-invocations",
    "/2024-08-31/functions/{}/recursion-config",
    "/2025-12-01/durable-executions/{}",
];

const QUERIES: &[&str] = &[
    "Qualifier",
    "MaxItems",
    "Marker",
    "FunctionVersion",
    "MasterRegion",
    "FunctionName",
    "EventSourceArn",
    "tagKeys",
    "find",
    "Arn",
    "List",
    "CompatibleRuntime",
    "RevisionId",
];

/// By which operations are told apart that share a path.
const PAIRS: &[&str] = &["find=LayerVersion", "List=ALL"];

const MEMBERS: &[&str] = &[
    "FunctionName",
    "Runtime",
    "Role",
    "Handler",
    "Code",
    "ZipFile",
    "S3Bucket",
    "S3Key",
    "Description",
    "Timeout",
    "MemorySize",
    "Environment",
    "Variables",
    "Publish",
    "Tags",
    "Layers",
    "VpcConfig",
    "SubnetIds",
    "TracingConfig",
    "Mode",
    "RevisionId",
    "DryRun",
    "Architectures",
    "Name",
    "FunctionVersion",
    "RoutingConfig",
    "AdditionalVersionWeights",
    "CodeSha256",
    "EphemeralStorage",
    "Size",
    "LoggingConfig",
    "EventSourceArn",
    "StartingPosition",
    "StartingPositionTimestamp",
    "BatchSize",
    "Enabled",
    "FilterCriteria",
    "Filters",
    "Pattern",
    "DestinationConfig",
    "OnFailure",
    "Destination",
    "SelfManagedEventSource",
    "Endpoints",
    "Topics",
    "ScalingConfig",
    "MaximumConcurrency",
    "SourceAccessConfigurations",
    "StatementId",
    "Action",
    "Principal",
    "ReservedConcurrentExecutions",
    "ProvisionedConcurrentExecutions",
    "MaximumRetryAttempts",
    "AuthType",
    "Content",
    "AllowedPublishers",
];

const TEXTS: &[&str] = &[
    "",
    "f",
    "live",
    "1",
    "$LATEST",
    "python3.11",
    "app.handler",
    "arn:aws:iam::000000000000:role/r",
    "arn:aws:sqs:us-east-1:000000000000:q",
    "arn:aws:kinesis:us-east-1:000000000000:stream/s",
    "LATEST",
    "AT_TIMESTAMP",
    "{\"a\":[{\"numeric\":[\">\"]}]}",
    "\u{0}\u{1f600}",
    "AAAA",
    "not base64!",
    "lambda:InvokeFunction",
    "LayerVersion",
    "ALL",
    "*",
];

fn value(chance: &mut Chance, depth: usize) -> Value {
    match chance.below(if depth == 0 { 7 } else { 10 }) {
        0 => Value::Null,
        1 => Value::Bool(chance.one_in(2)),
        2 => json!(chance.below(20)),
        3 => [json!(-1), json!(i64::MAX), json!(u64::MAX), json!(1e308), json!(0.5), json!(-0.0)]
            [chance.below(6)]
        .clone(),
        4..=6 => match chance.below(8) {
            0 => Value::String("x".repeat(chance.below(5000))),
            1 => Value::String(chance.of(LABELS).to_owned()),
            _ => Value::String(chance.of(TEXTS).to_owned()),
        },
        7 => Value::Array((0..chance.below(4)).map(|_| value(chance, depth - 1)).collect()),
        _ => object(chance, depth - 1),
    }
}

fn object(chance: &mut Chance, depth: usize) -> Value {
    let mut members = Map::new();
    for _ in 0..chance.below(9) {
        members.insert(chance.of(MEMBERS).to_owned(), value(chance, depth));
    }
    Value::Object(members)
}

fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>) {
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        match chance.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, chance.next() as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            _ if at < bytes.len() => {
                let end = (at + chance.below(16)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {}
        }
    }
}

fn body(chance: &mut Chance) -> Bytes {
    let mut bytes = match chance.below(10) {
        0 => Vec::new(),
        1 => (0..chance.below(64)).map(|_| chance.next() as u8).collect(),
        2 => value(chance, 3).to_string().into_bytes(),
        3 => "[".repeat(chance.below(3000)).into_bytes(),
        _ => object(chance, 3).to_string().into_bytes(),
    };
    if chance.one_in(4) {
        mutate(chance, &mut bytes);
    }
    bytes.into()
}

fn path(chance: &mut Chance) -> String {
    let mut path = String::new();
    for part in chance.of(PATHS).split("{}") {
        if !path.is_empty() {
            path.push_str(chance.of(LABELS));
        }
        path.push_str(part);
    }
    if chance.one_in(6) {
        let mut bytes = path.into_bytes();
        mutate(chance, &mut bytes);
        path = String::from_utf8_lossy(&bytes).into_owned();
    }
    if chance.one_in(8) {
        path.push('/');
    }
    path
}

fn query(chance: &mut Chance) -> QueryPairs {
    let mut text = String::new();
    if chance.one_in(6) {
        text.push_str(&format!("{}&", chance.of(PAIRS)));
    }
    for _ in 0..chance.below(4) {
        let value = if chance.one_in(2) { chance.of(TEXTS) } else { chance.of(LABELS) };
        text.push_str(&format!("{}={value}&", chance.of(QUERIES)));
    }
    if chance.one_in(6) {
        let mut bytes = text.into_bytes();
        mutate(chance, &mut bytes);
        text = String::from_utf8_lossy(&bytes).into_owned();
    }
    QueryPairs::parse(&text)
}

fn headers(chance: &mut Chance) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, values) in [
        ("x-amz-invocation-type", &["Event", "RequestResponse", "DryRun", "Never"][..]),
        ("x-amz-log-type", &["Tail", "None", "All"]),
        ("x-amz-client-context", &["e30=", "!!", "AAAA"]),
        ("content-type", &["application/json", "text/plain", ""]),
        ("host", &["localhost:1", "\u{e4}", ""]),
    ] {
        if chance.one_in(4)
            && let Ok(value) = HeaderValue::from_bytes(chance.of(values).as_bytes())
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

fn request(chance: &mut Chance) -> AwsRequest {
    let methods = [&Method::GET, &Method::POST, &Method::PUT, &Method::DELETE, &Method::PATCH];
    let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
    AwsRequest {
        head: RequestHead {
            method: chance.of(&methods).clone(),
            path: path(chance),
            query: query(chance),
            headers: headers(chance),
            caller: Caller { scope, access_key: "test".into(), service: "lambda".into(), confined: false },
            request_id: RequestId::random(),
        },
        body: body(chance),
    }
}

/// An answer that clients can read.
fn check(status: StatusCode, headers: &HeaderMap, body: &[u8], asked: &str) {
    let shown = String::from_utf8_lossy(body);
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{asked}: {shown}");
    if status.as_u16() < 400 {
        let readable = body.is_empty() || serde_json::from_slice::<Value>(body).is_ok();
        assert!(readable, "{asked}: {status} {shown}");
        return;
    }
    let code = headers.get("x-amzn-errortype").and_then(|code| code.to_str().ok()).unwrap_or_default();
    assert!(
        !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric()),
        "{asked}: {status} {code:?} {shown}"
    );
    let document: Value = serde_json::from_slice(body).unwrap_or_else(|e| panic!("{asked}: {e}: {shown}"));
    let text = document.get("message").or_else(|| document.get("Message"));
    assert!(text.is_some_and(|text| text.as_str().is_some_and(|text| !text.is_empty())), "{asked}: {shown}");
    assert!(matches!(document["Type"].as_str(), Some("User" | "Service")), "{asked}: {shown}");
}

struct Fixture {
    service: Arc<LambdaService>,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

/// The endpoint with a listener and one function, `f`, but no engine: what is under test is the way of requests.
async fn start() -> Fixture {
    let fixture = start_with(ControlOptions::default()).await;
    let (status, _, body) = fixture.post("/2015-03-31/functions", create("f").to_string().as_bytes()).await;
    assert_eq!(status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&body));
    fixture
}

async fn start_with(options: ControlOptions) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap());
    let control = Control::new(store, Arc::new(SystemClock), options);
    let service = Arc::new(LambdaService::new(control));
    let listener = BoundListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let defaults = CallerDefaults {
        account: AccountId::default_local(),
        region: Region::default_local(),
        confined: false,
    };
    let server = Server::new(Router::new(vec![service.clone()]), defaults);
    tokio::spawn(server.run(listener, std::future::pending(), Duration::ZERO));
    Fixture { service, address, _dir: dir }
}

fn create(name: &str) -> Value {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("app.py", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(b"def handler(event, context):\n    return 1\n").unwrap();
    let code = base64::engine::general_purpose::STANDARD.encode(archive.finish().unwrap().into_inner());
    json!({
        "FunctionName": name, "Runtime": "provided.al2023", "Handler": "app.handler",
        "Role": "arn:aws:iam::000000000000:role/r", "Code": { "ZipFile": code },
    })
}

impl Fixture {
    async fn post(&self, path: &str, body: &[u8]) -> (StatusCode, HeaderMap, Vec<u8>) {
        self.send("POST", path, body).await
    }

    async fn send(&self, method: &str, path: &str, body: &[u8]) -> (StatusCode, HeaderMap, Vec<u8>) {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\nauthorization: \
             AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, \
             Signature=0\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let split = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8(answer[..split].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap();
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
        });
        (status.parse().unwrap(), headers.collect(), answer[split + 4..].to_vec())
    }
}

/// API-706, API-707: random and mutated requests of every operation.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_the_answer_can_be_read() {
    let fixture = start().await;
    let (mut reached, mut answered) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..REQUESTS {
        let mut chance = Chance(SEED + number as u64);
        let request = request(&mut chance);
        let asked = format!(
            "request {number} of seed {SEED:#x}: {} {:?} {:?} {}",
            request.head.method,
            request.head.path,
            request.head.query,
            String::from_utf8_lossy(&request.body)
        );
        let head = &request.head;
        let route =
            Operation::route(&head.method, &head.path, |name, value| head.query.get(name) == Some(value));
        if let lambd_api::Routed::Offered(route) = route {
            reached.insert(route.operation.name());
        }
        assert!(fixture.service.body_limit(head) > 0);
        // A task of its own, so that a panic comes back as an error that says which request it was.
        let service = fixture.service.clone();
        let response = tokio::spawn(async move { service.call(request).await });
        let response = response.await.unwrap_or_else(|panic| panic!("{asked}: {panic}"));
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        check(parts.status, &parts.headers, &body, &asked);
        answered.insert(parts.status.as_u16());
    }
    let all: BTreeSet<&str> = Operation::ALL.iter().map(|operation| operation.name()).collect();
    assert_eq!(all.difference(&reached).collect::<Vec<_>>(), Vec::<&&str>::new(), "operations never reached");
    for status in [200, 400, 404, 501] {
        assert!(answered.contains(&status), "no request was answered {status}: {answered:?}");
    }
}

/// API-105, API-706: bodies with a package, which are read while they arrive.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_uploaded_the_answer_can_be_read() {
    let fixture = start().await;
    for number in 0..UPLOADS {
        let mut chance = Chance(SEED + number as u64);
        let mut body = create(&format!("u{number}")).to_string().into_bytes();
        mutate(&mut chance, &mut body);
        if chance.one_in(10) {
            body = self::body(&mut chance).to_vec();
        }
        let asked = format!("upload {number} of seed {SEED:#x}: {}", String::from_utf8_lossy(&body));
        let (status, headers, answer) = fixture.post("/2015-03-31/functions", &body).await;
        check(status, &headers, &answer, &asked);
    }
    let (status, ..) = fixture.post("/2015-03-31/functions", create("last").to_string().as_bytes()).await;
    assert_eq!(status, StatusCode::CREATED, "after all of them, a function can be created as before");
}

/// API-301, API-105.1, API-148.18: a function for whose code the account has no room is refused; settings need none.
#[tokio::test]
async fn an_account_s_storage_has_a_limit() {
    let fixture = start_with(ControlOptions { total_code_size: 300, ..ControlOptions::default() }).await;
    for (name, expected) in [("f", StatusCode::CREATED), ("g", StatusCode::BAD_REQUEST)] {
        let request = create(name).to_string();
        let (status, headers, body) = fixture.post("/2015-03-31/functions", request.as_bytes()).await;
        assert_eq!(status, expected, "{}", String::from_utf8_lossy(&body));
        if expected == StatusCode::BAD_REQUEST {
            assert_eq!(headers["x-amzn-errortype"], "CodeStorageExceededException");
            let expected = json!({ "Type": "User", "message": "Code storage limit exceeded." });
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
        }
    }
    // `f` becomes ready behind its answer.
    loop {
        let path = "/2015-03-31/functions/f/configuration";
        let (status, _, body) = fixture.send("PUT", path, br#"{"Timeout": 5}"#).await;
        if status != StatusCode::CONFLICT {
            assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
            break;
        }
        tokio::task::yield_now().await;
    }
}
