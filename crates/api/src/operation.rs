//! Operations and their paths (API-101..149).

use http::Method;

/// Every operation of the Lambda API that lambd offers. Adding one: a variant here, its pattern in
/// `Operation::PATTERNS`, its shapes in `requests` and `responses`, and a file in `control/actions`;
/// the compiler names the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// API-105.
    CreateFunction,
    /// API-108.
    DeleteFunction,
    /// API-116.
    GetFunction,
    /// API-118.
    GetFunctionConfiguration,
    /// API-125.
    Invoke,
    /// API-130.
    ListFunctions,
    /// API-147.
    UpdateFunctionCode,
    /// API-148.
    UpdateFunctionConfiguration,
}

/// A request's operation and the labels of its path, percent-decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What is asked for.
    pub operation: Operation,
    /// `{FunctionName}` of the path, empty for operations without one.
    pub function_name: String,
}

/// The label of a pattern.
const NAME: &str = "{FunctionName}";

impl Operation {
    /// Method and path segments of every operation.
    const PATTERNS: [(Method, &'static [&'static str], Self); 8] = [
        (Method::POST, &["2015-03-31", "functions"], Self::CreateFunction),
        (Method::GET, &["2015-03-31", "functions"], Self::ListFunctions),
        (Method::GET, &["2015-03-31", "functions", NAME], Self::GetFunction),
        (Method::DELETE, &["2015-03-31", "functions", NAME], Self::DeleteFunction),
        (Method::GET, &["2015-03-31", "functions", NAME, "configuration"], Self::GetFunctionConfiguration),
        (Method::PUT, &["2015-03-31", "functions", NAME, "configuration"], Self::UpdateFunctionConfiguration),
        (Method::PUT, &["2015-03-31", "functions", NAME, "code"], Self::UpdateFunctionCode),
        (Method::POST, &["2015-03-31", "functions", NAME, "invocations"], Self::Invoke),
    ];

    /// The name as the API reference has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateFunction => "CreateFunction",
            Self::DeleteFunction => "DeleteFunction",
            Self::GetFunction => "GetFunction",
            Self::GetFunctionConfiguration => "GetFunctionConfiguration",
            Self::Invoke => "Invoke",
            Self::ListFunctions => "ListFunctions",
            Self::UpdateFunctionCode => "UpdateFunctionCode",
            Self::UpdateFunctionConfiguration => "UpdateFunctionConfiguration",
        }
    }

    /// All operations, in the order of their names.
    pub fn all() -> impl Iterator<Item = Self> {
        let mut all = Self::PATTERNS.map(|(_, _, operation)| operation);
        all.sort_by_key(|operation| operation.name());
        all.into_iter()
    }

    /// Finds the operation of a request. `path` is as sent: labels may be percent-encoded (API-701) and
    /// a trailing slash is allowed everywhere (API-602).
    pub fn route(method: &Method, path: &str) -> Option<Route> {
        let path = path.strip_suffix('/').unwrap_or(path).strip_prefix('/')?;
        let mut segments = [""; 5];
        let mut count = 0;
        for segment in path.split('/') {
            *segments.get_mut(count)? = segment;
            count += 1;
        }
        let segments = &segments[..count];
        let matches = |pattern: &[&str]| {
            pattern.len() == segments.len()
                && pattern.iter().zip(segments).all(|(p, s)| if *p == NAME { !s.is_empty() } else { p == s })
        };
        let (_, pattern, operation) =
            Self::PATTERNS.iter().find(|(m, pattern, _)| m == method && matches(pattern))?;
        let label = pattern.iter().position(|p| *p == NAME).map_or("", |at| segments[at]);
        Some(Route { operation: *operation, function_name: percent_decode(label) })
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

    fn route(method: Method, path: &str) -> Option<(Operation, String)> {
        Operation::route(&method, path).map(|r| (r.operation, r.function_name))
    }

    /// API-701: encoded and plain ARNs route alike. API-602: so do trailing slashes.
    #[test]
    fn every_form_of_a_path_routes() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:f:PROD";
        let encoded = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af%3APROD/invocations";
        assert_eq!(route(Method::POST, encoded), Some((Operation::Invoke, arn.into())));
        let plain = format!("/2015-03-31/functions/{arn}/invocations");
        assert_eq!(route(Method::POST, &plain), Some((Operation::Invoke, arn.into())));
        for path in ["/2015-03-31/functions", "/2015-03-31/functions/"] {
            assert_eq!(route(Method::GET, path), Some((Operation::ListFunctions, String::new())));
            assert_eq!(route(Method::POST, path), Some((Operation::CreateFunction, String::new())));
        }
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
        ] {
            assert_eq!(route(Method::PUT, path), None, "{path}");
        }
        assert_eq!(route(Method::PATCH, "/2015-03-31/functions"), None);
    }

    /// docs/compatibility.md tells exactly what is offered.
    #[test]
    fn the_documentation_lists_every_operation() {
        let page = include_str!("../../../docs/compatibility.md");
        let lambda = page.split("## Lambda").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
        let rows = lambda.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let documented: Vec<&str> = rows.collect();
        let offered: Vec<&str> = Operation::all().map(Operation::name).collect();
        assert_eq!(documented, offered);
    }

    #[test]
    fn broken_percent_sequences_are_kept_as_they_are() {
        assert_eq!(percent_decode("a%2"), "a%2");
        assert_eq!(percent_decode("a%zz%41"), "a%zzA");
        assert_eq!(percent_decode("%é"), "%é");
    }
}
