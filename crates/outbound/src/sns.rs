//! Publishing to topics of SNS or a service with its interface.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use lambd_types::{AccountId, Region, UnixMillis};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::s3::element;
use crate::service::impossible;
use crate::sqs::{Attribute, AttributeValue};
use crate::{Client, Credentials, Endpoint, ServiceError};

const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 64 * 1024;

/// Names one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicArn {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: AccountId,
    /// The ARN as it was given.
    pub arn: String,
}

impl TopicArn {
    /// Reads `arn:aws:sns:us-east-1:123456789012:my-topic`; `None` if it is no such ARN.
    pub fn parse(arn: &str) -> Option<Self> {
        let fields: Vec<&str> = arn.split(':').collect();
        let ["arn", _, "sns", region, account, name] = fields[..] else { return None };
        let (region, account) = (Region::parse(region)?, AccountId::parse(account)?);
        (!name.is_empty()).then(|| Self { region, account, arn: arn.to_owned() })
    }
}

/// The topics behind one endpoint.
#[derive(Debug, Clone)]
pub struct Topics {
    client: Client,
    endpoint: Endpoint,
    credentials: Option<Credentials>,
}

impl Topics {
    /// The topics at `endpoint`. Without credentials requests come from the account of each topic, for services that
    /// take an access key for the account.
    pub fn new(client: Client, endpoint: Endpoint, credentials: Option<Credentials>) -> Self {
        Self { client, endpoint, credentials }
    }

    /// Publishes a message (`Publish`) in the trace of `trace_header`.
    ///
    /// # Errors
    /// [`ServiceError::is_transient`] tells whether to try again.
    pub async fn publish(
        &self,
        topic: &TopicArn,
        message: &str,
        attributes: &[Attribute],
        trace_header: Option<&str>,
        at: UnixMillis,
    ) -> Result<(), ServiceError> {
        let TopicArn { region, account, arn } = topic;
        let mut request = Request::post(self.endpoint.url(region, "/").map_err(impossible)?)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8");
        if let Some(trace) = trace_header {
            request = request.header("x-amzn-trace-id", trace);
        }
        let request = request.body(Bytes::from(form(arn, message, attributes))).map_err(impossible)?;
        let own = || Credentials::of_account(account);
        let credentials = self.credentials.clone().unwrap_or_else(own);
        let response = self.client.send(request, "sns", region, &credentials, at).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        if status.is_success() {
            return Ok(());
        }
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Err(refusal(status, &String::from_utf8_lossy(&body)))
    }
}

fn refusal(status: StatusCode, text: &str) -> ServiceError {
    let reason = || status.canonical_reason().unwrap_or("unknown").to_owned();
    ServiceError::Refused {
        status,
        code: element(text, "Code").unwrap_or_else(|| status.as_u16().to_string()),
        message: element(text, "Message").unwrap_or_else(reason),
    }
}

/// The request in the Query protocol.
fn form(arn: &str, message: &str, attributes: &[Attribute]) -> String {
    let mut form = String::from("Action=Publish&Version=2010-03-31");
    let mut pair = |name: &str, value: &str| {
        form.push('&');
        form.push_str(name);
        form.push('=');
        form.extend(utf8_percent_encode(value, FORM));
    };
    pair("TopicArn", arn);
    pair("Message", message);
    for (index, attribute) in attributes.iter().enumerate() {
        let entry = format!("MessageAttributes.entry.{}", index + 1);
        pair(&format!("{entry}.Name"), &attribute.name);
        pair(&format!("{entry}.Value.DataType"), &attribute.data_type);
        match &attribute.value {
            AttributeValue::Text(text) => pair(&format!("{entry}.Value.StringValue"), text),
            AttributeValue::Binary(bytes) => {
                use base64::Engine as _;
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                pair(&format!("{entry}.Value.BinaryValue"), &text);
            }
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_form() {
        let attribute =
            |name: &str, value| Attribute { name: name.into(), data_type: "String".into(), value };
        let attributes = [
            attribute("RequestID", AttributeValue::Text("a b".into())),
            attribute("Raw", AttributeValue::Binary(Bytes::from_static(b"\xff"))),
        ];
        assert_eq!(
            form("arn:aws:sns:us-east-1:000000000000:t", "{\"ü\":1}&", &attributes),
            "Action=Publish&Version=2010-03-31&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A000000000000%3At\
             &Message=%7B%22%C3%BC%22%3A1%7D%26\
             &MessageAttributes.entry.1.Name=RequestID&MessageAttributes.entry.1.Value.DataType=String\
             &MessageAttributes.entry.1.Value.StringValue=a%20b\
             &MessageAttributes.entry.2.Name=Raw&MessageAttributes.entry.2.Value.DataType=String\
             &MessageAttributes.entry.2.Value.BinaryValue=%2Fw%3D%3D"
        );
    }

    #[test]
    fn refusals_have_the_services_words() {
        let error = refusal(
            StatusCode::NOT_FOUND,
            "<ErrorResponse><Error><Type>Sender</Type><Code>NotFound</Code><Message>Topic does not exist</Message></Error></ErrorResponse>",
        );
        assert_eq!(error.to_string(), "NotFound: Topic does not exist");
        assert!(!error.is_transient());
        assert!(refusal(StatusCode::SERVICE_UNAVAILABLE, "").is_transient());
    }

    #[test]
    fn topics_are_named_by_arns() {
        assert!(TopicArn::parse("arn:aws:sns:us-east-1:000000000000:t").is_some());
        for bad in ["arn:aws:sqs:us-east-1:000000000000:t", "arn:aws:sns:us-east-1:000000000000:t:sub", "t"] {
            assert_eq!(TopicArn::parse(bad), None, "{bad}");
        }
    }
}
