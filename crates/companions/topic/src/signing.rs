//! Signatures of messages, and the certificate that tells whose they are.
//!
//! A message is signed over a text made of some of its members, with RSA and SHA-1 or SHA-256. The key is made when the
//! first message needs it, and kept in the database; the certificate is its own issuer, since nobody else vouches for it.

use std::collections::VecDeque;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use getrandom::SysRng;
use lambd_store::topics::SignerRow;
use lambd_store::{Store, StoreError};
use lambd_types::{Clock, Sha256Digest, UnixMillis, iso8601_millis};
use rsa::PrivateKey;
use rsa::pkcs1v15::{Signature, SigningKey};
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rsa::signature::{SignatureEncoding as _, Signer as _};
use sha1::Sha1;
use sha2::Sha256;
use tokio::sync::OnceCell;
use x509_cert::TbsCertificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder as _, CertificateBuilder};
use x509_cert::der::asn1::GeneralizedTime;
use x509_cert::der::{DateTime, EncodePem as _};
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

use crate::message::{Kind, Message, SignatureVersion};

/// Bits of the key, as SNS has it.
const KEY_BITS: usize = 2048;
const SUBJECT: &str = "CN=sns.amazonaws.com,O=lambd";
/// How long the certificate is valid: longer than anybody keeps a data directory.
const VALIDITY: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Signatures that are remembered: those of messages that go to many subscriptions.
const REMEMBERED: usize = 256;

/// A message could not be signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the key for messages cannot be made or used")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn key_error(error: impl std::error::Error + Send + Sync + 'static) -> SigningError {
    SigningError::Key(Box::new(error))
}

/// A key that is ready.
struct Keys {
    one: SigningKey<Sha1>,
    two: SigningKey<Sha256>,
    certificate: Certificate,
}

/// What clients verify signatures with.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    /// The name of its file.
    pub(crate) name: String,
    pub(crate) pem: String,
}

type Remembered = (Sha256Digest, Arc<OnceCell<String>>);

/// Signs messages.
pub(crate) struct Signer {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    keys: OnceCell<Arc<Keys>>,
    remembered: Mutex<VecDeque<Remembered>>,
}

impl Signer {
    pub(crate) fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, keys: OnceCell::new(), remembered: Mutex::default() }
    }

    async fn keys(&self) -> Result<&Arc<Keys>, SigningError> {
        self.keys.get_or_try_init(|| self.load()).await
    }

    async fn load(&self) -> Result<Arc<Keys>, SigningError> {
        let stored = self.store.topics().signer().await?;
        let (stored, new) = match stored {
            Some(stored) => (stored, false),
            None => {
                let now = self.clock.now();
                (on_a_thread(move || make(now)).await?, true)
            }
        };
        if new {
            self.store.topics().keep_signer(&stored).await?;
        }
        let key = PrivateKey::from_pkcs8_pem(&stored.private_key).map_err(key_error)?;
        let digest = Sha256Digest::of(stored.certificate.as_bytes()).to_hex();
        let name = format!("SimpleNotificationService-{}.pem", &digest[..32]);
        let certificate = Certificate { name, pem: stored.certificate };
        Ok(Arc::new(Keys { one: SigningKey::new(key.clone()), two: SigningKey::new(key), certificate }))
    }

    /// What clients verify signatures with.
    pub(crate) async fn certificate(&self) -> Result<Certificate, SigningError> {
        Ok(self.keys().await?.certificate.clone())
    }

    /// The signature of a message, in base64. `text` is its text for its subscriber, `link` its `SubscribeURL`.
    pub(crate) async fn sign(
        &self,
        message: &Message,
        id: &str,
        text: &str,
        link: Option<&str>,
    ) -> Result<String, SigningError> {
        let version = message.signature_version;
        let canonical = canonical(message, id, text, link);
        let cell = self.remember(Sha256Digest::of(format!("{}\n{canonical}", version.as_str()).as_bytes()));
        let sign = async || {
            let keys = self.keys().await?.clone();
            on_a_thread(move || {
                let signature: Signature = match version {
                    SignatureVersion::One => keys.one.try_sign(canonical.as_bytes()),
                    SignatureVersion::Two => keys.two.try_sign(canonical.as_bytes()),
                }
                .map_err(key_error)?;
                Ok(STANDARD.encode(signature.to_bytes()))
            })
            .await
        };
        cell.get_or_try_init(sign).await.cloned()
    }

    /// The place for the signature of a text: subscribers of one message wait for one computation.
    fn remember(&self, digest: Sha256Digest) -> Arc<OnceCell<String>> {
        let mut remembered = self.remembered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, cell)) = remembered.iter().rev().find(|(known, _)| *known == digest) {
            return cell.clone();
        }
        let cell = Arc::new(OnceCell::new());
        remembered.push_back((digest, cell.clone()));
        if remembered.len() > REMEMBERED {
            remembered.pop_front();
        }
        cell
    }
}

/// Large numbers take milliseconds, and a key a second: not for the threads that serve requests.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SigningError> + Send + 'static,
) -> Result<T, SigningError> {
    tokio::task::spawn_blocking(work).await.map_err(key_error)?
}

