//! What a subscriber asks for.

use std::time::Duration;

use http::Uri;
use serde_json::Value;

use super::Category;

/// Which of the two APIs was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Telemetry,
    Logs,
}

impl Api {
    /// The first word of its log line.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Telemetry => "TELEMETRY",
            Self::Logs => "LOGS",
        }
    }
}

/// A version of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    Logs20200815,
    Logs20210318,
    Telemetry20220701,
    Telemetry20221213,
    Telemetry20250129,
}

impl Schema {
    const ALL: [(&'static str, Self); 5] = [
        ("2020-08-15", Self::Logs20200815),
        ("2021-03-18", Self::Logs20210318),
        ("2022-07-01", Self::Telemetry20220701),
        ("2022-12-13", Self::Telemetry20221213),
        ("2025-01-29", Self::Telemetry20250129),
    ];

    pub(crate) fn api(self) -> Api {
        match self {
            Self::Logs20200815 | Self::Logs20210318 => Api::Logs,
            Self::Telemetry20220701 | Self::Telemetry20221213 | Self::Telemetry20250129 => Api::Telemetry,
        }
    }

    /// Whether a version of the Logs API has records of a type.
    pub(super) fn has(self, kind: &str) -> bool {
        kind != "platform.runtimeDone" || self != Self::Logs20200815
    }

    /// Whether what is an object in the log is an object in the record.
    pub(super) fn has_objects(self) -> bool {
        matches!(self, Self::Telemetry20221213 | Self::Telemetry20250129)
    }
}

/// How much is collected before it is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Buffering {
    pub(super) max_items: usize,
    pub(super) max_bytes: usize,
    pub(super) timeout: Duration,
}

/// Where a subscriber listens, on the sandbox's loopback interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    Http { port: u16, path: String, method: http::Method },
    Tcp { port: u16 },
}

/// What a subscriber asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) schema: Schema,
    pub(crate) types: Vec<Category>,
    pub(super) destination: Destination,
    pub(super) buffering: Buffering,
}

/// Names that lead to the sandbox itself.
const OWN_NAMES: [&str; 3] = ["sandbox.localdomain", "sandbox.local", "sandbox"];

/// The port that the service keeps for itself.
const RUNTIME_API_PORT: u16 = 9001;

impl Subscription {
    /// Reads a request; an error lists all that is wrong.
    pub(crate) fn parse(api: Api, body: &[u8]) -> Result<Self, String> {
        let document: Value =
            serde_json::from_slice(body).map_err(|error| format!("invalid JSON: {error}"))?;
        if !document.is_object() {
            return Err("request body should be an object".to_owned());
        }
        let mut wrong = Vec::new();
        let schema = schema(api, &document["schemaVersion"]).map_err(|text| wrong.push(text));
        let types = types(&document["types"]).map_err(|text| wrong.push(text));
        let destination = destination(&document["destination"]).map_err(|text| wrong.push(text));
        let buffering = buffering(&document["buffering"]).map_err(|texts| wrong.extend(texts));
        match (schema, types, destination, buffering) {
            (Ok(schema), Ok(types), Ok(destination), Ok(buffering)) => {
                Ok(Self { schema, types, destination, buffering })
            }
            _ => Err(wrong.join("; ")),
        }
    }
}

fn schema(api: Api, value: &Value) -> Result<Schema, String> {
    // The Logs API had no versions at first.
    if value.is_null() && api == Api::Logs {
        return Ok(Schema::Logs20200815);
    }
    let name = value.as_str().ok_or("schemaVersion is not provided")?;
    let found = Schema::ALL.into_iter().find(|(known, schema)| *known == name && schema.api() == api);
    found.map(|(_, schema)| schema).ok_or_else(|| format!("schemaVersion {name} is not supported"))
}

fn types(value: &Value) -> Result<Vec<Category>, String> {
    let names = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if names.is_empty() {
        return Err("types should not be empty".to_owned());
    }
    let mut types = Vec::new();
    for name in names {
        let category = name.as_str().and_then(Category::of);
        let category = category.ok_or_else(|| format!("type {name} is not supported"))?;
        if !types.contains(&category) {
            types.push(category);
        }
    }
    Ok(types)
}

fn destination(value: &Value) -> Result<Destination, String> {
    let is = |field: &Value, name: &str| field.as_str().is_some_and(|text| text.eq_ignore_ascii_case(name));
    if !value.is_object() {
        return Err("destination is not provided".to_owned());
    }
    let destination = match &value["protocol"] {
        protocol if is(protocol, "HTTP") => http_destination(value)?,
        protocol if is(protocol, "TCP") => {
            let port = value["port"].as_u64().and_then(|port| u16::try_from(port).ok());
            Destination::Tcp { port: port.ok_or("port is not provided")? }
        }
        Value::Null => return Err("protocol is not provided".to_owned()),
        other => return Err(format!("protocol {other} is not supported")),
    };
    match destination {
        Destination::Http { port: 0, .. } | Destination::Tcp { port: 0 } => {
            Err("port 0 is not valid".to_owned())
        }
        Destination::Http { port: RUNTIME_API_PORT, .. } | Destination::Tcp { port: RUNTIME_API_PORT } => {
            Err(format!("port {RUNTIME_API_PORT} is reserved"))
        }
        other => Ok(other),
    }
}

