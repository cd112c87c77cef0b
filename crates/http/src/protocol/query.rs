//! The AWS Query protocol: a form body in, XML out.
//!
//! Input members are flat names: `RoleName`, `TagKeys.member.1`, `Tags.member.1.Key`. A success is
//! `<ActionResponse><ActionResult>..</ActionResult><ResponseMetadata>..`, an error is `<ErrorResponse>`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Display;

use http::{Method, StatusCode};

use crate::{AwsRequest, AwsResponse, QueryPairs, Refusal, RequestHead, text};

const CONTENT_TYPE: &str = "text/xml";

/// The input of a request.
#[derive(Debug, Clone, Default)]
pub struct Params(QueryPairs);

impl Params {
    /// Reads the form body of a POST, or the query string otherwise.
    pub fn of(request: &AwsRequest) -> Self {
        if request.head.method == Method::POST && !request.body.is_empty() {
            Self::parse(&String::from_utf8_lossy(&request.body))
        } else {
            Self(request.head.query.clone())
        }
    }

    /// Reads a form.
    pub fn parse(form: &str) -> Self {
        Self(QueryPairs::parse(form))
    }

    /// A scalar member.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// A scalar member that is a number; `None` too when it is not one.
    pub fn get_number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// All members, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter()
    }

    /// The name of the operation; empty when there is none.
    pub fn action(&self) -> &str {
        self.get("Action").unwrap_or_default()
    }

    /// The values of a list of scalars, `name.member.1` and so on.
    pub fn list(&self, name: &str) -> Vec<&str> {
        self.indexes(name).into_iter().filter_map(|i| self.get(&format!("{name}.member.{i}"))).collect()
    }

    /// The members of a list of structures, of which [`Member::get`] reads the fields.
    pub fn structures(&self, name: &str) -> Vec<Member<'_>> {
        let member = |i| Member { params: self, prefix: format!("{name}.member.{i}") };
        self.indexes(name).into_iter().map(member).collect()
    }

    fn indexes(&self, name: &str) -> BTreeSet<u32> {
        let index = |key: &str| {
            let rest = key.strip_prefix(name)?.strip_prefix(".member.")?;
            rest.split('.').next()?.parse().ok()
        };
        self.0.iter().filter_map(|(key, _)| index(key)).collect()
    }
}

/// One structure of a list.
#[derive(Debug)]
pub struct Member<'a> {
    params: &'a Params,
    prefix: String,
}

impl<'a> Member<'a> {
    /// A field of the structure.
    pub fn get(&self, field: &str) -> Option<&'a str> {
        self.params.get(&format!("{}.{field}", self.prefix))
    }
}

/// Whether an unsigned request looks like one of a Query service of this API version.
pub fn looks_like(head: &RequestHead, version: &str) -> bool {
    if head.path != "/" {
        return false;
    }
    if head.query.get("Action").is_some() {
        return head.query.get("Version").is_none_or(|v| v == version);
    }
    let form = |t: &str| t.starts_with("application/x-www-form-urlencoded");
    head.method == Method::POST && head.header("content-type").is_some_and(form)
}

/// Writes XML elements.
#[derive(Debug, Default)]
pub struct Xml(String);

impl Xml {
    /// Text, escaped: the content of the element that is being written.
    pub fn value(&mut self, value: impl Display) -> &mut Self {
        escape_into(&mut self.0, &value.to_string());
        self
    }

    /// `<name>value</name>`, escaped.
    pub fn text(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.element(name, |xml| {
            xml.value(value);
        })
    }

