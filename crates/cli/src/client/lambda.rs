//! The calls of the Lambda API that the command line makes.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Client, ClientError, JSON, decoded, encoded};

const FUNCTIONS: &str = "/2015-03-31/functions";
/// What a path segment or a query value may hold as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What the command line reads of a function's configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct FunctionConfiguration {
    pub(crate) function_name: String,
    pub(crate) function_arn: String,
    pub(crate) runtime: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) memory_size: u32,
    pub(crate) timeout: u32,
    pub(crate) code_size: u64,
    pub(crate) code_sha256: String,
    pub(crate) last_modified: String,
    pub(crate) state: Option<String>,
    pub(crate) state_reason: Option<String>,
    pub(crate) last_update_status: Option<String>,
    pub(crate) last_update_status_reason: Option<String>,
    pub(crate) environment: Environment,
}

/// What runs a runtime.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RuntimeInUse {
    pub(crate) id: String,
    pub(crate) version: Option<String>,
    pub(crate) substituted: bool,
}

/// A function's environment variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Environment {
    pub(crate) variables: BTreeMap<String, String>,
}

/// The configuration of a function to be: all of it, so that what is gone from the source goes.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FunctionChange {
    pub(crate) runtime: String,
    pub(crate) handler: String,
    pub(crate) role: String,
    pub(crate) description: String,
    pub(crate) memory_size: u32,
    pub(crate) timeout: u32,
    pub(crate) environment: Environment,
}

impl FunctionChange {
    /// Whether `current` already is what this asks for.
    pub(crate) fn is_in(&self, current: &FunctionConfiguration) -> bool {
        let same = |a: &str, b: &Option<String>| a == b.as_deref().unwrap_or_default();
        same(&self.runtime, &current.runtime)
            && same(&self.handler, &current.handler)
            && same(&self.role, &current.role)
            && same(&self.description, &current.description)
            && self.memory_size == current.memory_size
            && self.timeout == current.timeout
            && self.environment == current.environment
    }
}

