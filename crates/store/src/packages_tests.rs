use std::io::Write as _;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

fn zip_of(build: impl FnOnce(&mut ZipWriter<io::Cursor<Vec<u8>>>)) -> Bytes {
    let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
    build(&mut writer);
    writer.finish().unwrap().into_inner().into()
}

fn file(writer: &mut ZipWriter<io::Cursor<Vec<u8>>>, name: &str, mode: u32, content: &[u8]) {
    writer.start_file(name, SimpleFileOptions::default().unix_permissions(mode)).unwrap();
    writer.write_all(content).unwrap();
}

fn open() -> (tempfile::TempDir, Packages) {
    let dir = tempfile::tempdir().unwrap();
    let packages = Packages::open(dir.path(), dir.path()).unwrap();
    (dir, packages)
}

/// A package that came in two parts.
async fn arrived(packages: &Packages, zip: &Bytes) -> Arrived {
    let arriving = packages.receive();
    let (first, second) = zip.split_at(zip.len() / 2);
    for part in [first, second] {
        arriving.push(Bytes::copy_from_slice(part)).await;
    }
    arriving.finish().await.unwrap()
}

/// What a package is downloaded as.
async fn content(packages: &Packages, digest: Sha256Digest) -> Option<Vec<u8>> {
    let (mut file, size) = packages.open_zip(digest).await.unwrap()?;
    let mut content = Vec::new();
    file.read_to_end(&mut content).await.unwrap();
    assert_eq!(content.len() as u64, size);
    Some(content)
}

fn nothing_left(dir: &tempfile::TempDir, packages: &Packages) {
    for sub in [dir.path().join("packages"), dir.path().join("incoming"), packages.dirs.unpacked.clone()] {
        assert_eq!(fs::read_dir(&sub).unwrap().count(), 0, "{} is not empty", sub.display());
    }
}

/// Refused by what the archive says about itself, before anything is stored.
async fn refused(zip: Bytes, limits: UnpackLimits) -> PackageError {
    let (dir, packages) = open();
    let error = packages.add(arrived(&packages, &zip).await, limits).await.unwrap_err();
    nothing_left(&dir, &packages);
    error
}

/// Refused when it is unpacked; nothing that was unpacked remains.
async fn fails(zip: Bytes, limits: UnpackLimits) -> PackageError {
    let (dir, packages) = open();
    assert!(
        packages.check(arrived(&packages, &zip.clone()).await, limits).await.unwrap_err().is_bad_package(),
        "both find it"
    );
    let stored = packages.add(arrived(&packages, &zip).await, limits).await.unwrap();
    let error = packages.prepare(stored.digest, limits).await.unwrap_err();
    for empty in [dir.path().join("incoming"), packages.dirs.unpacked.clone()] {
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0, "{} is not empty", empty.display());
    }
    error
}

/// RT-46, LANG1-028: modes and links of the archive are kept.
#[tokio::test]
async fn content_modes_and_links_survive() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, packages) = open();
    let zip = zip_of(|w| {
        file(w, "bootstrap", 0o755, b"#!/bin/sh\n");
        file(w, "lib/data.txt", 0o644, b"data");
        w.add_symlink("link", "lib/data.txt", SimpleFileOptions::default()).unwrap();
    });
    let stored = packages.add(arrived(&packages, &zip.clone()).await, UnpackLimits::default()).await.unwrap();
    let root = packages.directory(stored.digest).await.unwrap();
    assert_eq!(fs::metadata(root.join("bootstrap")).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read(root.join("link")).unwrap(), b"data");
    assert_eq!(content(&packages, stored.digest).await, Some(zip.to_vec()));
}

#[tokio::test]
async fn the_unpacked_cache_is_made_again() {
    let (_dir, packages) = open();
    let stored = packages
        .add(arrived(&packages, &zip_of(|w| file(w, "a", 0o644, b"a"))).await, UnpackLimits::default())
        .await
        .unwrap();
    let root = packages.directory(stored.digest).await.unwrap();
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(fs::read(packages.directory(stored.digest).await.unwrap().join("a")).unwrap(), b"a");
}

#[tokio::test]
async fn garbage_and_truncated_archives_are_refused() {
    assert!(matches!(
        refused(Bytes::from_static(b"no zip"), UnpackLimits::default()).await,
        PackageError::NotAZip(_)
    ));
    let whole = zip_of(|w| file(w, "a", 0o644, &[7; 5000]));
    let cut = whole.slice(..whole.len() - 10);
    assert!(matches!(refused(cut, UnpackLimits::default()).await, PackageError::NotAZip(_)));
}

#[tokio::test]
async fn paths_that_leave_the_package_are_refused() {
    for name in ["../evil", "/etc/passwd", "a/../../evil", "..\\evil"] {
        let zip = zip_of(|w| file(w, name, 0o644, b"x"));
        let error = refused(zip, UnpackLimits::default()).await;
        assert!(matches!(error, PackageError::UnsafePath { .. }), "{name}: {error}");
    }
}