    /// Like [`Self::text`], when there is a value.
    pub fn optional(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// Everything that `other` holds.
    pub fn append(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// `<name>..</name>` with children.
    pub fn element(&mut self, name: &str, children: impl FnOnce(&mut Self)) -> &mut Self {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
        children(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
        self
    }

    /// `<name><member>..</member>..</name>`.
    pub fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        each: impl Fn(&mut Self, T),
    ) -> &mut Self {
        self.element(name, |xml| {
            for item in items {
                xml.element("member", |xml| each(xml, item));
            }
        })
    }
}

fn escape_into(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // A reader turns a bare carriage return into a line feed.
            '\r' => out.push_str("&#xD;"),
            '\t' | '\n' => out.push(c),
            // Other control characters cannot be written in XML 1.0 at all.
            c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// What all responses of one service have in common.
#[derive(Debug, Clone, Copy)]
pub struct QueryService {
    /// XML namespace, such as `https://iam.amazonaws.com/doc/2010-05-08/`.
    pub namespace: &'static str,
}

impl QueryService {
    /// A success with an output, which `write` fills in.
    pub fn reply(&self, action: &str, request_id: &str, write: impl FnOnce(&mut Xml)) -> AwsResponse {
        self.document(StatusCode::OK, &format!("{action}Response"), |xml| {
            xml.element(&format!("{action}Result"), write);
            metadata(xml, request_id);
        })
    }

    /// A success without an output.
    pub fn reply_empty(&self, action: &str, request_id: &str) -> AwsResponse {
        self.document(StatusCode::OK, &format!("{action}Response"), |xml| metadata(xml, request_id))
    }

    /// An error.
    pub fn error(&self, error: &QueryError, request_id: &str) -> AwsResponse {
        let fault = if error.status.is_server_error() { "Receiver" } else { "Sender" };
        self.document(error.status, "ErrorResponse", |xml| {
            xml.element("Error", |xml| {
                xml.text("Type", fault).text("Code", &error.code).text("Message", &error.message);
            });
            xml.text("RequestId", request_id);
        })
    }

    fn document(&self, status: StatusCode, root: &str, children: impl FnOnce(&mut Xml)) -> AwsResponse {
        let mut xml = Xml(format!("<{root} xmlns=\"{}\">", self.namespace));
        children(&mut xml);
        xml.0.push_str("</");
        xml.0.push_str(root);
        xml.0.push('>');
        text(status, CONTENT_TYPE, xml.0)
    }
}

fn metadata(xml: &mut Xml, request_id: &str) {
    xml.element("ResponseMetadata", |xml| {
        xml.text("RequestId", request_id);
    });
}

/// An error of a Query service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct QueryError {
    /// HTTP status; it decides whether sender or receiver is at fault.
    pub status: StatusCode,
    /// Error code, such as `NoSuchEntity`.
    pub code: Cow<'static, str>,
    /// What the caller is told.
    pub message: String,
}

impl QueryError {
    /// An error.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code: Cow::Borrowed(code), message: message.into() }
    }

    /// A fault of ours, whose cause is in the log.
    pub fn internal() -> Self {
        let message = "lambd failed to serve the request; its log tells why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ServiceFailure", message)
    }

    /// An action that the service does not have, or that lambd does not offer.
    pub fn unknown_action(service: &str, params: &Params) -> Self {
        let action = params.action();
        if action.is_empty() {
            return Self::new(StatusCode::BAD_REQUEST, "MissingAction", "the request names no Action");
        }
        let message = format!(
            "Could not find operation {action} for version {}: lambd does not offer it for the service {service}; \
             see docs/compatibility.md for what it offers",
            params.get("Version").unwrap_or("NO_VERSION_SPECIFIED"),
        );
        Self::new(StatusCode::BAD_REQUEST, "InvalidAction", message)
    }

    /// Why a request was turned away before it was read.
    pub fn refused(why: Refusal) -> Self {
        match why {
            Refusal::BodyTooLarge { limit } => {
                let message = format!("The request body must not be longer than {limit} bytes");
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
            }
            Refusal::NotSigned => Self::new(
                StatusCode::FORBIDDEN,
                "MissingAuthenticationToken",
                "Request is missing Authentication Token",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const SERVICE: QueryService = QueryService { namespace: "https://iam.amazonaws.com/doc/2010-05-08/" };

    async fn body(response: AwsResponse) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn lists_are_ordered_by_their_number() {
        let p = Params::parse(
            "Action=TagRole&TagKeys.member.10=j&TagKeys.member.2=b&TagKeys.member.1=a\
             &Tags.member.1.Key=k&Tags.member.1.Value=v%26w&Tags.member.2.Key=only",
        );
        assert_eq!(p.action(), "TagRole");
        assert_eq!(p.list("TagKeys"), ["a", "b", "j"]);
        let tags: Vec<_> = p.structures("Tags").iter().map(|m| (m.get("Key"), m.get("Value"))).collect();
        assert_eq!(tags, [(Some("k"), Some("v&w")), (Some("only"), None)]);
        assert!(p.list("Tag").is_empty());
    }

    #[tokio::test]
    async fn replies_have_result_and_metadata() {
        let response = SERVICE.reply("ListRoles", "id-1", |xml| {
            xml.text("IsTruncated", false).optional("Marker", None::<&str>);
            xml.list("Roles", ["a<b", "\"&\r\u{1}"], |xml, name| {
                xml.text("RoleName", name);
            });
        });
        assert_eq!(response.headers()["content-type"], "text/xml");
        assert_eq!(
            body(response).await,
            "<ListRolesResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ListRolesResult>\
             <IsTruncated>false</IsTruncated><Roles><member><RoleName>a&lt;b</RoleName></member>\
             <member><RoleName>&quot;&amp;&#xD;\u{fffd}</RoleName></member></Roles></ListRolesResult>\
             <ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></ListRolesResponse>"
        );
    }

    #[tokio::test]
    async fn errors_name_the_side_at_fault() {
        let error = QueryError::new(StatusCode::NOT_FOUND, "NoSuchEntity", "no <role>");
        let response = SERVICE.error(&error, "id-2");
        assert_eq!(response.status(), 404);
        assert_eq!(
            body(response).await,
            "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
             <Code>NoSuchEntity</Code><Message>no &lt;role&gt;</Message></Error><RequestId>id-2</RequestId>\
             </ErrorResponse>"
        );
        assert!(body(SERVICE.error(&QueryError::internal(), "x")).await.contains("<Type>Receiver</Type>"));
    }
}
