//! Operations and their paths (API-101..149, API-401..436).

mod compatibility;
mod offered;
mod unoffered;

use std::sync::LazyLock;

use http::Method;

use crate::archive;

pub use compatibility::table as compatibility_table;
pub use offered::{Effect, Operation};
pub use unoffered::Unoffered;

/// A request's operation and the labels of its path, percent-decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What is asked for.
    pub operation: Operation,
    labels: Vec<(&'static str, String)>,
}

impl Route {
    /// A label by its name in the path's pattern, such as `Name`; empty where the pattern has none of it.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }

    /// `{FunctionName}` of the path, empty for operations without one.
    pub fn function_name(&self) -> &str {
        self.label("FunctionName")
    }
}

/// What a method and path ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routed {
    /// An operation that lambd offers.
    Offered(Route),
    /// One that it does not.
    Unoffered(&'static Unoffered),
    /// None of the Lambda API.
    Unknown,
}

impl Operation {
    /// The name as the API reference has it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What it does to the world.
    pub fn effect(self) -> Effect {
        self.row().effect
    }

    /// Where a request for it carries an archive.
    pub fn archive(self) -> Option<archive::Path> {
        match self {
            Self::CreateFunction => Some(&["Code", "ZipFile"]),
            Self::PublishLayerVersion => Some(&["Content", "ZipFile"]),
            Self::UpdateFunctionCode => Some(&["ZipFile"]),
            _ => None,
        }
    }

    /// Finds the operation of a request. `path` is as sent: labels may be percent-encoded (API-701) and
    /// a trailing slash is allowed everywhere (API-602). `query` tells whether the query has a pair: some
    /// operations share their path and are told apart by one (API-704).
    pub fn route(method: &Method, path: &str, query: impl Fn(&str, &str) -> bool) -> Routed {
        let Some(segments) = Segments::of(path) else { return Routed::Unknown };
        match find(method, &segments, query).map(|pattern| (pattern, pattern.leads_to)) {
            None => Routed::Unknown,
            Some((_, Target::Unoffered(unoffered))) => Routed::Unoffered(unoffered),
            Some((pattern, Target::Offered(operation))) => {
                Routed::Offered(Route { operation, labels: pattern.labels(segments.list()) })
            }
        }
    }

    /// Which operation [`Self::route`] finds, if it is offered: for those who want no more.
    pub fn of(method: &Method, path: &str, query: impl Fn(&str, &str) -> bool) -> Option<Self> {
        match find(method, &Segments::of(path)?, query)?.leads_to {
            Target::Offered(operation) => Some(operation),
            Target::Unoffered(_) => None,
        }
    }
}

fn find(
    method: &Method,
    segments: &Segments<'_>,
    query: impl Fn(&str, &str) -> bool,
) -> Option<&'static Pattern> {
    let has = |pair: &Option<(&str, &str)>| pair.is_none_or(|(name, value)| query(name, value));
    let fits = |pattern: &&Pattern| {
        pattern.method == *method && pattern.matches(segments.list()) && has(&pattern.query)
    };
    PATTERNS.iter().find(fits)
}

/// A path, taken apart.
struct Segments<'a> {
    all: [&'a str; SEGMENTS_MAX],
    count: usize,
}

impl<'a> Segments<'a> {
    /// `None` when there are more than any pattern has.
    fn of(path: &'a str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path).strip_prefix('/')?;
        let (mut all, mut count) = ([""; SEGMENTS_MAX], 0);
        for segment in path.split('/') {
            *all.get_mut(count)? = segment;
            count += 1;
        }
        Some(Self { all, count })
    }

    fn list(&self) -> &[&'a str] {
        &self.all[..self.count]
    }
}

/// Segments of the longest path.
const SEGMENTS_MAX: usize = 7;

/// The path of an operation, taken apart once.
struct Pattern {
    method: Method,
    segments: Vec<Segment>,
    query: Option<(&'static str, &'static str)>,
    leads_to: Target,
}

