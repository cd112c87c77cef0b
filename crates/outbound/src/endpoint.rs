//! Where requests go.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use lambd_types::Region;

/// What stands for the region in an endpoint.
const REGION: &str = "{region}";

/// The base URL of a service: `http://127.0.0.1:9000`, or `https://s3.{region}.amazonaws.com`, in which the region of
/// each request is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(String);

/// A text is no base URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a URL such as http://127.0.0.1:9000 or https://s3.{{region}}.amazonaws.com")]
pub struct EndpointError;

impl Endpoint {
    /// The URL of a path with its query, both encoded.
    ///
    /// # Errors
    /// The path or the query is not encoded.
    pub fn url(&self, region: &Region, path_and_query: &str) -> Result<Uri, EndpointError> {
        let base = self.0.replace(REGION, region.as_str());
        format!("{base}{path_and_query}").parse().map_err(|_| EndpointError)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let base = text.trim_end_matches('/');
        let uri: Uri = base.replace(REGION, "us-east-1").parse().map_err(|_| EndpointError)?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        if is_http && has_host && uri.query().is_none() {
            Ok(Self(base.to_owned()))
        } else {
            Err(EndpointError)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_appended_in_the_region() {
        let region = Region::parse("eu-central-1").unwrap();
        let url =
            |text: &str| text.parse::<Endpoint>().unwrap().url(&region, "/b/k?x=1").unwrap().to_string();
        assert_eq!(url("http://127.0.0.1:9000/"), "http://127.0.0.1:9000/b/k?x=1");
        assert_eq!(url("https://s3.{region}.amazonaws.com"), "https://s3.eu-central-1.amazonaws.com/b/k?x=1");
        assert_eq!(url("https://storage.lab/s3"), "https://storage.lab/s3/b/k?x=1");
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "localhost:9000", "ftp://a", "http://", "http://a b", "http://a/?x=1", "/path"] {
            assert_eq!(bad.parse::<Endpoint>(), Err(EndpointError), "{bad}");
        }
    }
}
