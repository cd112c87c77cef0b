//! Values of options, checked while parsing.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lambd_types::{AccountId, NetworkPolicy, Region};

use super::RuntimeSubstitution;
use crate::failure::Failure;
use crate::ports::RuntimeRoot;

/// A function to debug, and the port for its debugger; without one, the usual port of its language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Debugged {
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
}

impl FromStr for Debugged {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, port) = match text.split_once(':') {
            None => (text, None),
            Some((name, port)) => match port.parse() {
                Ok(port) if port > 0 => (name, Some(port)),
                _ => return Err("a port is a number from 1 to 65535"),
            },
        };
        if name.is_empty() {
            return Err("a function's name comes first");
        }
        Ok(Self { name: name.to_owned(), port })
    }
}

/// A JSON document and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    /// The argument itself.
    Inline(String),
    /// `@FILE`.
    File(PathBuf),
    /// `-`.
    Stdin,
}

impl FromStr for Document {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix('@')) {
            ("-", _) => Ok(Self::Stdin),
            (_, Some("")) => Err("a file name must follow the @"),
            (_, Some(file)) => Ok(Self::File(file.into())),
            (_, None) => Ok(Self::Inline(text.to_owned())),
        }
    }
}

impl Document {
    /// Reads it, whatever is in it.
    pub(crate) async fn read(&self) -> Result<Vec<u8>, Failure> {
        use std::io::Read as _;

        match self {
            Self::Inline(text) => Ok(text.clone().into_bytes()),
            Self::File(path) => tokio::fs::read(path)
                .await
                .map_err(|source| Failure::Unreadable { path: path.clone(), source }),
            Self::Stdin => {
                let read = || {
                    let mut bytes = Vec::new();
                    std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
                };
                // The blocking read ends with the input; nothing else can run out of this thread pool.
                let bytes =
                    tokio::task::spawn_blocking(read).await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
                bytes.map_err(|source| Failure::Unreadable { path: "standard input".into(), source })
            }
        }
    }

    /// Reads it and refuses what is not JSON.
    pub(crate) async fn read_json(&self) -> Result<Vec<u8>, Failure> {
        let bytes = self.read().await?;
        match serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
            Ok(_) => Ok(bytes),
            Err(source) => Err(Failure::NotJson { what: self.to_string(), source }),
        }
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(text) => f.write_str(text),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

/// Where a daemon listens: `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host and port, as the `Host` header has them.
    pub(crate) authority: String,
}

impl Endpoint {
    /// Host and port for connecting; port 80 where none is given.
    pub(crate) fn address(&self) -> String {
        let has_port = self.authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port { self.authority.clone() } else { format!("{}:80", self.authority) }
    }
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: http::Uri = text.parse().map_err(|_| "not a URL such as http://127.0.0.1:4566")?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) if matches!(uri.path(), "" | "/") => {
                Ok(Self { authority: authority.to_string() })
            }
            (Some("https"), _) => {
                Err("this command speaks plain http only; use the aws command for https endpoints")
            }
            _ => Err("not a URL such as http://127.0.0.1:4566"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// The base URL of a service elsewhere.
pub(super) fn base_url(text: &str) -> Result<String, &'static str> {
    let uri: Option<http::Uri> = text.replace("{region}", "region").parse().ok();
    let is_base = |uri: &http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    };
    match uri.filter(is_base) {
        Some(_) => Ok(text.to_owned()),
        None => Err("not a URL such as http://127.0.0.1:9000"),
    }
}

/// What keeps functions apart from the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum IsolationChoice {
    /// The strongest level that works.
    #[default]
    Auto,
    /// The level of this name and no other.
    Only(String),
    /// A container that an OCI runtime makes, and no other level.
    Oci {
        /// Name or path of the runtime; else the first that is installed.
        runtime: Option<String>,
        /// Further options for it.
        args: Vec<String>,
    },
}

