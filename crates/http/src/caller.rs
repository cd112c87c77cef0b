//! Who is calling, as far as the request itself tells.

use http::HeaderMap;
use lambd_types::{AccountId, Region, Scope};

use crate::QueryPairs;

/// The account and region of requests whose credentials name none.
#[derive(Debug, Clone)]
pub struct CallerDefaults {
    /// Account of credentials that are not themselves an account number.
    pub account: AccountId,
    /// Region of requests without a credential scope.
    pub region: Region,
    /// Whether `account` is the only one, whatever credentials say.
    pub confined: bool,
}

/// The identity in a request's Signature Version 4 credential.
///
/// The signature itself is not verified: every caller that can reach the listener is trusted.
/// A 12-digit access key id is its own account, as local AWS tools do.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Account and region that the request acts in.
    pub scope: Scope,
    /// Access key id; empty when the request was not signed.
    pub access_key: String,
    /// Signing name of the service, such as `lambda` or `logs`; empty when the request was not signed.
    pub service: String,
    /// Whether it is inside a sandbox: a function, which may use services but not operate the daemon.
    pub confined: bool,
}

impl Caller {
    /// Reads the `Authorization` header or the `X-Amz-Credential` query parameter.
    pub fn of(headers: &HeaderMap, query: &QueryPairs, defaults: &CallerDefaults) -> Self {
        let header = headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let credential = header
            .and_then(credential_of_header)
            .or_else(|| query.get("X-Amz-Credential"))
            .unwrap_or_default();
        // access-key/date/region/service/aws4_request; an access key holds no slash.
        let mut fields = credential.split('/');
        let access_key = fields.next().unwrap_or_default();
        let region =
            fields.nth(1).filter(|region| *region != defaults.region.as_str()).and_then(Region::parse);
        let service = fields.next().unwrap_or_default();
        Self {
            scope: Scope {
                account: AccountId::parse(access_key)
                    .filter(|_| !defaults.confined)
                    .unwrap_or_else(|| defaults.account.clone()),
                region: region.unwrap_or_else(|| defaults.region.clone()),
            },
            access_key: access_key.to_owned(),
            service: service.to_owned(),
            confined: defaults.confined,
        }
    }

    /// Whether the request carried a credential at all.
    pub fn is_signed(&self) -> bool {
        !self.access_key.is_empty()
    }
}

fn credential_of_header(header: &str) -> Option<&str> {
    let parameters = header.strip_prefix("AWS4-HMAC-SHA256")?;
    parameters.split(',').find_map(|p| p.trim().strip_prefix("Credential="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> CallerDefaults {
        CallerDefaults {
            account: AccountId::default_local(),
            region: Region::default_local(),
            confined: false,
        }
    }

    fn caller(authorization: &str) -> Caller {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", authorization.parse().unwrap());
        Caller::of(&headers, &QueryPairs::default(), &defaults())
    }

    #[test]
    fn scope_comes_from_the_credential() {
        let c = caller(
            "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/lambda/aws4_request, SignedHeaders=host, Signature=0",
        );
        assert_eq!((c.scope.region.as_str(), c.service.as_str()), ("eu-west-1", "lambda"));
        assert_eq!(c.scope.account, AccountId::default_local());
        assert!(c.is_signed());
    }

    #[test]
    fn a_twelve_digit_key_is_its_own_account() {
        let c = caller(
            "AWS4-HMAC-SHA256 Credential=123456789012/20260101/us-east-1/logs/aws4_request, Signature=0",
        );
        assert_eq!(c.scope.account.as_str(), "123456789012");
    }

    #[test]
    fn a_confined_caller_cannot_choose_its_account() {
        let mut headers = HeaderMap::new();
        let other =
            "AWS4-HMAC-SHA256 Credential=123456789012/20260101/us-east-1/logs/aws4_request, Signature=0";
        headers.insert("authorization", other.parse().unwrap());
        let defaults = CallerDefaults { confined: true, ..defaults() };
        let caller = Caller::of(&headers, &QueryPairs::default(), &defaults);
        assert_eq!(caller.scope.account, AccountId::default_local());
    }

    #[test]
    fn presigned_queries_are_understood_and_unsigned_requests_are_not_signed() {
        let query = QueryPairs::parse("X-Amz-Credential=AKIA%2F20260101%2Feu-west-1%2Flambda%2Faws4_request");
        let c = Caller::of(&HeaderMap::new(), &query, &defaults());
        assert_eq!(c.service, "lambda");
        assert!(!caller("Bearer x").is_signed());
    }
}