/// A function to create.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewFunction<'a> {
    pub(crate) name: &'a str,
    pub(crate) configuration: &'a FunctionChange,
    pub(crate) tags: &'a BTreeMap<String, String>,
    pub(crate) zip: &'a [u8],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateBody<'a> {
    function_name: &'a str,
    code: CodeBody,
    tags: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    configuration: &'a FunctionChange,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tags<'a> {
    tags: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CodeBody {
    zip_file: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tagged {
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionPage {
    functions: Vec<Value>,
    next_marker: Option<String>,
}

/// How to invoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InvocationMode {
    /// Wait for the response; with the end of the log or without.
    Wait { log_tail: bool },
    /// Queue the event.
    Queue,
}

/// What came back from an invocation.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    pub(crate) status: u16,
    pub(crate) request_id: Option<String>,
    pub(crate) executed_version: Option<String>,
    pub(crate) function_error: Option<String>,
    pub(crate) log_tail: Option<String>,
    pub(crate) payload: Bytes,
}

fn function_path(name: &str) -> String {
    format!("{FUNCTIONS}/{}", utf8_percent_encode(name, SEGMENT))
}

impl Client {
    async fn lambda<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        decoded(self.send("lambda", method, path, JSON, body).await?)
    }

    /// Every function, page by page, as the API describes it.
    /// Which runtimes run in which version; nothing if what is at the endpoint does not tell.
    pub(crate) async fn runtimes(&self) -> Vec<RuntimeInUse> {
        let response = self.send("lambda", Method::GET, "/_lambd/runtimes", &[], Bytes::new()).await;
        response.ok().and_then(|response| serde_json::from_slice(response.body()).ok()).unwrap_or_default()
    }

    pub(crate) async fn list_functions(&self) -> Result<Vec<Value>, ClientError> {
        let mut all = Vec::new();
        let mut path = FUNCTIONS.to_owned() + "/";
        loop {
            let page: FunctionPage = self.lambda(Method::GET, &path, Bytes::new()).await?;
            all.extend(page.functions);
            match page.next_marker.filter(|marker| !marker.is_empty()) {
                Some(marker) => {
                    path = format!("{FUNCTIONS}/?Marker={}", utf8_percent_encode(&marker, SEGMENT));
                }
                None => return Ok(all),
            }
        }
    }

    /// The configuration of one function; `None` where there is no such function.
    pub(crate) async fn function(&self, name: &str) -> Result<Option<FunctionConfiguration>, ClientError> {
        let path = function_path(name) + "/configuration";
        match self.lambda(Method::GET, &path, Bytes::new()).await {
            Ok(configuration) => Ok(Some(configuration)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The tags of a function.
    pub(crate) async fn tags(&self, name: &str) -> Result<BTreeMap<String, String>, ClientError> {
        let found: Tagged = self.lambda(Method::GET, &function_path(name), Bytes::new()).await?;
        Ok(found.tags.unwrap_or_default())
    }

    /// `TagResource` and `UntagResource`: gives a function exactly these tags.
    pub(crate) async fn replace_tags(
        &self,
        arn: &str,
        current: &BTreeMap<String, String>,
        wanted: &BTreeMap<String, String>,
    ) -> Result<(), ClientError> {
        let path = format!("/2017-03-31/tags/{}", utf8_percent_encode(arn, SEGMENT));
        let gone = current.keys().filter(|key| !wanted.contains_key(*key));
        let keys: Vec<String> =
            gone.map(|key| format!("tagKeys={}", utf8_percent_encode(key, SEGMENT))).collect();
        if !keys.is_empty() {
            self.done(Method::DELETE, &format!("{path}?{}", keys.join("&")), Bytes::new()).await?;
        }
        if !wanted.is_empty() {
            self.done(Method::POST, &path, encoded(&Tags { tags: wanted })?).await?;
        }
        Ok(())
    }

    /// A call whose answer has no body.
    async fn done(&self, method: Method, path: &str, body: Bytes) -> Result<(), ClientError> {
        let response = self.send("lambda", method, path, JSON, body).await?;
        if response.status().is_success() { Ok(()) } else { Err(ClientError::refused(&response)) }
    }

    /// `CreateFunction`.
    pub(crate) async fn create_function(&self, new: NewFunction<'_>) -> Result<(), ClientError> {
        let body = CreateBody {
            function_name: new.name,
            code: CodeBody { zip_file: STANDARD.encode(new.zip) },
            tags: new.tags,
            configuration: new.configuration,
        };
        self.lambda::<Value>(Method::POST, FUNCTIONS, encoded(&body)?).await.map(drop)
    }

    /// `UpdateFunctionCode`.
    pub(crate) async fn update_code(&self, name: &str, zip: &[u8]) -> Result<(), ClientError> {
        let body = encoded(&CodeBody { zip_file: STANDARD.encode(zip) })?;
        self.lambda::<Value>(Method::PUT, &(function_path(name) + "/code"), body).await.map(drop)
    }

    /// `UpdateFunctionConfiguration`.
    pub(crate) async fn update_configuration(
        &self,
        name: &str,
        to: &FunctionChange,
    ) -> Result<(), ClientError> {
        let path = function_path(name) + "/configuration";
        self.lambda::<Value>(Method::PUT, &path, encoded(to)?).await.map(drop)
    }

    /// `DeleteFunction`.
    pub(crate) async fn delete_function(&self, name: &str) -> Result<(), ClientError> {
        self.done(Method::DELETE, &function_path(name), Bytes::new()).await
    }

    /// Waits until a function can be invoked and its last update is in force.
    pub(crate) async fn wait_until_ready(&self, name: &str) -> Result<FunctionConfiguration, ClientError> {
        // There is nothing to subscribe to in this API: every client polls. A local daemon is ready
        // within milliseconds, so begin there.
        let mut pause = Duration::from_millis(2);
        loop {
            let now = self.function(name).await?.unwrap_or_default();
            let state = now.state.as_deref().unwrap_or("Active");
            let update = now.last_update_status.as_deref().unwrap_or("Successful");
            match (state, update) {
                ("Active" | "Inactive", "Successful") => return Ok(now),
                ("Failed", _) => return Err(not_ready(name, "Failed", now.state_reason)),
                (_, "Failed") => return Err(not_ready(name, "not updated", now.last_update_status_reason)),
                _ => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// `Invoke`. A function's own failure is a success here.
    pub(crate) async fn invoke(
        &self,
        name: &str,
        qualifier: Option<&str>,
        mode: InvocationMode,
        payload: Bytes,
    ) -> Result<Invocation, ClientError> {
        let query =
            qualifier.map(|q| format!("?Qualifier={}", utf8_percent_encode(q, SEGMENT))).unwrap_or_default();
        let path = format!("{}/invocations{query}", function_path(name));
        let headers: &[(&'static str, &str)] = match mode {
            InvocationMode::Wait { log_tail: true } => &[("x-amz-log-type", "Tail")],
            InvocationMode::Wait { log_tail: false } => &[],
            InvocationMode::Queue => &[("x-amz-invocation-type", "Event")],
        };
        let response = self.send("lambda", Method::POST, &path, headers, payload).await?;
        if !response.status().is_success() {
            return Err(ClientError::refused(&response));
        }
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        Ok(Invocation {
            status: response.status().as_u16(),
            request_id: header("x-amzn-requestid"),
            executed_version: header("x-amz-executed-version"),
            function_error: header("x-amz-function-error"),
            log_tail: header("x-amz-log-result")
                .and_then(|text| STANDARD.decode(text).ok())
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            payload: response.into_body(),
        })
    }
}

fn not_ready(name: &str, state: &str, reason: Option<String>) -> ClientError {
    ClientError::NotReady {
        name: name.to_owned(),
        state: state.to_owned(),
        reason: reason.unwrap_or_else(|| "the daemon gave no reason".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_path_segment() {
        assert_eq!(
            function_path("arn:aws:lambda:us-east-1:000000000000:function:f"),
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af"
        );
        assert_eq!(function_path("../x?y"), "/2015-03-31/functions/..%2Fx%3Fy");
    }

    #[test]
    fn a_configuration_is_compared_field_by_field() {
        let change = FunctionChange {
            runtime: "python3.12".into(),
            handler: "app.handler".into(),
            role: "r".into(),
            description: String::new(),
            memory_size: 128,
            timeout: 3,
            environment: Environment::default(),
        };
        let json =
            r#"{"Runtime":"python3.12","Handler":"app.handler","Role":"r","MemorySize":128,"Timeout":3}"#;
        let same: FunctionConfiguration = serde_json::from_str(json).unwrap();
        assert!(change.is_in(&same));
        let mut other = same.clone();
        other.environment.variables.insert("STAGE".into(), "dev".into());
        assert!(!change.is_in(&other));
    }
}
