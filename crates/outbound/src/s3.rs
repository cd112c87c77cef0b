//! Reading and writing objects of S3 or a store with its interface.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use lambd_types::{Region, UnixMillis};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::service::impossible;
use crate::{Client, Credentials, Endpoint, OutboundError, ServiceError};

/// What stays as it is in a path, as Signature Version 4 has it.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
const VALUE: &AsciiSet = &PATH.add(b'/');

/// Bytes of an error document that are read.
const ERROR_MAX: usize = 64 * 1024;

/// Names one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its version; the newest if none is named.
    pub version: Option<String>,
}

/// An object could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The store said no.
    #[error("{code}: {message}")]
    Refused {
        /// S3's error code, such as `NoSuchKey`.
        code: String,
        /// S3's explanation.
        message: String,
    },
    /// The store could not be asked.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// It broke off.
    #[error("the object arrived in part only")]
    BrokenOff(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It is larger than the reader takes.
    #[error("the object has more than {limit} bytes")]
    TooLarge {
        /// Most bytes.
        limit: u64,
    },
}

/// A store of objects.
#[derive(Debug, Clone)]
pub struct Objects {
    client: Client,
    endpoint: Endpoint,
}

impl Objects {
    /// The store at `endpoint`, by paths that begin with the bucket.
    pub fn new(client: Client, endpoint: Endpoint) -> Self {
        Self { client, endpoint }
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Begins to read an object (`GetObject`).
    ///
    /// # Errors
    /// [`ObjectError::Refused`] with the store's own words, [`ObjectError::TooLarge`] if it says so at once, or that
    /// it could not be asked.
    pub async fn get(
        &self,
        location: &Location,
        region: &Region,
        credentials: &Credentials,
        limit: u64,
        at: UnixMillis,
    ) -> Result<Object, ObjectError> {
        let Location { bucket, key, version } = location;
        let mut path = format!("/{}/{}", utf8_percent_encode(bucket, VALUE), utf8_percent_encode(key, PATH));
        if let Some(version) = version {
            path.push_str("?versionId=");
            path.extend(utf8_percent_encode(version, VALUE));
        }
        let invalid = |error| OutboundError::Request(Box::new(error));
        let url = self.endpoint.url(region, &path).map_err(invalid)?;
        let request =
            Request::get(url).body(Bytes::new()).map_err(|e| OutboundError::Request(Box::new(e)))?;
        let response = self.client.send(request, "s3", region, credentials, at).await?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response).await);
        }
        let length = response.headers().get(header::CONTENT_LENGTH);
        let length: Option<u64> = length.and_then(|value| value.to_str().ok()?.parse().ok());
        if length.is_some_and(|length| length > limit) {
            return Err(ObjectError::TooLarge { limit });
        }
        Ok(Object { body: response.into_body(), left: limit, limit })
    }

    /// Writes a whole object of JSON (`PutObject`).
    ///
    /// # Errors
    /// [`ServiceError::is_transient`] tells whether to try again.
    pub async fn put_json(
        &self,
        location: &Location,
        document: String,
        region: &Region,
        credentials: &Credentials,
        at: UnixMillis,
    ) -> Result<(), ServiceError> {
        let Location { bucket, key, version: _ } = location;
        let path = format!("/{}/{}", utf8_percent_encode(bucket, VALUE), utf8_percent_encode(key, PATH));
        let request = Request::put(self.endpoint.url(region, &path).map_err(impossible)?)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(document))
            .map_err(impossible)?;
        let response = self.client.send(request, "s3", region, credentials, at).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        match refusal(response).await {
            ObjectError::Refused { code, message } => Err(ServiceError::Refused { status, code, message }),
            other => Err(impossible(other)),
        }
    }
}

/// An object that is being read.
#[derive(Debug)]
pub struct Object {
    body: Incoming,
    left: u64,
    limit: u64,
}

impl Object {
    /// The next part of it; `None` after the last.
    ///
    /// # Errors
    /// It broke off, or is longer than it may be.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ObjectError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| ObjectError::BrokenOff(Box::new(error)))?;
            let Ok(data) = frame.into_data() else { continue };
            self.left = self
                .left
                .checked_sub(data.len() as u64)
                .ok_or(ObjectError::TooLarge { limit: self.limit })?;
            return Ok(Some(data));
        }
        Ok(None)
    }
}

async fn refusal(response: Response<Incoming>) -> ObjectError {
    let status = response.status();
    let body = Limited::new(response.into_body(), ERROR_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let reason = || status.canonical_reason().unwrap_or("unknown").to_owned();
    ObjectError::Refused {
        code: element(&text, "Code").unwrap_or_else(|| status.as_u16().to_string()),
        message: element(&text, "Message").unwrap_or_else(reason),
    }
}

/// The text of the first element with this name. S3's error documents are flat and have no attributes.
pub(crate) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    Some(entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambd_types::AccountId;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Reads an object from a store that gives this answer; returns the request line and what was read.
    async fn read(
        location: Location,
        answer: &'static str,
        limit: u64,
    ) -> (String, Result<Vec<u8>, ObjectError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let store = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            client.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head).unwrap().lines().next().unwrap().to_owned()
        });
        let objects = Objects::new(Client::default(), endpoint);
        let credentials = Credentials::of_account(&AccountId::default_local());
        let result = async {
            let region = Region::default_local();
            let mut object = objects.get(&location, &region, &credentials, limit, UnixMillis(0)).await?;
            let mut whole = Vec::new();
            while let Some(chunk) = object.chunk().await? {
                whole.extend(chunk);
            }
            Ok(whole)
        };
        let result = result.await;
        (store.await.unwrap(), result)
    }

    fn location(key: &str, version: Option<&str>) -> Location {
        Location { bucket: "b".into(), key: key.into(), version: version.map(Into::into) }
    }

    #[tokio::test]
    async fn an_object_is_read_by_its_encoded_name() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        let (line, read) = read(location("a b/ü+.zip", Some("x/1=")), answer, 5).await;
        assert_eq!(line, "GET /b/a%20b/%C3%BC%2B.zip?versionId=x%2F1%3D HTTP/1.1");
        assert_eq!(read.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn a_refusal_has_the_stores_own_words() {
        let answer = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n<?xml version=\"1.0\"?>\n\
                      <Error><Code>NoSuchKey</Code><Message>The &quot;key&quot; is &amp;lt;gone</Message></Error>";
        let error = read(location("k", None), answer, 5).await.1.unwrap_err();
        assert_eq!(error.to_string(), "NoSuchKey: The \"key\" is &lt;gone");
        let answer = "HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(
            read(location("k", None), answer, 5).await.1.unwrap_err().to_string(),
            "503: Service Unavailable"
        );
    }

    #[tokio::test]
    async fn an_object_is_never_longer_than_it_may_be() {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello!",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello!",
        ] {
            let error = read(location("k", None), answer, 5).await.1.unwrap_err();
            assert!(matches!(error, ObjectError::TooLarge { limit: 5 }), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_broken_connection_is_no_object() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel";
        let error = read(location("k", None), answer, 5).await.1.unwrap_err();
        assert!(matches!(error, ObjectError::BrokenOff(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_store_that_is_not_there_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let objects = Objects::new(Client::default(), format!("http://{address}").parse().unwrap());
        let credentials = Credentials::of_account(&AccountId::default_local());
        let region = Region::default_local();
        let error =
            objects.get(&location("k", None), &region, &credentials, 5, UnixMillis(0)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot reach {address}"));
    }
}
