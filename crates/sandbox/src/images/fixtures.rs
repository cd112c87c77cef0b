//! Image layouts made by hand, good ones and bad ones.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{ImageError, ImageLimits, ImageSource, ImageStore, UnpackedImage};

pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A tar archive that is put together entry by entry.
pub(super) struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    pub(super) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Any entry. The names go in as they are, whatever they say.
    pub(super) fn entry(
        mut self,
        kind: tar::EntryType,
        name: &str,
        link: &str,
        mode: u32,
        data: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_gnu();
        let put = |field: &mut [u8], text: &str| field[..text.len()].copy_from_slice(text.as_bytes());
        put(&mut header.as_old_mut().name, name);
        put(&mut header.as_old_mut().linkname, link);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_600_000_000);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.append(&header, data).expect("tar");
        self
    }

    pub(super) fn file(self, name: &str, data: &str) -> Self {
        self.entry(tar::EntryType::Regular, name, "", 0o644, data.as_bytes())
    }

    pub(super) fn directory(self, name: &str) -> Self {
        self.entry(tar::EntryType::Directory, name, "", 0o755, b"")
    }

    pub(super) fn link(self, name: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Symlink, name, target, 0o777, b"")
    }

    pub(super) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Link, name, target, 0o644, b"")
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("tar")
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// An image layout in a directory of its own, and a store beside it.
pub(super) struct Fixture {
    dir: TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::create_dir_all(dir.path().join("layout/blobs/sha256")).expect("mkdir");
        fs::write(dir.path().join("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("write");
        Self { dir }
    }

    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    pub(super) fn layout(&self) -> PathBuf {
        self.path("layout")
    }

    pub(super) fn blob_path(&self, descriptor: &Value) -> PathBuf {
        let digest =
            descriptor["digest"].as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
        self.layout().join("blobs/sha256").join(digest)
    }

    /// Adds a blob and returns its descriptor.
    pub(super) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let descriptor =
            json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()});
        fs::write(self.blob_path(&descriptor), bytes).expect("write");
        descriptor
    }

    /// Adds an image and returns the descriptor of its manifest, which does not say what it is for.
    pub(super) fn image(&self, architecture: &str, layers: Vec<Value>) -> Value {
        let config = json!({"os": "linux", "architecture": architecture, "rootfs": {"type": "layers"}});
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    pub(super) fn index(&self, manifests: Vec<Value>) {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        fs::write(self.layout().join("index.json"), index.to_string()).expect("write");
    }

    /// The layout as one archive, as `docker save` writes it.
    pub(super) fn archive(&self) -> PathBuf {
        let path = self.path("image.tar");
        let mut builder = tar::Builder::new(fs::File::create(&path).expect("create"));
        builder.append_dir_all(".", self.layout()).expect("tar");
        builder.into_inner().expect("tar");
        path
    }

    pub(super) fn store(&self) -> ImageStore {
        self.store_with(ImageLimits::default())
    }

    pub(super) fn store_with(&self, limits: ImageLimits) -> ImageStore {
        ImageStore::open(&self.path("images"), limits).expect("a store")
    }

    pub(super) fn unpack(&self) -> Result<UnpackedImage, ImageError> {
        self.store().unpack(&self.source(None))
    }

    pub(super) fn source(&self, tag: Option<&str>) -> ImageSource {
        ImageSource { path: self.layout(), tag: tag.map(str::to_owned) }
    }

    /// Unpacks what must be refused, checks that nothing of it stays, and returns the reason.
    pub(super) fn refused(&self) -> String {
        self.refused_with(ImageLimits::default())
    }

    pub(super) fn refused_with(&self, limits: ImageLimits) -> String {
        let error = self.store_with(limits).unpack(&self.source(None)).expect_err("it is refused");
        let left: Vec<_> = names(&self.path("images")).into_iter().filter(|name| name != "lock").collect();
        assert_eq!(left, Vec::<String>::new());
        error.to_string()
    }
}

/// A descriptor with something added.
pub(super) fn with(mut descriptor: Value, key: &str, value: Value) -> Value {
    descriptor[key] = value;
    descriptor
}

pub(super) fn tagged(descriptor: Value, tag: &str) -> Value {
    with(descriptor, "annotations", json!({"org.opencontainers.image.ref.name": tag}))
}

pub(super) fn platform(descriptor: Value, architecture: &str) -> Value {
    with(descriptor, "platform", json!({"os": "linux", "architecture": architecture}))
}

/// Sorted names in a directory.
pub(super) fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

pub(super) fn text(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
