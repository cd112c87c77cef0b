//! Keys, and Signature Version 4.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::Request;
use lambd_types::{AccountId, Region, UnixMillis};

use crate::OutboundError;

/// What requests are signed with.
#[derive(Clone)]
pub struct Credentials(aws_credential_types::Credentials);

impl Credentials {
    /// A key as the variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` give it; `None`
    /// unless the first two are set.
    pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let (id, secret) = (env("AWS_ACCESS_KEY_ID")?, env("AWS_SECRET_ACCESS_KEY")?);
        let token = env("AWS_SESSION_TOKEN");
        Some(Self(aws_credential_types::Credentials::new(id, secret, token, None, "environment")))
    }

    /// For services that take the access key for the account and verify no signature, as local AWS tools do.
    pub fn of_account(account: &AccountId) -> Self {
        Self(aws_credential_types::Credentials::new(account.as_str(), "lambd", None, None, "account"))
    }

    /// Adds date and signature to a request whose path is encoded once, as it is sent.
    pub(crate) fn sign(
        &self,
        mut request: Request<Bytes>,
        service: &str,
        region: &Region,
        at: UnixMillis,
    ) -> Result<Request<Bytes>, OutboundError> {
        fn cannot(error: impl std::error::Error + Send + Sync + 'static) -> OutboundError {
            OutboundError::Request(Box::new(error))
        }
        let mut settings = SigningSettings::default();
        if service == "s3" {
            // S3 signs paths as they are, and wants the digest of the payload.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let identity = self.0.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region.as_str())
            .name(service)
            .time(SystemTime::UNIX_EPOCH + Duration::from_millis(at.0.unsigned_abs()))
            .settings(settings)
            .build()
            .map_err(cannot)?
            .into();
        let uri = request.uri().to_string();
        let headers: Vec<(&str, &str)> = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let body = SignableBody::Bytes(request.body());
        let signable = SignableRequest::new(request.method().as_str(), uri, headers.into_iter(), body);
        let (instructions, _) = sign(signable.map_err(cannot)?, &params).map_err(cannot)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.0.access_key_id()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first example of "Signature Calculations for the Authorization Header" in the S3 API reference.
    #[test]
    fn a_published_example_has_its_signature() {
        let env = |name: &str| {
            let value = match name {
                "AWS_ACCESS_KEY_ID" => "AKIAIOSFODNN7EXAMPLE",
                "AWS_SECRET_ACCESS_KEY" => "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let request = Request::get("https://examplebucket.s3.amazonaws.com/test.txt")
            .header("host", "examplebucket.s3.amazonaws.com")
            .header("range", "bytes=0-9")
            .body(Bytes::new())
            .unwrap();
        let region = Region::parse("us-east-1").unwrap();
        let at = UnixMillis(1_369_353_600_000);
        let signed = Credentials::from_env(env).unwrap().sign(request, "s3", &region, at).unwrap();
        let authorization = signed.headers()["authorization"].to_str().unwrap();
        assert!(
            authorization
                .ends_with("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
            "{authorization}"
        );
    }

    #[test]
    fn half_a_key_is_none_and_no_secret_is_shown() {
        assert!(Credentials::from_env(|name| (name == "AWS_ACCESS_KEY_ID").then(|| "AKID".into())).is_none());
        let shown = format!("{:?}", Credentials::from_env(|_| Some("secret".into())).unwrap());
        assert_eq!(shown, "Credentials(\"secret\")");
    }
}
