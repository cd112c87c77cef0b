//! Handing events to functions of Lambda or a service with its interface.

use bytes::Bytes;
use http::{Request, header};
use lambd_types::{AccountId, Region, UnixMillis};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::service::{answer_of, impossible};
use crate::{Client, Credentials, Endpoint, ServiceError};

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Names one function, perhaps with a version or an alias.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionArn {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: AccountId,
    /// The ARN as it was given.
    pub arn: String,
}

impl FunctionArn {
    /// Reads `arn:aws:lambda:us-east-1:123456789012:function:my-function`, with `:qualifier` or without; `None` if it
    /// is no such ARN.
    pub fn parse(arn: &str) -> Option<Self> {
        let fields: Vec<&str> = arn.split(':').collect();
        let (region, account, name, qualifier) = match fields[..] {
            ["arn", _, "lambda", region, account, "function", name] => (region, account, name, None),
            ["arn", _, "lambda", region, account, "function", name, qualifier] => {
                (region, account, name, Some(qualifier))
            }
            _ => return None,
        };
        let word = |text: &str, most: usize| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            !text.is_empty() && text.len() <= most && text.bytes().all(allowed)
        };
        let qualified = qualifier.is_none_or(|qualifier| qualifier == "$LATEST" || word(qualifier, 128));
        let (region, account) = (Region::parse(region)?, AccountId::parse(account)?);
        (word(name, 64) && qualified).then(|| Self { region, account, arn: arn.to_owned() })
    }
}

/// The functions behind one endpoint.
#[derive(Debug, Clone)]
pub struct Functions {
    client: Client,
    endpoint: Endpoint,
    credentials: Option<Credentials>,
}

impl Functions {
    /// The functions at `endpoint`. Without credentials requests come from the account of each function, for services
    /// that take an access key for the account.
    pub fn new(client: Client, endpoint: Endpoint, credentials: Option<Credentials>) -> Self {
        Self { client, endpoint, credentials }
    }

    /// Hands an event over (`Invoke` with the type `Event`): from the answer on it is the service's to keep. The
    /// event belongs to the trace of `trace_header`, if there is one.
    ///
    /// # Errors
    /// [`ServiceError::is_transient`] tells whether to try again.
    pub async fn invoke_later(
        &self,
        function: &FunctionArn,
        event: Bytes,
        trace_header: Option<&str>,
        at: UnixMillis,
    ) -> Result<(), ServiceError> {
        let FunctionArn { region, account, arn } = function;
        let path = format!("/2015-03-31/functions/{}/invocations", utf8_percent_encode(arn, SEGMENT));
        let mut request = Request::post(self.endpoint.url(region, &path).map_err(impossible)?)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-amz-invocation-type", "Event");
        if let Some(trace) = trace_header {
            request = request.header("x-amzn-trace-id", trace);
        }
        let request = request.body(event).map_err(impossible)?;
        let own = || Credentials::of_account(account);
        let credentials = self.credentials.clone().unwrap_or_else(own);
        let response = self.client.send(request, "lambda", region, &credentials, at).await?;
        answer_of(response).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::service::tests::{answer, server};

    const ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST";

    #[test]
    fn functions_are_named_by_their_arns() {
        for good in
            [ARN, "arn:aws:lambda:us-east-1:000000000000:function:my_f-1", &ARN.replace("$LATEST", "7")]
        {
            assert_eq!(FunctionArn::parse(good).unwrap().arn, good);
        }
        for bad in [
            "f",
            "arn:aws:lambda:us-east-1:000000000000:layer:f",
            "arn:aws:lambda:us-east-1:000000000000:function:",
            "arn:aws:lambda:us-east-1:000000000000:function:f:",
            "arn:aws:lambda:us-east-1:000000000000:function:f:a:b",
            "arn:aws:lambda:us-east-1:000000000000:function:f/..",
            "arn:aws:lambda:us-east-1:0:function:f",
        ] {
            assert_eq!(FunctionArn::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn an_event_is_handed_over_in_its_trace() {
        let (endpoint, seen) = server(answer("202 Accepted", "", "")).await;
        let functions = Functions::new(Client::default(), endpoint, None);
        let arn = FunctionArn::parse(ARN).unwrap();
        functions
            .invoke_later(&arn, Bytes::from_static(b"{\"a\":1}"), Some("Root=1"), UnixMillis(0))
            .await
            .unwrap();
        let seen = seen.await.unwrap();
        let path =
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Af%3A%24LATEST";
        assert!(seen.head.starts_with(&format!("POST {path}/invocations HTTP/1.1\r\n")), "{}", seen.head);
        assert!(seen.head.contains("x-amz-invocation-type: Event\r\n"), "{}", seen.head);
        assert!(seen.head.contains("x-amzn-trace-id: Root=1\r\n"), "{}", seen.head);
        assert!(seen.head.contains("Credential=123456789012/19700101/eu-west-1/lambda/aws4_request"));
        assert_eq!(seen.body, json!({ "a": 1 }));
    }

    #[tokio::test]
    async fn a_refusal_has_the_services_own_words() {
        let body = r#"{"Type":"User","Message":"Function not found: f"}"#;
        let header = "x-amzn-errortype: ResourceNotFoundException:http://internal/\r\n";
        let (endpoint, _seen) = server(answer("404 Not Found", header, body)).await;
        let functions = Functions::new(Client::default(), endpoint, None);
        let arn = FunctionArn::parse(ARN).unwrap();
        let error = functions.invoke_later(&arn, Bytes::new(), None, UnixMillis(0)).await.unwrap_err();
        assert_eq!(error.to_string(), "ResourceNotFoundException: Function not found: f");
        assert!(!error.is_transient());
    }
}