enum Segment {
    Text(&'static str),
    Label(&'static str),
}

#[derive(Clone, Copy)]
enum Target {
    Offered(Operation),
    Unoffered(&'static Unoffered),
}

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let offered = Operation::ALL.iter().map(|operation| {
        let row = operation.row();
        Pattern::new(row.method, row.path, Target::Offered(*operation))
    });
    let unoffered = unoffered::UNOFFERED.iter().map(|row| {
        let method = Method::from_bytes(row.method.as_bytes()).unwrap_or_default();
        Pattern::new(method, row.path, Target::Unoffered(row))
    });
    let mut patterns: Vec<Pattern> = offered.chain(unoffered).collect();
    // The more is said, the earlier it is tried; and invocations before all others.
    patterns.sort_by_key(|pattern| {
        let is_invoke = matches!(pattern.leads_to, Target::Offered(Operation::Invoke));
        let labels = pattern.segments.iter().filter(|s| matches!(s, Segment::Label(_))).count();
        (!is_invoke, pattern.query.is_none(), labels)
    });
    patterns
});

impl Pattern {
    fn new(method: Method, path: &'static str, leads_to: Target) -> Self {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, query.split_once('=')),
            None => (path, None),
        };
        let segments = path.trim_matches('/').split('/').map(|segment| {
            match segment.strip_prefix('{').and_then(|label| label.strip_suffix('}')) {
                Some(label) => Segment::Label(label),
                None => Segment::Text(segment),
            }
        });
        Self { method, segments: segments.collect(), query, leads_to }
    }

    fn matches(&self, segments: &[&str]) -> bool {
        self.segments.len() == segments.len()
            && self.segments.iter().zip(segments).all(|(pattern, segment)| match pattern {
                Segment::Text(text) => text == segment,
                Segment::Label(_) => !segment.is_empty(),
            })
    }

    fn labels(&self, segments: &[&str]) -> Vec<(&'static str, String)> {
        let pairs = self.segments.iter().zip(segments);
        pairs
            .filter_map(|(pattern, segment)| match pattern {
                Segment::Text(_) => None,
                Segment::Label(label) => Some((*label, percent_decode(segment))),
            })
            .collect()
    }
}

fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: Method, path: &str) -> Routed {
        Operation::route(&method, path, |_, _| false)
    }

    fn offered(method: Method, path: &str) -> Option<(Operation, String)> {
        match route(method, path) {
            Routed::Offered(route) => Some((route.operation, route.function_name().to_owned())),
            Routed::Unoffered(_) | Routed::Unknown => None,
        }
    }

    /// API-701: encoded and plain ARNs route alike. API-602: so do trailing slashes.
    #[test]
    fn every_form_of_a_path_routes() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f:PROD";
        let encoded = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af%3APROD/invocations";
        assert_eq!(offered(Method::POST, encoded), Some((Operation::Invoke, arn.into())));
        let plain = format!("/2015-03-31/functions/{arn}/invocations");
        assert_eq!(offered(Method::POST, &plain), Some((Operation::Invoke, arn.into())));
        for path in ["/2015-03-31/functions", "/2015-03-31/functions/"] {
            assert_eq!(offered(Method::GET, path), Some((Operation::ListFunctions, String::new())));
            assert_eq!(offered(Method::POST, path), Some((Operation::CreateFunction, String::new())));
        }
        let Routed::Offered(alias) = route(Method::PUT, "/2015-03-31/functions/f/aliases/a%2Db") else {
            panic!("an alias has a path")
        };
        assert_eq!((alias.function_name(), alias.label("Name"), alias.label("UUID")), ("f", "a-b", ""));
    }

    #[test]
    fn other_paths_do_not_route() {
        for path in [
            "",
            "/",
            "/2015-03-31",
            "/2015-03-31/functions/f/what",
            "/2015-03-31/functions/f/code/x/y",
            "/2015-03-31/functions//code",
            "/1/2/3/4/5/6/7/8",
        ] {
            assert_eq!(route(Method::PUT, path), Routed::Unknown, "{path}");
        }
        assert_eq!(route(Method::PATCH, "/2015-03-31/functions"), Routed::Unknown);
    }

    /// Every operation is found by its own path, whatever others look like it (API-704).
    #[test]
    fn no_operation_hides_another() {
        let fill = |path: &str| path.replace(['{', '}'], "");
        let name_of = |method: &Method, pattern: &str| {
            let (path, pair) = pattern.split_once('?').unwrap_or((pattern, ""));
            let has = |name: &str, value: &str| pair == format!("{name}={value}");
            match Operation::route(method, &fill(path), has) {
                Routed::Offered(route) => route.operation.name(),
                Routed::Unoffered(unoffered) => unoffered.name,
                Routed::Unknown => "",
            }
        };
        for operation in Operation::ALL {
            let row = operation.row();
            assert_eq!(name_of(&row.method, row.path), row.name);
        }
        for row in unoffered::UNOFFERED {
            let method = Method::from_bytes(row.method.as_bytes()).unwrap();
            assert_eq!(name_of(&method, row.path), row.name);
        }
    }

    #[test]
    fn broken_percent_sequences_are_kept_as_they_are() {
        assert_eq!(percent_decode("a%2"), "a%2");
        assert_eq!(percent_decode("a%zz%41"), "a%zzA");
        assert_eq!(percent_decode("%é"), "%é");
    }
}
