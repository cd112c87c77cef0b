use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use lambd_types::invocation::LogEvent;
use lambd_types::{
    AccountId, EphemeralStorage, FunctionKey, FunctionName, LogFormat, MemorySize, NetworkPolicy,
    NetworkRules, Region, RevisionId, Scope, Sha256Digest, SystemClock, Timeout, Version,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::*;
use crate::catalogue::{Bootstraps, Catalogue, Substitution};
use crate::ports::{Addresses, Base, Blueprint, Exit, Gate, Listeners, LogStream, Prepared, Sandbox, View};

/// What goes on inside a sandbox: its own side of the Runtime API, its output and its end.
struct Inside {
    api: SocketAddr,
    output: io::PipeWriter,
    state: Arc<FakeState>,
}

impl Inside {
    fn print(&mut self, text: &str) {
        let _ = self.output.write_all(text.as_bytes());
    }

    fn exit(&self, exit: Exit) {
        self.state
            .exit
            .send_if_modified(|current| current.is_none().then(|| *current = Some(exit)).is_some());
    }

    /// One call of the Runtime API on a connection of its own; the event's request id, if there is one.
    async fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.api).await.ok()?;
        let request = format!(
            "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let id = answer.lines().find_map(|line| line.strip_prefix("lambda-runtime-aws-request-id: "));
        Some(id.unwrap_or_default().to_owned())
    }

    async fn next(&self) -> String {
        self.call("GET", "invocation/next", "", "").await.unwrap()
    }

    async fn respond(&self, id: &str, body: &str) {
        self.call("POST", &format!("invocation/{id}/response"), "", body).await;
    }

    /// Answers every event with `text` for ever.
    async fn serve(&self, text: &str) {
        loop {
            let id = self.next().await;
            self.respond(&id, text).await;
        }
    }
}

type Script = Box<dyn FnOnce(Inside) -> BoxFuture<'static, ()> + Send>;

fn script<F: Future<Output = ()> + Send + 'static>(f: impl FnOnce(Inside) -> F + Send + 'static) -> Script {
    Box::new(move |inside| Box::pin(f(inside)))
}

/// A process that never does anything.
fn hanging() -> Script {
    script(|inside| async move {
        let _kept = inside;
        std::future::pending::<()>().await;
    })
}

/// Sandboxes whose processes do what the scripts say, one script each.
#[derive(Default)]
struct FakeSandboxes {
    scripts: Mutex<VecDeque<Script>>,
    made: Mutex<Vec<Arc<FakeState>>>,
}

#[derive(Default)]
struct FakeState {
    exit: watch::Sender<Option<Exit>>,
    deeds: Mutex<Vec<&'static str>>,
}

impl FakeState {
    fn note(&self, deed: &'static str) {
        self.deeds.lock().unwrap().push(deed);
    }
}

struct FakeSandbox {
    listeners: Option<Listeners>,
    output: Option<OwnedFd>,
    state: Arc<FakeState>,
    process: tokio::task::AbortHandle,
}

struct FakePrepared {
    script: Script,
    listeners: Listeners,
    state: Arc<FakeState>,
}

impl Sandboxes for FakeSandboxes {
    fn prepare(&self, _: Base) -> BoxFuture<'_, Result<Box<dyn Prepared>, SpawnError>> {
        Box::pin(async {
            let Some(script) = self.scripts.lock().unwrap().pop_front() else {
                return Err(SpawnError("no more room".into()));
            };
            let listener = || {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                listener.set_nonblocking(true).unwrap();
                listener
            };
            let listeners = Listeners {
                runtime_api: listener(),
                aws: listener(),
                xray_udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
                xray_tcp: listener(),
                gate: None,
            };
            let state = Arc::new(FakeState::default());
            self.made.lock().unwrap().push(state.clone());
            Ok(Box::new(FakePrepared { script, listeners, state }) as Box<dyn Prepared>)
        })
    }
}

impl Prepared for FakePrepared {
    fn addresses(&self) -> Addresses {
        let Listeners { runtime_api, aws, xray_udp, xray_tcp, .. } = &self.listeners;
        let [runtime_api, aws, xray_tcp] = [runtime_api, aws, xray_tcp].map(|l| l.local_addr().unwrap());
        Addresses { runtime_api, aws, xray_udp: xray_udp.local_addr().unwrap(), xray_tcp }
    }

    fn view(&self) -> View {
        View::OwnRoot
    }