/// The text that is signed: members in the order of their names, each name and value on a line of its own.
pub(crate) fn canonical(message: &Message, id: &str, text: &str, link: Option<&str>) -> String {
    let at = iso8601_millis(UnixMillis(message.at));
    let mut members = vec![("Message", text), ("MessageId", id)];
    match message.kind {
        Kind::Notification => members.extend(message.subject.as_deref().map(|subject| ("Subject", subject))),
        _ => members.push(("SubscribeURL", link.unwrap_or_default())),
    }
    members.push(("Timestamp", &at));
    if message.kind != Kind::Notification {
        members.push(("Token", message.token.as_deref().unwrap_or_default()));
    }
    members.extend([("TopicArn", message.topic.as_str()), ("Type", message.kind.as_str())]);
    members.into_iter().map(|(name, value)| format!("{name}\n{value}\n")).collect()
}

/// A certificate that names itself as its issuer.
struct SelfSigned(Name);

impl BuilderProfile for SelfSigned {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        _spk: SubjectPublicKeyInfoRef<'_>,
        _issuer_spk: SubjectPublicKeyInfoRef<'_>,
        _tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(Vec::new())
    }
}

fn make(now: UnixMillis) -> Result<SignerRow, SigningError> {
    let key = PrivateKey::new(&mut SysRng, KEY_BITS).map_err(key_error)?;
    let public = key.to_public_key().to_public_key_der().map_err(key_error)?;
    let public = SubjectPublicKeyInfo::try_from(public.as_bytes()).map_err(key_error)?;
    let mut serial = lambd_types::random::bytes::<16>();
    // Positive, and without zeros at its front.
    serial[0] = (serial[0] & 0x7f) | 0x40;
    let serial = SerialNumber::new(&serial).map_err(key_error)?;
    let from = Duration::from_millis(now.0.unsigned_abs());
    let time = |since: Duration| {
        let time = DateTime::from_unix_duration(since).map(GeneralizedTime::from_date_time);
        time.map(Time::GeneralTime).map_err(key_error)
    };
    let validity = Validity::new(time(Duration::from_secs(from.as_secs()))?, time(from + VALIDITY)?);
    let subject = SelfSigned(Name::from_str(SUBJECT).map_err(key_error)?);
    let builder = CertificateBuilder::new(subject, serial, validity, public).map_err(key_error)?;
    let signer = SigningKey::<Sha256>::new(key.clone());
    let certificate = builder.build::<_, Signature>(&signer).map_err(key_error)?;
    Ok(SignerRow {
        private_key: key.to_pkcs8_pem(LineEnding::LF).map_err(key_error)?.to_string(),
        certificate: certificate.to_pem(LineEnding::LF).map_err(key_error)?,
    })
}

#[cfg(test)]
mod tests {
    use lambd_store::DataDir;
    use lambd_types::SystemClock;
    use rsa::pkcs1v15::VerifyingKey;
    use rsa::pkcs8::DecodePublicKey as _;
    use rsa::signature::Verifier as _;
    use x509_cert::der::{DecodePem as _, Encode as _};

    use super::*;

    fn message(kind: Kind, version: SignatureVersion) -> Message {
        Message {
            kind,
            topic: "arn:aws:sns:us-east-1:123456789012:t".into(),
            text: "Hello\nworld".into(),
            structured: false,
            subject: Some("Subj".into()),
            attributes: Vec::new(),
            group: None,
            deduplication: None,
            at: 1_335_830_400_000,
            signature_version: version,
            trace: None,
            token: Some("tok".into()),
        }
    }

    #[test]
    fn the_signed_text_is_the_documented_one() {
        let notification = message(Kind::Notification, SignatureVersion::One);
        assert_eq!(
            canonical(&notification, "id-1", "Hello\nworld", None),
            "Message\nHello\nworld\nMessageId\nid-1\nSubject\nSubj\nTimestamp\n2012-05-01T00:00:00.000Z\n\
             TopicArn\narn:aws:sns:us-east-1:123456789012:t\nType\nNotification\n"
        );
        let confirmation = message(Kind::SubscriptionConfirmation, SignatureVersion::One);
        assert_eq!(
            canonical(&confirmation, "id-1", "x", Some("http://l/")),
            "Message\nx\nMessageId\nid-1\nSubscribeURL\nhttp://l/\nTimestamp\n2012-05-01T00:00:00.000Z\nToken\ntok\n\
             TopicArn\narn:aws:sns:us-east-1:123456789012:t\nType\nSubscriptionConfirmation\n"
        );
    }

    #[tokio::test]
    async fn signatures_are_verified_with_the_certificate_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let open = async || Arc::new(Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap());
        let signer = Signer::new(open().await, Arc::new(SystemClock));
        let certificate = signer.certificate().await.unwrap();
        let parsed = x509_cert::Certificate::from_pem(&certificate.pem).unwrap();
        let public = parsed.tbs_certificate().subject_public_key_info().to_der().unwrap();
        let public = rsa::PublicKey::from_public_key_der(&public).unwrap();
        for version in [SignatureVersion::One, SignatureVersion::Two] {
            let message = message(Kind::Notification, version);
            let signature = signer.sign(&message, "id", &message.text, None).await.unwrap();
            let signature = Signature::try_from(STANDARD.decode(signature).unwrap().as_slice()).unwrap();
            let text = canonical(&message, "id", &message.text, None);
            match version {
                SignatureVersion::One => {
                    VerifyingKey::<Sha1>::new(public.clone()).verify(text.as_bytes(), &signature).unwrap();
                }
                SignatureVersion::Two => {
                    VerifyingKey::<Sha256>::new(public.clone()).verify(text.as_bytes(), &signature).unwrap();
                }
            }
        }
        drop(signer);
        let again = Signer::new(open().await, Arc::new(SystemClock)).certificate().await.unwrap();
        assert_eq!((again.pem, again.name), (certificate.pem, certificate.name));
    }
}
