//! The few API calls that the benchmark makes.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::Error;

/// An update or a creation that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A function to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) runtime: Runtime,
    pub(crate) handler: &'static str,
}

/// How its runtime is called in the API.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Runtime {
    /// `provided.al2023`.
    Provided,
    /// The identifier of the Python on this machine.
    Python,
    /// The identifier of the Node.js on this machine.
    Node,
    /// The oldest Python whose versions may have SnapStart, whatever runs it here.
    PythonWithSnapStart,
}

impl Runtime {
    fn identifier(self) -> Result<String, Error> {
        match self {
            Self::Provided => Ok("provided.al2023".to_owned()),
            Self::Python => Ok(format!(
                "python{}",
                printed("python3", "import sys; print('%d.%d' % sys.version_info[:2])", "-c")?
            )),
            Self::PythonWithSnapStart => Ok("python3.12".to_owned()),
            Self::Node => {
                Ok(format!("nodejs{}.x", printed("node", "process.versions.node.split('.')[0]", "-p")?))
            }
        }
    }
}

fn printed(program: &str, script: &str, flag: &str) -> Result<String, Error> {
    let output = std::process::Command::new(program).args([flag, script]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Creates the function and waits until it can be invoked. Returns its runtime's identifier.
pub(crate) fn create(client: &mut Client, function: Function, package: &Path) -> Result<String, Error> {
    let zip = fs::read(package).map_err(|e| Error::file(package, e))?;
    create_with(client, function, &zip, &json!({}))
}

/// The same with settings instead of the usual ones.
pub(crate) fn create_with(
    client: &mut Client,
    function: Function,
    zip: &[u8],
    settings: &Value,
) -> Result<String, Error> {
    let runtime = function.runtime.identifier()?;
    let mut body = json!({
        "FunctionName": function.name,
        "Runtime": runtime,
        "Handler": function.handler,
        "Role": "arn:aws:iam::000000000000:role/bench",
        "Timeout": 30,
        // One CPU: with less, the share is measured and not the path.
        "MemorySize": 1792,
        "Code": { "ZipFile": STANDARD.encode(zip) },
    });
    for (name, value) in settings.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let request = client.request("POST", "/2015-03-31/functions", body.to_string().as_bytes());
    client.send(&request)?.good()?;
    wait(client, function.name)?;
    Ok(runtime)
}

/// Changes the configuration, so that the next invoke needs a new instance.
pub(crate) fn renew(client: &mut Client, name: &str, mark: usize) -> Result<(), Error> {
    let body = json!({ "Environment": { "Variables": { "BENCH_MARK": mark.to_string() } } });
    let path = format!("/2015-03-31/functions/{name}/configuration");
    let request = client.request("PUT", &path, body.to_string().as_bytes());
    client.send(&request)?.good()?;
    wait(client, name)
}

/// Publishes what is there and waits until it can be invoked. Returns the version.
pub(crate) fn publish(client: &mut Client, name: &str) -> Result<String, Error> {
    let request = client.request("POST", &format!("/2015-03-31/functions/{name}/versions"), b"{}");
    let answer = client.send(&request)?.good()?;
    let published: Value = serde_json::from_slice(answer.body).map_err(|e| Error::Answer(e.to_string()))?;
    let version = published["Version"].as_str().ok_or(Error::Protocol("no version"))?.to_owned();
    wait_for(client, name, &format!("?Qualifier={version}"))?;
    Ok(version)
}

/// The path that invokes a function.
pub(crate) fn invocations(name: &str) -> String {
    format!("/2015-03-31/functions/{name}/invocations")
}

/// Waits until a function can be invoked as it was last changed.
pub(crate) fn wait(client: &mut Client, name: &str) -> Result<(), Error> {
    wait_for(client, name, "")
}

fn wait_for(client: &mut Client, name: &str, query: &str) -> Result<(), Error> {
    let path = format!("/2015-03-31/functions/{name}/configuration{query}");
    let request = client.request("GET", &path, b"");
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let answer = client.send(&request)?.good()?;
        let found: Value = serde_json::from_slice(answer.body).map_err(|e| Error::Answer(e.to_string()))?;
        if found["State"] == "Active" && found["LastUpdateStatus"] == "Successful" {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(Error::Answer(format!("{name} did not become active")))
}