    fn build(
        self: Box<Self>,
        blueprint: Blueprint,
    ) -> BoxFuture<'static, Result<Box<dyn Sandbox>, SpawnError>> {
        Box::pin(async move {
            let api = self.addresses().runtime_api;
            let address = ("AWS_LAMBDA_RUNTIME_API".to_owned(), api.to_string());
            assert!(blueprint.env.contains(&address), "{:?}", blueprint.env);
            let Self { script, listeners, state } = *self;
            let (reader, output) = io::pipe().unwrap();
            rustix::io::ioctl_fionbio(&reader, true).unwrap();
            let process = tokio::spawn(script(Inside { api, output, state: state.clone() })).abort_handle();
            let (listeners, output) = (Some(listeners), Some(reader.into()));
            Ok(Box::new(FakeSandbox { listeners, output, state, process }) as Box<dyn Sandbox>)
        })
    }
}

impl Sandbox for FakeSandbox {
    fn take_listeners(&mut self) -> Option<Listeners> {
        self.listeners.take()
    }
    fn take_output(&mut self) -> Option<OwnedFd> {
        self.output.take()
    }
    fn exited(&self) -> BoxFuture<'static, Exit> {
        let mut exit = self.state.exit.subscribe();
        Box::pin(async move { exit.wait_for(Option::is_some).await.unwrap().clone().unwrap() })
    }
    fn take_companion_output(&mut self) -> Option<OwnedFd> {
        None
    }
    fn take_companion_ends(&mut self) -> Option<BoxStream<'static, (usize, Exit)>> {
        None
    }
    fn launch(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.state.note("launch") })
    }
    fn init(&self) -> Option<i32> {
        None
    }
    fn gone(&self) -> BoxFuture<'static, ()> {
        let exited = self.exited();
        Box::pin(async move { drop(exited.await) })
    }
    fn terminate_process(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.state.note("terminate_process") })
    }
    fn kill_process(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.state.note("kill_process") })
    }
    fn connect(&self, port: u16) -> BoxFuture<'static, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)))
    }
    fn freeze(&self) -> io::Result<()> {
        self.state.note("freeze");
        Ok(())
    }
    fn thaw(&self) -> io::Result<()> {
        self.state.note("thaw");
        Ok(())
    }
    fn limit_cpu(&self) -> io::Result<()> {
        self.state.note("limit_cpu");
        Ok(())
    }
    fn terminate(&self, _: Duration) -> BoxFuture<'_, ()> {
        self.state.note("terminate");
        Box::pin(async { self.kill() })
    }
    fn kill(&self) {
        self.state.note("kill");
        self.process.abort();
        self.state
            .exit
            .send_if_modified(|exit| exit.is_none().then(|| *exit = Some(Exit::Signaled(9))).is_some());
    }
    fn memory_peak_bytes(&self) -> Option<u64> {
        Some(32 * 1024 * 1024)
    }
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogStream for Lines {
    fn append(&self, events: Vec<LogEvent>) {
        self.0.lock().unwrap().extend(events.into_iter().map(|event| event.message));
    }
    fn is_full(&self) -> bool {
        false
    }
    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

struct OneStream(Arc<Lines>);

impl LogSink for OneStream {
    fn open(&self, _: &Scope, _: &str, _: &str) -> Arc<dyn LogStream> {
        self.0.clone()
    }
}

struct NoEndpoint;

impl EndpointServer for NoEndpoint {
    fn serve(&self, _: TcpListener, _: Option<Gate>, _: &Scope) -> Box<dyn Send + Sync> {
        Box::new(())
    }
}

struct NoTraces;

impl Traces for NoTraces {
    fn serve(&self, _: UdpSocket, _: TcpListener, _: &FunctionKey) -> Box<dyn Send + Sync> {
        Box::new(())
    }
}

/// Instances over fake sandboxes, with what they left behind.
struct Bench {
    instances: Instances,
    sandboxes: Arc<FakeSandboxes>,
    lines: Arc<Lines>,
    function: Arc<FunctionSnapshot>,
    _code: tempfile::TempDir,
}

const INIT_LIMIT: Duration = Duration::from_millis(300);

impl Bench {
    fn new(scripts: impl IntoIterator<Item = Script>) -> Self {
        let sandboxes = Arc::new(FakeSandboxes::default());
        *sandboxes.scripts.lock().unwrap() = scripts.into_iter().collect();
        let lines = Arc::new(Lines::default());
        let instances = Instances::new(InstancesOptions {
            debuggers: Debuggers::default(),
            sandboxes: sandboxes.clone(),
            logs: Arc::new(OneStream(lines.clone())),
            endpoint: Arc::new(NoEndpoint),
            traces: Arc::new(NoTraces),
            network: NetworkRules::new(NetworkPolicy::None),
            catalogue: Arc::new(
                Catalogue::new(Vec::new(), Substitution::Never, Bootstraps::at("/nowhere".into())).into(),
            ),
            clock: Arc::new(SystemClock),
            init_limit: INIT_LIMIT,
            streamed_response: 1000,
            shutdown_grace: Duration::from_millis(500),
        });
        let code = tempfile::tempdir().unwrap();
        let bootstrap = code.path().join("bootstrap");
        std::fs::write(&bootstrap, "").unwrap();
        std::fs::set_permissions(&bootstrap, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let function = Arc::new(FunctionSnapshot {
            key: FunctionKey {
                scope: Scope { account: AccountId::default_local(), region: Region::default_local() },
                name: FunctionName::parse("f").unwrap(),
                version: Version::Latest,
            },
            revision: RevisionId::random(),
            arn: String::new(),
            runtime: "provided.al2023".into(),
            handler: String::new(),
            memory: MemorySize::default(),
            timeout: Timeout::new(1).unwrap(),
            ephemeral_storage: EphemeralStorage::default(),
            snap_start: false,
            network: None,
            environment: Vec::new().into(),
            code: Sha256Digest::of(b""),
            code_dir: code.path().into(),
            layers_dir: None,
            log_group: String::new(),
            log_format: LogFormat::Text,
            dead_letter: None,
        });
        Self { instances, sandboxes, lines, function, _code: code }
    }

    async fn start(&self) -> Instance {
        self.instances.start(self.function.clone(), InitializationType::OnDemand).await.unwrap()
    }

    async fn provision(&self) -> Instance {
        self.instances.start(self.function.clone(), InitializationType::Provisioned).await.unwrap()
    }

    /// Everything that the log has, with numbers of milliseconds and times of day left out.
    fn log(&self) -> Vec<String> {
        let lines = self.lines.0.lock().unwrap();
        lines.iter().map(|line| masked(line)).collect()
    }

    fn deeds(&self, sandbox: usize) -> Vec<&'static str> {
        self.sandboxes.made.lock().unwrap()[sandbox].deeds.lock().unwrap().clone()
    }

    fn made(&self) -> usize {
        self.sandboxes.made.lock().unwrap().len()
    }
}

/// `12.34 ms` is `_ ms`; a word that begins like a date is `_`.
fn masked(line: &str) -> String {
    let words: Vec<&str> = line.trim_end_matches('\n').split(' ').collect();
    let mask = |(at, word): (usize, &&str)| {
        let before_unit = words.get(at + 1).is_some_and(|next| next.split('\t').next() == Some("ms"));
        match before_unit || word.starts_with("20") {
            true => "_".to_owned(),
            false => (*word).to_owned(),
        }
    };
    words.iter().enumerate().map(mask).collect::<Vec<_>>().join(" ")
}

fn event(id: &str) -> Event {
    Event {
        request_id: RequestId::from_stored(id.into()),
        payload: Bytes::from_static(b"{}"),
        invoked_arn: String::new(),
        trace_id: String::new(),
        client_context: None,
    }
}

async fn deliver(instance: &Instance, id: &str) -> Delivery {
    instance.deliver(event(id), LogType::Tail.into()).await.unwrap()
}

fn text(delivery: &Delivery) -> &str {
    std::str::from_utf8(&delivery.outcome.payload).unwrap()
}

const REPORT: &str = "Duration: _ ms\tBilled Duration: _ ms\tMemory Size: 128 MB\tMax Memory Used: 32 MB\t";

#[tokio::test]
async fn a_good_init_happens_before_the_event() {
    let bench = Bench::new([script(|mut inside| async move {
        inside.print("init\n");
        inside.serve("answer").await;
    })]);
    let instance = bench.start().await;
    let delivery = deliver(&instance, "a").await;
    assert_eq!((text(&delivery), delivery.reusable), ("answer", Some(true)));
    assert_eq!(deliver(&instance, "b").await.reusable, Some(true));
    let expected = [
        "init".to_owned(),
        "START RequestId: a Version: $LATEST".into(),
        "END RequestId: a".into(),
        format!("REPORT RequestId: a\t{REPORT}Init Duration: _ ms\t"),
        "START RequestId: b Version: $LATEST".into(),
        "END RequestId: b".into(),
        format!("REPORT RequestId: b\t{REPORT}"),
    ];
    assert_eq!(bench.log(), expected);
}

/// RT-50: an init that fails is repeated in a new environment, inside the event.
#[tokio::test]
async fn an_init_that_exits_is_tried_twice() {
    let exiting = || {
        script(|mut inside| async move {
            inside.print("going\n");
            inside.exit(Exit::Exited(1));
        })
    };
    let bench = Bench::new([exiting(), exiting()]);
    let instance = bench.start().await;
    let delivery = deliver(&instance, "a").await;
    let document = r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: a Error: Runtime exited with error: exit status 1"}"#;
    assert_eq!((text(&delivery), delivery.reusable), (document, Some(false)));
    assert!(!instance.is_alive());
    let expected = [
        "going".to_owned(),
        "INIT_REPORT Init Duration: _ ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError".into(),
        "going".into(),
        "INIT_REPORT Init Duration: _ ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError".into(),
        "START RequestId: a Version: $LATEST".into(),
        "RequestId: a Error: Runtime exited with error: exit status 1\nRuntime.ExitError".into(),
        "END RequestId: a".into(),
        format!("REPORT RequestId: a\t{REPORT}Status: error\tError Type: Runtime.ExitError"),
    ];
    assert_eq!(bench.log(), expected);
    let tail = delivery.outcome.log_tail.unwrap();
    assert!(tail.starts_with(b"going\nINIT_REPORT "), "{tail:?}");
}

/// RT-69, RT-70: the second try's own document is what the caller gets.
#[tokio::test]
async fn an_init_that_reports_an_error_is_tried_twice() {
    let failing = |number: u32| {
        script(move |inside| async move {
            let headers = "lambda-runtime-function-error-type: Runtime.ImportModuleError\r\n";
            inside.call("POST", "init/error", headers, &format!(r#"{{"try": {number}}}"#)).await;
            std::future::pending::<()>().await;
        })
    };
    let bench = Bench::new([failing(1), failing(2)]);
    let instance = bench.start().await;
    let delivery = deliver(&instance, "a").await;
    assert_eq!((text(&delivery), delivery.reusable), (r#"{"try": 2}"#, Some(false)));
    let kind = "Status: error\tError Type: Runtime.ImportModuleError";
    let expected = [
        format!("INIT_REPORT Init Duration: _ ms\tPhase: init\t{kind}"),
        format!("INIT_REPORT Init Duration: _ ms\tPhase: invoke\t{kind}"),
        "START RequestId: a Version: $LATEST".into(),
        "END RequestId: a".into(),
        format!("REPORT RequestId: a\t{REPORT}{kind}"),
    ];
    assert_eq!(bench.log(), expected);
    for sandbox in 0..2 {
        assert!(bench.deeds(sandbox).contains(&"kill"), "the failed one is destroyed");
    }
}

/// RT-51: an init that overruns its phase gets the function's own time, once.
#[tokio::test]
async fn a_slow_init_may_succeed_inside_the_event() {
    let second = script(|inside| async move {
        tokio::time::sleep(INIT_LIMIT * 2).await;
        inside.serve("at last").await;
    });
    let bench = Bench::new([hanging(), second]);
    let instance = bench.start().await;
    let delivery = deliver(&instance, "a").await;
    assert_eq!((text(&delivery), delivery.reusable), ("at last", Some(true)));
    assert_eq!(text(&deliver(&instance, "b").await), "at last");
    let lines = bench.lines.0.lock().unwrap().clone();
    let log = bench.log();
    assert_eq!(log[0], "INIT_REPORT Init Duration: _ ms\tPhase: init\tStatus: timeout");
    assert_eq!(log[1], "START RequestId: a Version: $LATEST");
    assert_eq!(log[3], format!("REPORT RequestId: a\t{REPORT}"), "no Init Duration");
    let duration = |line: &str| {
        let number = line.split("Duration: ").nth(1).unwrap().split(' ').next().unwrap();
        number.parse::<f64>().unwrap()
    };
    assert!((300.0..900.0).contains(&duration(&lines[0])), "{lines:?}");
    assert!((600.0..1000.0).contains(&duration(&lines[3])), "the second try counts: {lines:?}");
    assert_eq!(bench.made(), 2);
}

#[tokio::test]
async fn an_init_that_never_ends_times_out_as_the_event() {
    let bench = Bench::new([hanging(), hanging()]);
    let instance = bench.start().await;
    let before = Instant::now();
    let delivery = deliver(&instance, "a").await;
    assert!((1300..2500).contains(&before.elapsed().as_millis()), "{:?}", before.elapsed());
    let document = r#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: a Error: Task timed out after 1.00 seconds"}"#;
    assert_eq!((text(&delivery), delivery.reusable), (document, Some(false)));
    let expected = [
        "INIT_REPORT Init Duration: _ ms\tPhase: init\tStatus: timeout".to_owned(),
        "INIT_REPORT Init Duration: _ ms\tPhase: invoke\tStatus: timeout".into(),
        "START RequestId: a Version: $LATEST".into(),
        "_ a Task timed out after 1.00 seconds".into(),
        "END RequestId: a".into(),
        format!("REPORT RequestId: a\t{REPORT}Status: timeout"),
    ];
    assert_eq!(bench.log(), expected);
    assert!(bench.lines.0.lock().unwrap()[5].contains("\tDuration: 1000.00 ms\t"));
}

/// RT-45: a missing bootstrap is told like any other init that fails, and no sandbox is made for it.
#[tokio::test]
async fn nothing_to_start_is_a_failed_init() {
    let bench = Bench::new([]);
    std::fs::remove_file(bench.function.code_dir.join("bootstrap")).unwrap();
    let instance = bench.start().await;
    assert_eq!(deliver(&instance, "a").await.reusable, Some(false));
    let kind = "Status: error\tError Type: Runtime.InvalidEntrypoint";
    let report = REPORT.replace("32 MB", "1 MB");
    let expected = [
        format!("INIT_REPORT Init Duration: _ ms\tPhase: init\t{kind}"),
        format!("INIT_REPORT Init Duration: _ ms\tPhase: invoke\t{kind}"),
        "START RequestId: a Version: $LATEST".into(),
        "RequestId: a Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]\nRuntime.InvalidEntrypoint".into(),
        "END RequestId: a".into(),
        format!("REPORT RequestId: a\t{report}{kind}"),
    ];
    assert_eq!(bench.log(), expected);
}

#[tokio::test]
async fn an_event_without_an_environment_is_not_taken() {
    let bench = Bench::new([script(|inside| async move { inside.exit(Exit::Exited(1)) })]);
    let instance = bench.start().await;
    let error = instance.deliver(event("a"), Wants::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot create an execution environment: no more room");
}

/// RT-26: a runtime that ends after its answer harms no later event, but one that ends when it has asked
/// for the event does.
#[tokio::test]
async fn an_event_that_nobody_asked_for_goes_to_a_new_environment() {
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let first = script(|inside| async move {
        let id = inside.next().await;
        inside.respond(&id, "last words").await;
        ended.await.unwrap();
        inside.exit(Exit::Exited(0));
    });
    let second = script(|inside| async move {
        let id = inside.next().await;
        inside.respond(&id, "from the second").await;
        inside.next().await;
        inside.exit(Exit::Exited(3));
    });
    let bench = Bench::new([first, second]);
    let instance = bench.start().await;
    assert_eq!(text(&deliver(&instance, "a").await), "last words");
    let (delivery, ()) = tokio::join!(deliver(&instance, "b"), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        end.send(()).unwrap();
    });
    assert_eq!((text(&delivery), delivery.reusable), ("from the second", Some(true)));
    let delivery = deliver(&instance, "c").await;
    assert!(text(&delivery).contains("exit status 3"), "{}", text(&delivery));
    assert_eq!(bench.made(), 2);
}

/// The CPU is limited once, after the init phase, and beside the event.
#[tokio::test]
async fn cpu_is_limited_after_init() {
    let bench = Bench::new([script(|inside| async move { inside.serve("x").await })]);
    let instance = bench.start().await;
    for id in ["a", "b"] {
        deliver(&instance, id).await;
    }
    while bench.deeds(0).is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bench.deeds(0), ["limit_cpu"]);
}

/// RT-28, RT-31: frozen once it is idle, thawed for the next event or for its end; never while busy.
#[tokio::test]
async fn freezing_and_retiring() {
    let bench = Bench::new([script(|inside| async move { inside.serve("x").await })]);
    let instance = bench.start().await;
    instance.freeze();
    deliver(&instance, "a").await;
    while bench.deeds(0).is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    instance.freeze();
    deliver(&instance, "b").await;
    instance.freeze();
    instance.freeze();
    instance.retire().await;
    instance.freeze();
    assert_eq!(bench.deeds(0), ["limit_cpu", "freeze", "thaw", "freeze", "thaw", "terminate", "kill"]);
    while instance.is_alive() {
        tokio::task::yield_now().await;
    }
}

/// Nothing that a timed-out process still says comes after the platform's lines, and it is dead.
#[tokio::test]
async fn a_timeout_kills() {
    let (stray, strayed) = std::sync::mpsc::channel();
    let bench = Bench::new([script(|mut inside| async move {
        stray.send(inside.output.try_clone().unwrap()).unwrap();
        inside.next().await;
        inside.print("half a line");
        std::future::pending::<()>().await;
    })]);
    let instance = bench.start().await;
    let delivery = deliver(&instance, "a").await;
    assert_eq!(delivery.reusable, Some(false));
    assert!(bench.deeds(0).contains(&"kill"));
    let _ = strayed.recv().unwrap().write_all(b"too late\n");
    drop(instance);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let expected = [
        "START RequestId: a Version: $LATEST".to_owned(),
        "half a line".into(),
        "_ a Task timed out after 1.00 seconds".into(),
        "END RequestId: a".into(),
        format!("REPORT RequestId: a\t{REPORT}Init Duration: _ ms\tStatus: timeout"),
    ];
    assert_eq!(bench.log(), expected);
}

/// CORE-177: a provisioned instance has its init behind it when the event comes, however long it took; it is told of
/// with the first event, and not billed with it.
#[tokio::test]
async fn a_provisioned_instance_is_initialised_ahead_of_events() {
    let bench = Bench::new([script(|mut inside| async move {
        tokio::time::sleep(INIT_LIMIT * 2).await;
        inside.print("init\n");
        inside.serve("answer").await;
    })]);
    let instance = bench.provision().await;
    assert_eq!(instance.initialise().await, Ok(()));
    instance.freeze();
    assert!(bench.deeds(0).contains(&"freeze"), "it waits as any other");
    let before = Instant::now();
    assert_eq!(text(&deliver(&instance, "a").await), "answer");
    assert!(before.elapsed() < INIT_LIMIT);
    assert_eq!(text(&deliver(&instance, "b").await), "answer");
    let expected = [
        "init".to_owned(),
        "START RequestId: a Version: $LATEST".into(),
        "END RequestId: a".into(),
        format!("REPORT RequestId: a\t{REPORT}Init Duration: _ ms\t"),
        "START RequestId: b Version: $LATEST".into(),
        "END RequestId: b".into(),
        format!("REPORT RequestId: b\t{REPORT}"),
    ];
    assert_eq!(bench.log(), expected);
    let report = bench.lines.0.lock().unwrap()[3].clone();
    let number = |name: &str| {
        let text = report.split(&format!("\t{name}: ")).nth(1).unwrap().split(' ').next().unwrap();
        text.parse::<f64>().unwrap()
    };
    assert!(number("Init Duration") >= 600.0 && number("Billed Duration") < 300.0, "{report}");
}

#[tokio::test]
async fn a_provisioned_instance_that_cannot_initialise_says_so_once() {
    let exiting = script(|inside| async move { inside.exit(Exit::Exited(1)) });
    let bench = Bench::new([exiting]);
    let instance = bench.provision().await;
    assert_eq!(instance.initialise().await, Err(InitFailed));
    assert!(!instance.is_alive());
    let line = "INIT_REPORT Init Duration: _ ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError";
    assert_eq!(bench.log(), [line]);
}

/// One that nobody needs any more ends while it initialises, and that is no error of the function.
#[tokio::test]
async fn a_provisioned_instance_can_be_given_up_while_it_initialises() {
    let bench = Bench::new([hanging()]);
    let instance = bench.provision().await;
    let (initialised, ()) = tokio::join!(instance.initialise(), instance.retire());
    assert_eq!((initialised, bench.log()), (Err(InitFailed), Vec::new()));
    tokio::time::timeout(INIT_LIMIT, instance.ended()).await.unwrap();
}

#[path = "instance_extension_tests.rs"]
mod extensions;
