//! Putting events on buses of EventBridge or a service with its interface.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use lambd_types::{AccountId, Region, UnixMillis};
use serde_json::{Value, json};

use crate::service::{answer_of, impossible};
use crate::{Client, Credentials, Endpoint, ServiceError};

/// Names one bus.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BusArn {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: AccountId,
    /// The ARN as it was given.
    pub arn: String,
}

impl BusArn {
    /// Reads `arn:aws:events:us-east-1:123456789012:event-bus/default`; `None` if it is no such ARN.
    pub fn parse(arn: &str) -> Option<Self> {
        let fields: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", _, "events", region, account, resource] = fields[..] else { return None };
        let (region, account) = (Region::parse(region)?, AccountId::parse(account)?);
        let name = resource.strip_prefix("event-bus/")?;
        (!name.is_empty()).then(|| Self { region, account, arn: arn.to_owned() })
    }
}

/// An event for a bus.
#[derive(Debug, Clone, Copy)]
pub struct BusEvent<'a> {
    /// Who says it.
    pub source: &'a str,
    /// Of which type it is.
    pub detail_type: &'a str,
    /// What it says: a JSON object.
    pub detail: &'a str,
    /// ARNs of what it is about.
    pub resources: &'a [&'a str],
    /// The trace it belongs to.
    pub trace_header: &'a str,
}

/// The buses behind one endpoint.
#[derive(Debug, Clone)]
pub struct Buses {
    client: Client,
    endpoint: Endpoint,
    credentials: Option<Credentials>,
}

impl Buses {
    /// The buses at `endpoint`. Without credentials requests come from the account of each bus, for services that
    /// take an access key for the account.
    pub fn new(client: Client, endpoint: Endpoint, credentials: Option<Credentials>) -> Self {
        Self { client, endpoint, credentials }
    }

    /// Puts one event (`PutEvents`).
    ///
    /// # Errors
    /// [`ServiceError::is_transient`] tells whether to try again. An event that the service took the request for and
    /// refused by itself is an error too.
    pub async fn put(&self, bus: &BusArn, event: BusEvent<'_>, at: UnixMillis) -> Result<(), ServiceError> {
        let entry = json!({
            "EventBusName": bus.arn,
            "Source": event.source,
            "DetailType": event.detail_type,
            "Detail": event.detail,
            "Resources": event.resources,
            "TraceHeader": event.trace_header,
        });
        let request = Request::post(self.endpoint.url(&bus.region, "/").map_err(impossible)?)
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", "AWSEvents.PutEvents")
            .body(Bytes::from(json!({ "Entries": [entry] }).to_string()))
            .map_err(impossible)?;
        let own = || Credentials::of_account(&bus.account);
        let credentials = self.credentials.clone().unwrap_or_else(own);
        let response = self.client.send(request, "events", &bus.region, &credentials, at).await?;
        entry_error(&answer_of(response).await?).map_or(Ok(()), Err)
    }
}

/// What the service says of an event that it did not take.
fn entry_error(answer: &[u8]) -> Option<ServiceError> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    if answer["FailedEntryCount"].as_u64().unwrap_or(0) == 0 {
        return None;
    }
    let text = |name: &str| answer["Entries"][0][name].as_str().unwrap_or("unknown").to_owned();
    let code = text("ErrorCode");
    let internal = matches!(code.as_str(), "InternalFailure" | "InternalException" | "ThrottlingException");
    let status = if internal { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::BAD_REQUEST };
    Some(ServiceError::Refused { status, code, message: text("ErrorMessage") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_can_be_refused_in_a_request_that_was_taken() {
        assert!(entry_error(br#"{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}"#).is_none());
        let refused = |code: &str| {
            let entry = json!({ "ErrorCode": code, "ErrorMessage": "no" });
            entry_error(json!({ "FailedEntryCount": 1, "Entries": [entry] }).to_string().as_bytes()).unwrap()
        };
        assert_eq!(refused("MalformedDetail").to_string(), "MalformedDetail: no");
        assert!(!refused("MalformedDetail").is_transient());
        assert!(refused("InternalFailure").is_transient());
    }

    #[test]
    fn buses_are_named_by_arns() {
        let bus = BusArn::parse("arn:aws:events:eu-west-1:000000000000:event-bus/a/b").unwrap();
        assert_eq!(bus.region.as_str(), "eu-west-1");
        for bad in [
            "arn:aws:events:eu-west-1:000000000000:rule/x",
            "arn:aws:events:eu-west-1:000000000000:event-bus/",
        ] {
            assert_eq!(BusArn::parse(bad), None, "{bad}");
        }
    }
}