#[tokio::test]
async fn links_that_leave_the_package_are_refused() {
    for target in ["/etc/passwd", "../outside", "a/../../outside"] {
        let zip = zip_of(|w| w.add_symlink("link", target, SimpleFileOptions::default()).unwrap());
        let error = refused(zip, UnpackLimits::default()).await;
        assert!(matches!(error, PackageError::UnsafeLink { .. }), "{target}: {error}");
    }
}

/// A link made through another link must not reach beyond the package, whatever the texts say.
#[tokio::test]
async fn links_through_links_are_refused() {
    let link = |w: &mut ZipWriter<_>, name: &str, target: &str| {
        w.add_symlink(name, target, SimpleFileOptions::default()).unwrap();
    };
    let climbing = zip_of(|w| {
        link(w, "a", ".");
        link(w, "a/a/a/a/l", "../../../..");
        link(w, "l/made/owned", "../x");
    });
    assert!(refused(climbing.clone(), UnpackLimits::default()).await.is_bad_package());
    // Nor when it comes to unpacking without having been inspected.
    let dir = tempfile::tempdir().unwrap();
    let unpacked = unpack::unpack(io::Cursor::new(climbing), &dir.path().join("in"), UnpackLimits::NONE);
    assert!(unpacked.unwrap_err().is_bad_package());
    assert!(!dir.path().join("made").exists() && !dir.path().join("owned").exists());
    for target in ["x/../../y", "x/.."] {
        let error = refused(zip_of(|w| link(w, "d/l", target)), UnpackLimits::default()).await;
        assert!(matches!(error, PackageError::UnsafeLink { .. }), "{target}: {error}");
    }
}

#[tokio::test]
async fn names_that_no_file_can_have_are_the_archive_s_fault() {
    for name in ["x".repeat(300), "d/".repeat(101) + "x"] {
        let zip = zip_of(|w| file(w, &name, 0o644, b""));
        assert!(refused(zip, UnpackLimits::default()).await.is_bad_package(), "{name}");
    }
    let target = "y".repeat(5000);
    let zip = zip_of(|w| w.add_symlink("l", &target, SimpleFileOptions::default()).unwrap());
    assert!(refused(zip, UnpackLimits::default()).await.is_bad_package());
}

#[tokio::test]
async fn a_file_below_a_link_is_refused() {
    let zip = zip_of(|w| {
        w.add_symlink("dir", "other", SimpleFileOptions::default()).unwrap();
        file(w, "dir/file", 0o644, b"x");
    });
    assert!(matches!(refused(zip, UnpackLimits::default()).await, PackageError::NotAZip(_)));
}

#[tokio::test]
async fn bombs_are_refused_by_declared_and_by_actual_size() {
    let limits = UnpackLimits { bytes: 10_000, entries: 10 };
    let declared = zip_of(|w| file(w, "bomb", 0o644, &[0; 20_000]));
    assert!(matches!(refused(declared.clone(), limits).await, PackageError::TooLarge { limit: 10_000 }));

    let many = zip_of(|w| {
        file(w, "half", 0o644, &[0; 6_000]);
        file(w, "other-half", 0o644, &[0; 6_000]);
    });
    assert!(matches!(refused(many, limits).await, PackageError::TooLarge { .. }));

    // The same archive with a lie in the central directory and the local header about the size.
    let mut lying = declared.to_vec();
    let size = 20_000u32.to_le_bytes();
    while let Some(at) = lying.windows(4).position(|w| w == size) {
        lying[at..at + 4].copy_from_slice(&100u32.to_le_bytes());
    }
    assert!(fails(lying.into(), limits).await.is_bad_package());

    let entries = zip_of(|w| (0..11).for_each(|i| file(w, &format!("f{i}"), 0o644, b"")));
    assert!(matches!(refused(entries, limits).await, PackageError::TooManyEntries { limit: 10 }));
}

#[tokio::test]
async fn a_name_that_occurs_twice_is_refused() {
    let mut twice = zip_of(|w| {
        file(w, "one", 0o644, b"first");
        file(w, "two", 0o644, b"second");
    })
    .to_vec();
    while let Some(at) = twice.windows(3).position(|w| w == b"two") {
        twice[at..at + 3].copy_from_slice(b"one");
    }
    assert!(matches!(refused(twice.into(), UnpackLimits::default()).await, PackageError::NotAZip(_)));
    let other_spelling = zip_of(|w| {
        file(w, "one", 0o644, b"first");
        file(w, "./one", 0o644, b"second");
    });
    assert!(matches!(refused(other_spelling, UnpackLimits::default()).await, PackageError::NotAZip(_)));
    assert!(matches!(refused(zip_of(|_| {}), UnpackLimits::default()).await, PackageError::NotAZip(_)));
}

