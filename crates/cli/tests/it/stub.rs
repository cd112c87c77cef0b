//! A daemon of memory only: enough of the Lambda and the CloudWatch Logs API for the command line.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lambd_cli::{
    AddProgress, AddRuntime, AddedRuntime, BoxFuture, Check, Daemon, DoctorReport, Inspector, InstallError,
    Installer, IsolationChoice, IsolationLevel, IsolationStatus, RootStatus, RunningDaemon, RuntimeFound,
    RuntimeProgram, RuntimeRoot, RuntimeState, RuntimeStatus, RuntimesQuery, ServeArgs, StartError,
};
use lambd_types::Sha256Digest;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Items of a page of any list.
const PAGE: usize = 2;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) functions: BTreeMap<String, Function>,
    pub(crate) logs: Vec<Value>,
    /// Method, path with query, and the body as JSON where it is.
    pub(crate) requests: Vec<(Method, String, Value)>,
}

pub(crate) struct Function {
    pub(crate) configuration: Value,
    pub(crate) tags: Value,
    pub(crate) zip: Vec<u8>,
    /// Reads of the configuration until it is ready.
    pending: u32,
}

/// A running stub.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Stub {
    pub(crate) async fn start() -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn serve(listener: TcpListener) -> Self {
        let stub = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let shared = stub.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stub = shared.clone();
                let service = service_fn(move |request| {
                    let stub = stub.clone();
                    async move { Ok::<_, Infallible>(stub.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        stub
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn add_function(&self, name: &str) {
        let body = json!({"FunctionName": name, "Runtime": "python3.11", "Handler": "a.b", "MemorySize": 128,
            "Timeout": 3, "Role": "r", "Code": {"ZipFile": ""}});
        self.state().create(&body);
    }

    pub(crate) fn log(&self, function: &str, timestamp: i64, message: &str) {
        let mut state = self.state();
        let id = format!("{:056}", state.logs.len());
        state
            .logs
            .push(json!({"group": format!("/aws/lambda/{function}"), "eventId": id, "logStreamName": "s",
            "timestamp": timestamp, "message": message}));
    }

    async fn answer(&self, request: Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let header =
            |name: &str| parts.headers.get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
        assert!(header("authorization").starts_with("AWS4-HMAC-SHA256 Credential="), "unsigned request");
        let target = parts.uri.path_and_query().unwrap().to_string();
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut state = self.state();
        state.requests.push((parts.method.clone(), target.clone(), json.clone()));
        if header("x-amz-target") == "Logs_20140328.FilterLogEvents" {
            return state.filter(&json);
        }
        if let Some(arn) = parts.uri.path().strip_prefix("/2017-03-31/tags/") {
            assert_eq!(parts.method, "POST", "{target}");
            return state.tag(arn, &json);
        }
        if parts.uri.path() == "/_lambd/runtimes" {
            return ok(200, json!([{"id": "python3.11", "version": "3.12.4", "substituted": true}]));
        }
        let path = parts.uri.path().strip_prefix("/2015-03-31/functions").unwrap().trim_matches('/');
        let segments: Vec<&str> = path.split('/').collect();
        match (parts.method.as_str(), segments.as_slice()) {
            ("GET", [""]) => state.list(&target),
            ("POST", [""]) => state.create(&json),
            ("PUT", [name, "code"]) => state.update_code(name, &json),
            ("PUT", [name, "configuration"]) => state.update_configuration(name, &json),
            ("GET", [name, "configuration"]) => state.configuration(name),
            ("GET", [name]) => state.function(name),
            ("DELETE", [name]) => state.delete(name),
            ("POST", [name, "invocations"]) => {
                state.invoke(name, &json, &header("x-amz-invocation-type"), &header("x-amz-log-type"))
            }
            other => panic!("{other:?}"),
        }
    }
}

fn ok(status: u16, body: Value) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::from(body.to_string())).unwrap()
}

fn not_found(name: &str) -> Response<Full<Bytes>> {
    let body = json!({"Type": "User", "Message": format!("Function not found: {name}")}).to_string();
    let response = Response::builder().status(404).header("x-amzn-ErrorType", "ResourceNotFoundException");
    response.body(Full::from(body)).unwrap()
}

impl State {
    fn create(&mut self, body: &Value) -> Response<Full<Bytes>> {
        let zip = STANDARD.decode(body["Code"]["ZipFile"].as_str().unwrap()).unwrap();
        let name = body["FunctionName"].as_str().unwrap().to_owned();
        let mut configuration = body.clone();
        configuration.as_object_mut().unwrap().remove("Code");
        let tags = configuration.as_object_mut().unwrap().remove("Tags").unwrap_or_default();
        configuration["FunctionArn"] =
            format!("arn:aws:lambda:us-east-1:000000000000:function:{name}").into();
        configuration["LastModified"] = "2026-01-31T12:00:00.000+0000".into();
        let mut function = Function { configuration, tags, zip: Vec::new(), pending: 0 };
        function.set_code(zip);
        let answer = ok(201, function.configuration.clone());
        self.functions.insert(name, function);
        answer
    }

    fn update_code(&mut self, name: &str, body: &Value) -> Response<Full<Bytes>> {
        let Some(function) = self.functions.get_mut(name) else { return not_found(name) };
        function.set_code(STANDARD.decode(body["ZipFile"].as_str().unwrap()).unwrap());
        ok(200, function.configuration.clone())
    }

    fn update_configuration(&mut self, name: &str, body: &Value) -> Response<Full<Bytes>> {
        let Some(function) = self.functions.get_mut(name) else { return not_found(name) };
        for (key, value) in body.as_object().unwrap() {
            function.configuration[key] = value.clone();
        }
        function.pending = 2;
        ok(200, function.configuration.clone())
    }

    fn configuration(&mut self, name: &str) -> Response<Full<Bytes>> {
        let Some(function) = self.functions.get_mut(name) else { return not_found(name) };
        let ready = function.pending == 0;
        function.pending = function.pending.saturating_sub(1);
        function.configuration["State"] = "Active".into();
        function.configuration["LastUpdateStatus"] = if ready { "Successful" } else { "InProgress" }.into();
        ok(200, function.configuration.clone())
    }

    fn function(&mut self, name: &str) -> Response<Full<Bytes>> {
        let Some(function) = self.functions.get(name) else { return not_found(name) };
        ok(200, json!({"Configuration": function.configuration, "Tags": function.tags}))
    }

    fn tag(&mut self, arn: &str, body: &Value) -> Response<Full<Bytes>> {
        let name = arn.rsplit("%3A").next().unwrap();
        let Some(function) = self.functions.get_mut(name) else { return not_found(name) };
        if function.tags.is_null() {
            function.tags = json!({});
        }
        let tags = function.tags.as_object_mut().unwrap();
        tags.extend(body["Tags"].as_object().unwrap().clone());
        Response::builder().status(204).body(Full::default()).unwrap()
    }

    fn delete(&mut self, name: &str) -> Response<Full<Bytes>> {
        match self.functions.remove(name) {
            Some(_) => Response::builder().status(204).body(Full::default()).unwrap(),
            None => not_found(name),
        }
    }

    fn list(&self, target: &str) -> Response<Full<Bytes>> {
        let start: usize = target.split_once("Marker=").map_or(0, |(_, marker)| marker.parse().unwrap());
        let all: Vec<Value> = self.functions.values().map(|f| f.configuration.clone()).collect();
        let end = (start + PAGE).min(all.len());
        let next = (end < all.len()).then(|| end.to_string());
        ok(200, json!({"Functions": all[start..end], "NextMarker": next}))
    }

    /// A function whose name has `fail` in it fails; every other one greets.
    fn invoke(&mut self, name: &str, event: &Value, kind: &str, log: &str) -> Response<Full<Bytes>> {
        if !self.functions.contains_key(name) {
            return not_found(name);
        }
        let response = Response::builder().header("x-amzn-RequestId", "11-22");
        if kind == "Event" {
            return response.status(202).body(Full::default()).unwrap();
        }
        let mut response = response.status(200).header("x-amz-executed-version", "$LATEST");
        if log == "Tail" {
            let tail = "START RequestId: 11-22 Version: $LATEST\ngreeting\nEND RequestId: 11-22\nREPORT RequestId: \
                        11-22\tDuration: 1.50 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 31 \
                        MB\tInit Duration: 9.00 ms\t\n";
            response = response.header("x-amz-log-result", STANDARD.encode(tail));
        }
        let body = if name.contains("fail") {
            response = response.header("x-amz-function-error", "Unhandled");
            json!({"errorType": "KeyError", "errorMessage": "'x'", "stackTrace": ["File app.py, line 3"]})
        } else {
            json!({"message": format!("Hello, {}!", event["name"].as_str().unwrap_or("World"))})
        };
        response.body(Full::from(body.to_string())).unwrap()
    }

    fn filter(&self, query: &Value) -> Response<Full<Bytes>> {
        let group = query["logGroupName"].as_str().unwrap();
        if !self.logs.iter().any(|event| event["group"] == group) {
            let body = json!({"__type": "ResourceNotFoundException", "message": "The specified log group does not exist."});
            return ok(400, body);
        }
        let start = query["startTime"].as_i64().unwrap();
        let found: Vec<&Value> = self
            .logs
            .iter()
            .filter(|event| event["group"] == group && event["timestamp"].as_i64().unwrap() >= start)
            .collect();
        let from: usize = query["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let to = (from + PAGE).min(found.len());
        let next = (to < found.len()).then(|| to.to_string());
        ok(200, json!({"events": found[from..to], "nextToken": next}))
    }
}

impl Function {
    fn set_code(&mut self, zip: Vec<u8>) {
        self.configuration["CodeSha256"] = Sha256Digest::of(&zip).to_base64().into();
        self.configuration["CodeSize"] = zip.len().into();
        self.zip = zip;
        self.pending = 2;
    }

    /// The names and contents of the packaged files.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&self.zip)).unwrap();
        (0..archive.len())
            .map(|i| {
                let mut file = archive.by_index(i).unwrap();
                let name = file.name().unwrap().into_owned();
                let mut content = String::new();
                std::io::Read::read_to_string(&mut file, &mut content).unwrap();
                (name, content)
            })
            .collect()
    }
}

/// Starts stubs. The first one listens where [`Stub::serve`] is told to; `taken` makes every fixed port
/// one in use.
#[derive(Default, Clone)]
pub(crate) struct FakeDaemon {
    pub(crate) taken: bool,
    pub(crate) running: Arc<Mutex<Option<Stub>>>,
    pub(crate) started: Arc<Mutex<Vec<ServeArgs>>>,
    pub(crate) stopped: Arc<Mutex<bool>>,
}

impl FakeDaemon {
    pub(crate) fn stub(&self) -> Stub {
        self.running.lock().unwrap().clone().expect("the daemon was started")
    }
}

impl Daemon for FakeDaemon {
    fn start(&self, args: ServeArgs) -> BoxFuture<'_, Result<RunningDaemon, StartError>> {
        Box::pin(async move {
            self.started.lock().unwrap().push(args.clone());
            if self.taken && args.listen.port() != 0 {
                return Err(StartError::PortInUse(args.listen));
            }
            // A second start finds what the first left behind, as on a disk.
            let old = self.running.lock().unwrap().clone();
            let stub = match old {
                Some(stub) => stub,
                None => Stub::start().await,
            };
            *self.running.lock().unwrap() = Some(stub.clone());
            let stopped = Arc::clone(&self.stopped);
            let runtime = |id: &str| RuntimeFound {
                id: id.into(),
                created_as: id.into(),
                path: "/usr/bin/x".into(),
                version: "1".into(),
            };
            Ok(RunningDaemon {
                endpoint: stub.address,
                isolation: "namespaces".into(),
                network: "nat".into(),
                runtimes: vec![runtime("nodejs20.x"), runtime("python3.9"), runtime("python3.11")],
                data: args.data,
                stop: Box::new(move || Box::pin(async move { *stopped.lock().unwrap() = true })),
            })
        })
    }
}

pub(crate) struct FakeInspector {
    level: IsolationStatus,
}

impl FakeInspector {
    pub(crate) fn healthy() -> Self {
        Self { level: IsolationStatus::Available }
    }

    pub(crate) fn without_isolation() -> Self {
        let remedy = "sysctl -w user.max_user_namespaces=10000".into();
        Self { level: IsolationStatus::Unavailable { reason: "user namespaces are off".into(), remedy } }
    }
}

impl Inspector for FakeInspector {
    fn inspect(&self, data_dir: &Path, _isolation: &IsolationChoice) -> DoctorReport {
        DoctorReport {
            kernel_release: "6.8.0".into(),
            kernel: vec![Check::degraded(
                "landlock",
                "absent",
                "boot a kernel with CONFIG_SECURITY_LANDLOCK",
            )],
            isolation: vec![IsolationLevel {
                name: "namespaces".into(),
                detail: None,
                status: self.level.clone(),
            }],
            isolation_in_force: (self.level == IsolationStatus::Available).then(|| "namespaces".into()),
            limits: vec![Check::ok("memory", "cgroup v2")],
            network: vec![Check::degraded("nat", "pasta is not installed", "apt install passt")],
            runtimes: vec![],
            missing_runtimes: vec![],
            data_dir: data_dir.to_owned(),
            data: vec![Check::ok("writable", "12 GB free")],
        }
    }

    fn runtimes(&self, query: RuntimesQuery) -> BoxFuture<'_, Result<Vec<RuntimeStatus>, StartError>> {
        Box::pin(async move {
            let mut runtimes = vec![RuntimeStatus {
                id: "ruby3.4".into(),
                state: RuntimeState::Missing,
                version: None,
                runs: None,
                root: None,
                toolchain: None,
                sdk: None,
                deprecation: None,
                deprecated: false,
                remedy: Some(format!("look into {}", query.data.display())),
            }];
            for RuntimeRoot { id, path } in query.runtime_roots {
                if path == "/broken" {
                    let (reason, remedy) = ("it is empty".into(), "unpack something into it".into());
                    return Err(StartError::RuntimeRoot { id, path, reason, remedy });
                }
                runtimes.push(RuntimeStatus {
                    id,
                    state: RuntimeState::Available,
                    version: Some("3.12.4".into()),
                    runs: Some(RuntimeProgram::Interpreter { path: "/usr/bin/python3.12".into() }),
                    root: Some(RootStatus::Directory { path: path.into() }),
                    toolchain: None,
                    sdk: None,
                    deprecation: None,
                    deprecated: false,
                    remedy: None,
                });
            }
            Ok(runtimes)
        })
    }
}

impl Installer for FakeInspector {
    fn add<'a>(
        &'a self,
        request: AddRuntime,
        progress: &'a (dyn Fn(AddProgress) + Send + Sync),
    ) -> BoxFuture<'a, Result<AddedRuntime, InstallError>> {
        Box::pin(async move {
            let url = request.npm_registry.unwrap_or_else(|| "http://registry".into());
            progress(AddProgress::Asking { registry: url.clone() });
            for received in [0, 5, 10] {
                progress(AddProgress::Downloading { url: url.clone(), received, total: Some(10) });
            }
            if request.id == "cobol" {
                return Err(InstallError {
                    reason: "no such runtime".into(),
                    remedy: "choose another".into(),
                });
            }
            Ok(AddedRuntime {
                name: format!("{}-toolchain", request.id),
                version: Some("22.1.0".into()),
                directory: request.toolchains.join("it"),
                source: request.from.unwrap_or(url),
                checksum: Some("sha512-x".into()),
                already: false,
                needs_restart: false,
                id: request.id,
            })
        })
    }

    fn remove(&self, toolchains: &Path, id: &str) -> Result<Vec<String>, InstallError> {
        Ok(vec![format!("{id} of {}", toolchains.display())])
    }
}