impl FromStr for IsolationChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "namespaces" | "process" => Ok(Self::Only(text.to_owned())),
            "oci" => Ok(Self::Oci { runtime: None, args: Vec::new() }),
            _ => Err("not an isolation level: auto, namespaces, process or oci"),
        }
    }
}

impl fmt::Display for IsolationChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(level) => f.write_str(level),
            Self::Oci { .. } => f.write_str("oci"),
        }
    }
}

/// Which network functions see that ask for none themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NetworkChoice {
    /// Connections to the outside where that works, else none.
    #[default]
    Auto,
    /// This and no other.
    Only(NetworkPolicy),
}

impl FromStr for NetworkChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Only).map_err(|_| "not one of auto, nat, none and host"),
        }
    }
}

impl fmt::Display for NetworkChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(policy) => policy.fmt(f),
        }
    }
}

pub(super) fn region(text: &str) -> Result<Region, &'static str> {
    Region::parse(text).ok_or("not a region such as us-east-1")
}

pub(super) fn account(text: &str) -> Result<AccountId, &'static str> {
    AccountId::parse(text).ok_or("not twelve digits")
}

pub(super) fn runtime_root(text: &str) -> Result<RuntimeRoot, &'static str> {
    match text.split_once('=') {
        Some((id, path)) if !id.is_empty() && !path.is_empty() => {
            Ok(RuntimeRoot { id: id.to_owned(), path: path.to_owned() })
        }
        _ => Err("not of the form ID=PATH, such as python3.12=/images/python"),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "not a duration such as 30s, 10m, 2h or 7d";
    let unit = text.chars().next_back().ok_or(FORM)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(FORM),
    };
    let count: u32 = text[..text.len() - 1].parse().map_err(|_| FORM)?;
    Ok(Duration::from_secs(u64::from(count) * seconds))
}

/// A rule for all runtimes, or for one or a family of them: `never`, `python3.12=nearest`.
pub(super) fn substitution(text: &str) -> Result<(Option<String>, RuntimeSubstitution), String> {
    let (id, rule) = match text.split_once('=') {
        Some((id, rule)) => (Some(id.to_owned()), rule),
        None => (None, text),
    };
    let rule = <RuntimeSubstitution as clap::ValueEnum>::from_str(rule, false);
    rule.map(|rule| (id, rule)).map_err(|_| "it is nearest or never, or ID=nearest or ID=never".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_from_three_places() {
        assert_eq!("-".parse(), Ok(Document::Stdin));
        assert_eq!("@a.json".parse(), Ok(Document::File("a.json".into())));
        assert_eq!("{}".parse(), Ok(Document::Inline("{}".into())));
        assert!("@".parse::<Document>().is_err());
    }

    #[test]
    fn endpoints_are_plain_http() {
        assert_eq!("http://127.0.0.1:4566".parse::<Endpoint>().unwrap().address(), "127.0.0.1:4566");
        assert_eq!("http://lambda.local/".parse::<Endpoint>().unwrap().address(), "lambda.local:80");
        assert_eq!("http://[::1]:9".parse::<Endpoint>().unwrap().address(), "[::1]:9");
        assert_eq!("http://[::1]".parse::<Endpoint>().unwrap().address(), "[::1]:80");
        for bad in ["", "localhost:4566", "https://a", "http://a/b", "http://", "ftp://a"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn isolation_levels_are_known_by_name() {
        assert_eq!("auto".parse(), Ok(IsolationChoice::Auto));
        assert_eq!("process".parse(), Ok(IsolationChoice::Only("process".into())));
        assert!("none".parse::<IsolationChoice>().is_err());
    }

    #[test]
    fn networks_are_known_by_name() {
        assert_eq!("auto".parse(), Ok(NetworkChoice::Auto));
        assert_eq!("host".parse(), Ok(NetworkChoice::Only(NetworkPolicy::Host)));
        assert!("bridge".parse::<NetworkChoice>().is_err());
        for text in ["auto", "nat", "none", "host"] {
            assert_eq!(text.parse::<NetworkChoice>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn durations_have_one_unit() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "m", "10", "-1m", "1.5h", "10ä", "99999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
