//! Signature Version 4 for outgoing requests.

use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::Request;
use lambd_types::Region;

use super::ClientError;

/// The key that requests are signed with.
#[derive(Debug, Clone)]
pub(crate) struct Credentials(aws_credential_types::Credentials);

impl Credentials {
    /// `test` and `test`, as local AWS tools have them.
    pub(crate) fn local() -> Self {
        Self(aws_credential_types::Credentials::new("test", "test", None, None, "lambd"))
    }

    /// The user's own from the environment, else [`Self::local`].
    pub(super) fn from_env(env: impl Fn(&str) -> Option<String>) -> Self {
        match (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), secret) => {
                let secret = secret.unwrap_or_else(|| "test".into());
                Self(aws_credential_types::Credentials::new(
                    id,
                    secret,
                    env("AWS_SESSION_TOKEN"),
                    None,
                    "environment",
                ))
            }
            (None, _) => Self::local(),
        }
    }

    /// Adds date and signature to a request.
    pub(super) fn sign(
        &self,
        mut request: Request<Bytes>,
        service: &str,
        region: &Region,
        at: SystemTime,
    ) -> Result<Request<Bytes>, ClientError> {
        let cannot = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Request(source);
        let identity = self.0.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region.as_str())
            .name(service)
            .time(at)
            .settings(SigningSettings::default())
            .build()
            .map_err(|e| cannot(Box::new(e)))?
            .into();
        let uri = request.uri().to_string();
        let headers: Vec<(&str, &str)> = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let body = SignableBody::Bytes(request.body());
        let signable = SignableRequest::new(request.method().as_str(), uri, headers.into_iter(), body)
            .map_err(|e| cannot(Box::new(e)))?;
        let (instructions, _) = sign(signable, &params).map_err(|e| cannot(Box::new(e)))?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_names_region_service_and_key() {
        let request =
            Request::post("http://127.0.0.1:4566/2015-03-31/functions/a%3A1/invocations?Qualifier=%24LATEST")
                .header("host", "127.0.0.1:4566")
                .body(Bytes::from_static(b"{}"))
                .unwrap();
        let signed = Credentials::local()
            .sign(request, "lambda", &Region::default_local(), SystemTime::UNIX_EPOCH)
            .unwrap();
        let authorization = signed.headers()["authorization"].to_str().unwrap();
        assert!(
            authorization
                .starts_with("AWS4-HMAC-SHA256 Credential=test/19700101/us-east-1/lambda/aws4_request"),
            "{authorization}"
        );
        assert_eq!(signed.headers()["x-amz-date"], "19700101T000000Z");
    }

    #[test]
    fn the_users_own_keys_come_first() {
        let own = Credentials::from_env(|name| (name == "AWS_ACCESS_KEY_ID").then(|| "AKID".to_owned()));
        assert_eq!(own.0.access_key_id(), "AKID");
        assert_eq!(Credentials::from_env(|_| None).0.access_key_id(), "test");
    }
}
