//! Links from which a package can be downloaded (API-116.3).

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use lambd_http::{
    AwsRequest, AwsResponse, AwsService, Refusal, RequestHead, ResponseBody, ServiceFuture, of_type, text,
};
use lambd_types::{Sha256Digest, UnixMillis, limits, random};
use sha2::Sha256;

use crate::Control;

const PREFIX: &str = "/_lambd/code/";

/// A link to a package on the host that the client used, valid for ten minutes.
pub(crate) fn link(control: &Control, host: &str, code: Sha256Digest) -> String {
    let expires = control.clock().now().0 / 1000 + limits::DOWNLOAD_LINK_SECONDS as i64;
    let name = code.to_hex();
    let signature = signature(control, &name, expires);
    format!("http://{host}{PREFIX}{name}.zip?Expires={expires}&Signature={signature}")
}

fn signature(control: &Control, name: &str, expires: i64) -> String {
    random::hex(&mac(control, name, expires).finalize().into_bytes())
}

fn mac(control: &Control, name: &str, expires: i64) -> Hmac<Sha256> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(control.link_secret()) else {
        unreachable!("HMAC takes keys of any length")
    };
    mac.update(format!("{name}\n{expires}").as_bytes());
    mac
}

/// Serves the links.
pub struct DownloadService {
    control: Control,
}

impl DownloadService {
    /// The endpoint behind the links of `control`.
    pub fn new(control: Control) -> Self {
        Self { control }
    }

    async fn serve(&self, head: &RequestHead) -> AwsResponse {
        let refuse = |text_of: &'static str| text(StatusCode::FORBIDDEN, "text/plain", text_of);
        let name = head.path.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(".zip"));
        let expires = head.query.get("Expires").and_then(|e| e.parse::<i64>().ok());
        let (Some(name), Some(expires)) = (name, expires) else {
            return refuse("not a download link of lambd");
        };
        let given = head.query.get("Signature").and_then(unhex).unwrap_or_default();
        if mac(&self.control, name, expires).verify_slice(&given).is_err() {
            return refuse(
                "the signature of this link is wrong, or lambd was restarted; call GetFunction again",
            );
        }
        if self.control.clock().now() > UnixMillis(expires * 1000) {
            return refuse("this link has expired; call GetFunction again");
        }
        let digest = unhex(name).and_then(|bytes| bytes.try_into().ok()).map(Sha256Digest::from_bytes);
        let Some(digest) = digest else { return refuse("not a download link of lambd") };
        match self.control.store().packages().open_zip(digest).await {
            Ok(Some((zip, size))) => {
                of_type(StatusCode::OK, "application/zip", ResponseBody::read_from(zip, size))
            }
            Ok(None) => text(StatusCode::NOT_FOUND, "text/plain", "this package is no longer stored"),
            Err(error) => {
                tracing::error!(%error, "cannot read a package");
                text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the package cannot be read")
            }
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

impl AwsService for DownloadService {
    fn signing_name(&self) -> &'static str {
        "lambd-download"
    }

    fn recognises(&self, head: &RequestHead) -> bool {
        head.path.starts_with(PREFIX)
    }

    fn is_public(&self, _head: &RequestHead) -> bool {
        true
    }

    fn body_limit(&self, _head: &RequestHead) -> usize {
        0
    }

    fn refuse(&self, _head: &RequestHead, _why: Refusal) -> AwsResponse {
        text(StatusCode::BAD_REQUEST, "text/plain", "a download takes no body")
    }

    fn call(self: Arc<Self>, request: AwsRequest) -> ServiceFuture {
        Box::pin(async move { self.serve(&request.head).await })
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use lambd_http::{Caller, CallerDefaults, QueryPairs};
    use lambd_store::{DataDir, Store};
    use lambd_types::{AccountId, ManualClock, Region, RequestId};

    use super::*;
    use crate::ControlOptions;

    fn head(link: &str) -> RequestHead {
        let (path, query) = link.strip_prefix("http://host").unwrap().split_once('?').unwrap();
        let query = QueryPairs::parse(query);
        let defaults = CallerDefaults {
            account: AccountId::default_local(),
            region: Region::default_local(),
            confined: false,
        };
        let headers = HeaderMap::new();
        let caller = Caller::of(&headers, &query, &defaults);
        RequestHead {
            method: Method::GET,
            path: path.into(),
            query,
            headers,
            caller,
            request_id: RequestId::random(),
        }
    }

    #[tokio::test]
    async fn a_link_works_for_ten_minutes_and_at_the_daemon_that_made_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap());
        let clock = ManualClock::at(UnixMillis(1_579_303_152_000));
        let control = || Control::new(store.clone(), Arc::new(clock.clone()), ControlOptions::default());
        let (service, later) = (DownloadService::new(control()), DownloadService::new(control()));
        let digest = Sha256Digest::of(b"nothing that is stored");
        let link = link(&service.control, "host", digest);
        let longer = link.replace("Expires=157930", "Expires=257930");
        // Whoever is let in is told that there is no such package.
        assert_eq!(service.serve(&head(&link)).await.status(), StatusCode::NOT_FOUND);
        assert_eq!(later.serve(&head(&link)).await.status(), StatusCode::FORBIDDEN, "another daemon");
        clock.advance(600_000);
        assert_eq!(service.serve(&head(&link)).await.status(), StatusCode::NOT_FOUND);
        clock.advance(1);
        assert_eq!(service.serve(&head(&link)).await.status(), StatusCode::FORBIDDEN, "expired");
        assert_ne!(longer, link);
        assert_eq!(service.serve(&head(&longer)).await.status(), StatusCode::FORBIDDEN, "changed");
        store.close().await;
    }
}
