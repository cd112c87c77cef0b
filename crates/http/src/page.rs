//! Requests that a page on the web made a browser send.
//!
//! Signatures are not verified, and a credential may be part of the URL. So any page that is open in a browser on
//! this machine could call every service: a browser sends such a request and only keeps the answer from the page.
//! It says, though, where the request comes from.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, StatusCode};

use crate::{AwsResponse, json};

/// Where the page is from that made a browser send this: `cross-site`, `same-site` (another port of this host, for
/// example), `same-origin` or `none` (the user did). See "Fetch Metadata Request Headers".
const SITE: &str = "sec-fetch-site";

/// Whether a page of another origin has sent a request with these headers.
///
/// Old browsers tell less: those without `Sec-Fetch-Site` leave `Origin` out when they ask for an image or the like,
/// which is a `GET`.
pub(crate) fn is_foreign(headers: &HeaderMap) -> bool {
    let foreign_site = headers.get(SITE).is_some_and(|site| site != "same-origin" && site != "none");
    let foreign_origin = headers.get(ORIGIN).is_some_and(|origin| {
        let authority =
            origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
        // `null`, as of a file, is nobody's.
        authority.is_none_or(|authority| headers.get(HOST).is_none_or(|host| host != authority))
    });
    foreign_site || foreign_origin
}

/// The answer to it.
pub(crate) fn refusal() -> AwsResponse {
    #[derive(serde::Serialize)]
    struct Forbidden {
        #[serde(rename = "__type")]
        code: &'static str,
        message: &'static str,
    }
    let message = "lambd takes no requests from pages of other origins";
    let mut response = json(StatusCode::FORBIDDEN, &Forbidden { code: "AccessDeniedException", message });
    let code = http::HeaderValue::from_static("AccessDeniedException");
    response.headers_mut().insert("x-amzn-errortype", code);
    response
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn browsers_tell_where_a_page_is_from() {
        for (origin, site, foreign) in [
            // Programs.
            ("", "", false),
            // The page is ours, or the user typed the address.
            ("http://127.0.0.1:4566", "same-origin", false),
            ("", "same-origin", false),
            ("", "none", false),
            ("https://127.0.0.1:4566", "", false),
            // It is not.
            ("https://evil.example", "cross-site", true),
            ("https://evil.example", "", true),
            ("", "cross-site", true),
            ("http://127.0.0.1:3000", "same-site", true),
            ("http://127.0.0.1", "", true),
            ("null", "", true),
            ("http://127.0.0.1:4566.evil.example", "", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("127.0.0.1:4566"));
            for (name, value) in [("origin", origin), (SITE, site)] {
                if !value.is_empty() {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_foreign(&headers), foreign, "{origin} {site}");
        }
    }
}