/// Where code is not mounted read-only, its modes are what keeps it as it was uploaded.
#[tokio::test]
async fn nobody_but_the_owner_may_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, packages) = open();
    let zip = zip_of(|w| {
        w.add_directory("open", SimpleFileOptions::default().unix_permissions(0o777)).unwrap();
        file(w, "open/file", 0o6766, b"");
    });
    let stored = packages.add(arrived(&packages, &zip).await, UnpackLimits::default()).await.unwrap();
    let root = packages.directory(stored.digest).await.unwrap();
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("open"), mode("open/file")), (0o755, 0o744));
}

#[tokio::test]
async fn unreferenced_packages_are_collected() {
    let (dir, packages) = open();
    let keep = packages
        .add(arrived(&packages, &zip_of(|w| file(w, "a", 0o644, b"keep"))).await, UnpackLimits::default())
        .await
        .unwrap();
    packages
        .add(arrived(&packages, &zip_of(|w| file(w, "a", 0o644, b"drop"))).await, UnpackLimits::default())
        .await
        .unwrap();
    assert_eq!(packages.retain(vec![keep.digest], Vec::new()).await.unwrap(), 1);
    assert_eq!(fs::read_dir(dir.path().join("packages")).unwrap().count(), 1);
    assert!(content(&packages, keep.digest).await.is_some());
}

#[tokio::test]
async fn a_package_that_is_being_read_stays_whole() {
    let (_dir, packages) = open();
    let large = vec![7; 5 * READ_AHEAD];
    let zip = zip_of(|w| {
        w.start_file("a", SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored))
            .unwrap();
        w.write_all(&large).unwrap();
    });
    let stored = packages.add(arrived(&packages, &zip).await, UnpackLimits::default()).await.unwrap();
    let (mut file, size) = packages.open_zip(stored.digest).await.unwrap().unwrap();
    let mut begin = vec![0; 100];
    file.read_exact(&mut begin).await.unwrap();
    assert_eq!(packages.retain(Vec::new(), Vec::new()).await.unwrap(), 1);
    assert!(packages.open_zip(stored.digest).await.unwrap().is_none());
    file.read_to_end(&mut begin).await.unwrap();
    assert_eq!((begin.len() as u64, &begin[..]), (size, &zip[..]));
}

/// CORE-208: in the order of the list, once for each list, and one layer alone without a copy.
#[tokio::test]
async fn lists_of_layers_are_merged_once() {
    let (dir, packages) = open();
    let layer = async |content: &[u8]| {
        let zip = zip_of(|w| file(w, "f", 0o644, content));
        packages.add_unpacked(arrived(&packages, &zip).await, UnpackLimits::default()).await.unwrap()
    };
    let (one, two) = (layer(b"one").await, layer(b"two!").await);
    assert_eq!((one.unpacked, two.unpacked), (3, 4));
    assert_eq!(packages.unpacked_size(two.digest).await.unwrap(), 4);
    let of = async |list: &[StoredPackage]| {
        packages.layers(list.iter().map(|layer| layer.digest).collect()).await.unwrap()
    };
    assert_eq!(of(&[]).await, None);
    assert_eq!(of(&[one]).await, Some(packages.directory(one.digest).await.unwrap()));
    let (up, down) = (of(&[one, two]).await.unwrap(), of(&[two, one]).await.unwrap());
    assert_eq!(fs::read(up.join("f")).unwrap(), b"two!");
    assert_eq!(fs::read(down.join("f")).unwrap(), b"one");
    assert_eq!(of(&[one, two]).await.as_ref(), Some(&up));
    // What this boot has not unpacked is made again.
    for made in [&up, &packages.directory(one.digest).await.unwrap()] {
        fs::remove_dir_all(made).unwrap();
    }
    assert_eq!(fs::read(of(&[one, two]).await.unwrap().join("f")).unwrap(), b"two!");

    assert_eq!(packages.retain(Vec::new(), vec![vec![one.digest, two.digest]]).await.unwrap(), 0);
    assert!(up.is_dir() && !down.exists(), "only what was merged for a list in use stays");
    assert_eq!(packages.retain(vec![one.digest], Vec::new()).await.unwrap(), 1);
    assert_eq!(fs::read_dir(dir.path().join("packages")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(&packages.dirs.unpacked).unwrap().count(), 1);
}

/// A layer that cannot be unpacked is not stored.
#[tokio::test]
async fn what_must_be_whole_is_stored_only_then() {
    let (dir, packages) = open();
    let mut damaged = zip_of(|w| {
        w.start_file("f", SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored))
            .unwrap();
        w.write_all(b"content").unwrap();
    })
    .to_vec();
    let at = damaged.windows(7).position(|bytes| bytes == b"content").unwrap();
    damaged[at] = b'X';
    let arrived = arrived(&packages, &damaged.into()).await;
    let error = packages.add_unpacked(arrived, UnpackLimits::default()).await.unwrap_err();
    assert!(error.is_bad_package(), "{error}");
    nothing_left(&dir, &packages);
}