fn http_destination(value: &Value) -> Result<Destination, String> {
    let uri = value["URI"].as_str().ok_or("URI is not provided")?;
    let uri: Uri = uri.parse().map_err(|_| format!("URI {uri} is not valid"))?;
    if uri.scheme_str() != Some("http") {
        return Err("URI scheme should be http".to_owned());
    }
    if !uri.host().is_some_and(|host| OWN_NAMES.contains(&host)) {
        return Err("URI host should be sandbox.localdomain".to_owned());
    }
    let port = uri.port_u16().ok_or("URI port is not provided")?;
    let method = match &value["method"] {
        Value::Null => http::Method::POST,
        Value::String(name) if name == "POST" => http::Method::POST,
        Value::String(name) if name == "PUT" => http::Method::PUT,
        other => return Err(format!("method {other} is not supported")),
    };
    match &value["encoding"] {
        Value::Null => {}
        Value::String(name) if name == "JSON" => {}
        other => return Err(format!("encoding {other} is not supported")),
    }
    let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    Ok(Destination::Http { port, path, method })
}

fn buffering(value: &Value) -> Result<Buffering, Vec<String>> {
    let mut wrong = Vec::new();
    if !value.is_null() && !value.is_object() {
        return Err(vec!["buffering should be an object".to_owned()]);
    }
    let mut number = |name: &str, least: u64, most: u64, default: u64| match &value[name] {
        Value::Null => default,
        given => match given.as_u64().filter(|number| (least..=most).contains(number)) {
            Some(number) => number,
            None => {
                wrong.push(format!("{name} should be between {least} and {most}"));
                default
            }
        },
    };
    let max_items = number("maxItems", 1000, 10_000, 10_000) as usize;
    let max_bytes = number("maxBytes", 262_144, 1_048_576, 262_144) as usize;
    let timeout = Duration::from_millis(number("timeoutMs", 25, 30_000, 1000));
    if wrong.is_empty() { Ok(Buffering { max_items, max_bytes, timeout }) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(api: Api, body: &str) -> Result<Subscription, String> {
        Subscription::parse(api, body.as_bytes())
    }

    #[test]
    fn what_is_not_said_has_defaults() {
        let body = r#"{"schemaVersion":"2022-12-13","types":["platform","function","platform"],
            "destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain:8080/here?a=b"}}"#;
        let expected = Subscription {
            schema: Schema::Telemetry20221213,
            types: vec![Category::Platform, Category::Function],
            destination: Destination::Http {
                port: 8080,
                path: "/here?a=b".to_owned(),
                method: http::Method::POST,
            },
            buffering: Buffering { max_items: 10_000, max_bytes: 262_144, timeout: Duration::from_secs(1) },
        };
        assert_eq!(parse(Api::Telemetry, body), Ok(expected));
        let body = r#"{"types":["extension"],"destination":{"protocol":"TCP","port":8080},
            "buffering":{"maxItems":1000,"maxBytes":1048576,"timeoutMs":25}}"#;
        let parsed = parse(Api::Logs, body).unwrap();
        assert_eq!(
            (parsed.schema, parsed.destination),
            (Schema::Logs20200815, Destination::Tcp { port: 8080 })
        );
        assert_eq!(
            parsed.buffering,
            Buffering { max_items: 1000, max_bytes: 1_048_576, timeout: Duration::from_millis(25) }
        );
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let error = |body: &str| parse(Api::Telemetry, body).unwrap_err();
        let body = r#"{"schemaVersion":"2022-07-01","types":[],
            "destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain"}}"#;
        assert_eq!(error(body), "types should not be empty; URI port is not provided");
        assert!(error("{").starts_with("invalid JSON"));
        assert_eq!(error("[]"), "request body should be an object");
        assert_eq!(
            error("{}"),
            "schemaVersion is not provided; types should not be empty; destination is not provided"
        );
        let with = |destination: &str, buffering: &str| {
            error(&format!(
                r#"{{"schemaVersion":"2022-07-01","types":["platform"],"destination":{destination},"buffering":{buffering}}}"#
            ))
        };
        for (destination, text) in [
            (
                r#"{"protocol":"HTTP","URI":"http://example.com:80"}"#,
                "URI host should be sandbox.localdomain",
            ),
            (r#"{"protocol":"HTTP","URI":"https://sandbox.localdomain:80"}"#, "URI scheme should be http"),
            (r#"{"protocol":"HTTP","URI":"http://sandbox.localdomain:9001"}"#, "port 9001 is reserved"),
            (r#"{"protocol":"HTTP"}"#, "URI is not provided"),
            (r#"{"protocol":"TCP","port":65536}"#, "port is not provided"),
            (r#"{"protocol":"UDP","port":1}"#, r#"protocol "UDP" is not supported"#),
        ] {
            assert_eq!(with(destination, "null"), text);
        }
        let good = r#"{"protocol":"TCP","port":1}"#;
        assert_eq!(
            with(good, r#"{"maxItems":999,"maxBytes":262143,"timeoutMs":30001}"#),
            "maxItems should be between 1000 and 10000; maxBytes should be between 262144 and 1048576; \
             timeoutMs should be between 25 and 30000"
        );
        let other = r#"{"schemaVersion":"2020-08-15","types":["platform"],"destination":{"protocol":"TCP","port":1}}"#;
        assert_eq!(error(other), "schemaVersion 2020-08-15 is not supported");
    }
}
