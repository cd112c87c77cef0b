//! Unpacking layouts made by hand.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tar::EntryType;

use super::fixtures::{Fixture, INDEX, LAYER, Tar, gzip, names, platform, tagged, text, with, zstd};
use super::{ImageLimits, ImageSource};

/// This machine's architecture, in the words of images.
fn here() -> String {
    super::document::Platform::of_this_machine().architecture
}

fn layered(layers: Vec<Tar>) -> Fixture {
    let fixture = Fixture::new();
    let layers = layers.into_iter().map(|layer| fixture.blob(LAYER, &layer.bytes())).collect();
    let image = fixture.image(&here(), layers);
    fixture.index(vec![image]);
    fixture
}

#[test]
fn layers_of_every_compression_are_put_on_each_other() {
    let fixture = Fixture::new();
    let base = Tar::new().directory("./").directory("etc/").file("etc/a", "1").file("etc/b", "1").bytes();
    let middle = Tar::new().file("./etc/b", "2").file("/usr/bin/tool", "2").bytes();
    let top = Tar::new().file("etc/c", "3").bytes();
    // A gzip stream of two members, and a zstd stream of two frames with one to skip between them.
    let (one, two) = middle.split_at(700);
    let members = [gzip(one), gzip(two)].concat();
    let skipped = [&0x184D_2A50_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
    let (one, two) = top.split_at(600);
    let frames = [zstd(one), skipped, zstd(two)].concat();
    let layers = vec![
        fixture.blob(LAYER, &base),
        fixture.blob(&format!("{LAYER}+gzip"), &members),
        fixture.blob(&format!("{LAYER}+zstd"), &frames),
    ];
    let image = fixture.image(&here(), layers);
    fixture.index(vec![image.clone()]);
    let unpacked = fixture.unpack().unwrap();
    assert_eq!(unpacked.digest, image["digest"].as_str().unwrap());
    assert_eq!(unpacked.root.file_name().unwrap().to_str().unwrap(), &unpacked.digest["sha256:".len()..]);
    let read = |name: &str| text(unpacked.root.join(name));
    assert_eq!([read("etc/a"), read("etc/b"), read("etc/c"), read("usr/bin/tool")], ["1", "2", "3", "2"]);
}

#[test]
fn dockers_own_media_types_are_taken() {
    let fixture = Fixture::new();
    let layer = Tar::new().file("a", "docker").bytes();
    let layer = fixture.blob("application/vnd.docker.image.rootfs.diff.tar.gzip", &gzip(&layer));
    let image = fixture.image(&here(), vec![layer]);
    let image = with(image, "mediaType", json!("application/vnd.docker.distribution.manifest.v2+json"));
    fixture.index(vec![image]);
    assert_eq!(text(fixture.unpack().unwrap().root.join("a")), "docker");
}

#[test]
fn an_archive_is_as_good_as_a_directory() {
    let fixture = layered(vec![Tar::new().file("a", "1")]);
    let from_directory = fixture.unpack().unwrap();
    fs::remove_dir_all(&from_directory.root).unwrap();
    let archive = fixture.archive();
    fs::remove_dir_all(fixture.layout()).unwrap();
    let from_archive = fixture.store().unpack(&ImageSource { path: archive, tag: None }).unwrap();
    assert_eq!(from_archive, from_directory);
    assert_eq!(text(from_archive.root.join("a")), "1");
}

#[test]
fn archives_of_other_kinds_are_refused_by_name() {
    let fixture = Fixture::new();
    let refused = |bytes: &[u8]| {
        let path = fixture.path("archive");
        fs::write(&path, bytes).unwrap();
        fixture.store().unpack(&ImageSource { path, tag: None }).unwrap_err().to_string()
    };
    let old = Tar::new().file("manifest.json", "[]").file("0123/layer.tar", "").bytes();
    assert!(refused(&old).contains("older `docker save`"));
    assert!(refused(&Tar::new().file("a", "").bytes()).contains("no file oci-layout"));
    assert!(refused(b"no archive at all").contains("is no archive of an OCI image layout"));
    assert!(refused(&vec![b'x'; 2000]).contains("is no archive of an OCI image layout"));
}

#[test]
fn an_image_is_unpacked_once_and_removed_when_nothing_refers_to_it() {
    let fixture = layered(vec![Tar::new().file("a", "1")]);
    let first = fixture.unpack().unwrap();
    let made = fs::metadata(&first.root).unwrap().ino();
    // What a daemon left that was killed while it unpacked.
    fs::create_dir_all(fixture.path("images/incoming/usr")).unwrap();
    let store = fixture.store();
    assert!(!fixture.path("images/incoming").exists());
    assert_eq!(store.unpack(&fixture.source(None)).unwrap(), first);
    assert_eq!(fs::metadata(&first.root).unwrap().ino(), made);
    store.retain(std::slice::from_ref(&first));
    assert!(first.root.exists());
    store.retain(&[]);
    assert_eq!(names(&fixture.path("images")), ["lock"]);
}

#[test]
fn only_one_process_at_a_time_works_on_the_store() {
    use rustix::fs::{FlockOperation, flock};
    let fixture = Fixture::new();
    let held = fixture.store();
    let other = fs::File::open(fixture.path("images/lock")).unwrap();
    let lock = || flock(&other, FlockOperation::NonBlockingLockExclusive);
    lock().unwrap_err();
    drop(held);
    lock().unwrap();
}

#[test]
fn whiteouts_remove_what_is_below_and_nothing_else() {
    let base = || {
        Tar::new()
            .directory("dir")
            .file("dir/old", "1")
            .directory("dir/sub")
            .file("dir/sub/old", "1")
            .file("gone", "1")
            .directory("tree")
            .file("tree/leaf", "1")
            .link("alias", "dir")
    };
    let listed = |upper: Tar| {
        let root = layered(vec![base(), upper]).unpack_and_keep();
        let mut found = Vec::new();
        walk(&root.1, Path::new(""), &mut found);
        found.join(" ")
    };
    let all = "alias dir dir/old dir/sub dir/sub/old gone tree tree/leaf";
    assert_eq!(listed(Tar::new()), all);
    assert_eq!(
        listed(Tar::new().file(".wh.gone", "").file(".wh.tree", "").file("dir/.wh.old", "")),
        "alias dir dir/sub dir/sub/old"
    );
    // Opaque: the new content stays, wherever in the archive the whiteout stands.
    for upper in [
        Tar::new().file("dir/.wh..wh..opq", "").file("dir/sub/new", "2").file("dir/new", "2"),
        Tar::new().file("dir/sub/new", "2").file("dir/new", "2").file("dir/.wh..wh..opq", ""),
        // The same directory under another name.
        Tar::new().file("alias/sub/new", "2").file("alias/new", "2").file("dir/.wh..wh..opq", ""),
    ] {
        assert_eq!(listed(upper), "alias dir dir/new dir/sub dir/sub/new gone tree tree/leaf");
    }
    // A name that is removed and made again in one layer.
    for upper in
        [Tar::new().file(".wh.gone", "").file("gone", "2"), Tar::new().file("gone", "2").file(".wh.gone", "")]
    {
        assert_eq!(listed(upper), all);
    }
    // Nothing to remove, and the bookkeeping of old storage drivers.
    let idle = Tar::new().file(".wh.never", "").file("no/where/.wh.x", "").file(".wh..wh.plnk/1.2", "");
    assert_eq!(listed(idle), all);
    let refused = layered(vec![base(), Tar::new().file("dir/.wh...", "")]).refused();
    assert!(refused.contains("dir/.wh..."), "{refused}");
}

#[test]
fn kinds_replace_each_other() {
    let fixture = layered(vec![
        Tar::new().directory("a").file("a/x", "1").file("b", "1").link("c", "a").directory("d"),
        Tar::new().file("a", "2").directory("b").directory("c").file("c/y", "2").link("d", "b"),
    ]);
    let root = fixture.unpack().unwrap().root;
    assert_eq!(text(root.join("a")), "2");
    assert!(root.join("b").is_dir());
    assert!(fs::symlink_metadata(root.join("c")).unwrap().is_dir(), "a directory takes the place of a link");
    assert_eq!(fs::read_link(root.join("d")).unwrap(), Path::new("b"));
}

#[test]
fn modes_times_and_links_are_kept_and_rights_are_not() {
    let script = b"#!/bin/sh\n";
    let tar = Tar::new().entry(EntryType::Regular, "tool", "", 0o750, script);
    let tar = tar.entry(EntryType::Regular, "su", "", 0o6755, script);
    let tar = tar
        .hard_link("again", "./tool")
        .entry(EntryType::Directory, "closed", "", 0o1555, b"")
        .file("closed/inside", "1")
        .link("anywhere", "/etc/../../outside")
        .hard_link("same", "anywhere");
    let (_fixture, root) = layered(vec![tar]).unpack_and_keep();
    let mode = |name: &str| fs::symlink_metadata(root.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("tool"), mode("su"), mode("closed")), (0o750, 0o755, 0o755));
    assert_eq!(
        fs::metadata(root.join("again")).unwrap().ino(),
        fs::metadata(root.join("tool")).unwrap().ino()
    );
    let modified = fs::metadata(root.join("tool")).unwrap().modified().unwrap();
    assert_eq!(modified, SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000));
    for link in ["anywhere", "same"] {
        assert_eq!(fs::read_link(root.join(link)).unwrap(), Path::new("/etc/../../outside"));
    }
}

#[test]
fn devices_pipes_and_unknown_kinds_are_left_out() {
    let tar = Tar::new()
        .entry(EntryType::Char, "dev/null", "", 0o666, b"")
        .entry(EntryType::Block, "dev/sda", "", 0o660, b"")
        .entry(EntryType::Fifo, "run/pipe", "", 0o600, b"")
        .entry(EntryType::new(b'Z'), "odd", "", 0o600, b"x")
        .file("after", "1");
    let (_fixture, root) = layered(vec![tar]).unpack_and_keep();
    assert_eq!(text(root.join("after")), "1");
    assert!(!root.join("dev/null").exists() && !root.join("run/pipe").exists() && !root.join("odd").exists());
}

#[test]
fn what_every_sandbox_mounts_on_is_made() {
    let fixture = layered(vec![
        Tar::new().file("etc/passwd", "of the image").link("etc/resolv.conf", "/nowhere").link("opt", "gone"),
    ]);
    let root = fixture.unpack().unwrap().root;
    assert!(root.join("var/task").is_dir() && root.join("var/runtime").is_dir());
    assert_eq!(
        (text(root.join("etc/passwd")), text(root.join("etc/hosts"))),
        ("of the image".into(), "".into())
    );
    assert_eq!(fs::read_link(root.join("etc/resolv.conf")).unwrap(), Path::new("/nowhere"));
    assert_eq!(fs::read_link(root.join("opt")).unwrap(), Path::new("gone"));
}

#[test]
fn no_entry_lands_outside() {
    for name in ["../out", "a/../../out", "a/.."] {
        let refused = layered(vec![Tar::new().file(name, "x")]).refused();
        assert!(refused.contains("leads out of the archive"), "{name}: {refused}");
    }
    let refused = layered(vec![Tar::new().hard_link("a", "../../../etc/passwd")]).refused();
    assert!(refused.contains("hard link to"), "{refused}");
}

#[test]
fn links_of_the_image_lead_entries_nowhere_else() {
    let fixture = Fixture::new();
    let outside = fixture.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o700)).unwrap();
    let out = outside.display().to_string();
    let climbing = format!("../../../../../../../..{out}");
    for target in [&out, &climbing] {
        // Through a link of the same layer and of one below; a directory entry in the place of a link.
        let layers = vec![
            fixture.blob(LAYER, &Tar::new().link("link", target).link("self", "/proc/self/root").bytes()),
            fixture.blob(
                LAYER,
                &Tar::new()
                    .link("file", &format!("{out}/secret"))
                    .file("file", "replaced")
                    .entry(EntryType::Directory, "dir", "", 0o777, b"")
                    .link("dir", &out)
                    .entry(EntryType::Directory, "dir", "", 0o777, b"")
                    .file("dir/new", "x")
                    .file("dir/.wh.secret", "")
                    .bytes(),
            ),
        ];
        let image = fixture.image(&here(), layers);
        fixture.index(vec![image]);
        let root = fixture.unpack().unwrap().root;
        assert_eq!(text(root.join("file")), "replaced");
        assert_eq!(text(root.join("dir/new")), "x");

        for bad in [
            Tar::new().link("link", target).file("link/new", "x"),
            Tar::new().link("link", target).file("link/.wh.secret", "").file("link/.wh..wh..opq", ""),
            Tar::new().link("link", target).hard_link("stolen", "link/secret"),
            Tar::new().link("self", "/proc/self/cwd").file("self/new", "x"),
        ] {
            let layer = fixture.blob(LAYER, &bad.bytes());
            let image = fixture.image(&here(), vec![layer]);
            fixture.index(vec![image]);
            // Refused, or done inside the image; what counts is the directory outside.
            let _ = fixture.unpack();
        }
        assert_eq!(names(&outside), ["secret"]);
        assert_eq!(text(outside.join("secret")), "secret");
        assert_eq!(fs::metadata(&outside).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(outside.join("secret")).unwrap().nlink(), 1);
    }
}

#[test]
fn links_do_not_make_an_image_deeper_than_a_path_may_be() {
    let deep = vec!["d"; 45].join("/");
    let tar = |links: usize| {
        let mut tar = Tar::new().directory(&deep).link("l0", &deep);
        for link in 1..=links {
            let below = format!("l{}/{deep}", link - 1);
            tar = tar.directory(&below).link(&format!("l{link}"), &format!("/{below}"));
        }
        tar
    };
    layered(vec![tar(4)]).unpack().unwrap();
    let refused = layered(vec![tar(5)]).refused();
    assert!(refused.contains(r#""l4/d/"#) && refused.contains("File name too long"), "{refused}");
}

#[test]
fn damaged_blobs_are_refused() {
    let good = || layered(vec![Tar::new().file("a", &"x".repeat(5000))]);
    let fixture = good();
    let layer = fixture.blob(LAYER, &Tar::new().file("a", &"x".repeat(5000)).bytes());
    let path = fixture.blob_path(&layer);
    let bytes = fs::read(&path).unwrap();

    let mut changed = bytes.clone();
    changed[1000] ^= 1;
    fs::write(&path, &changed).unwrap();
    assert!(fixture.refused().contains("its digest is sha256:"));
    fs::write(&path, &bytes[..bytes.len() - 512]).unwrap();
    assert!(fixture.refused().contains("it has less than the"));
    fs::write(&path, [&bytes[..], b"\0"].concat()).unwrap();
    assert!(fixture.refused().contains("it has more than the"));
    // Damage behind the end of the archive counts as well.
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() = 1;
    fs::write(&path, &changed).unwrap();
    assert!(fixture.refused().contains("is damaged"));
    fs::remove_file(&path).unwrap();
    let refused = fixture.refused();
    assert!(refused.contains("is missing") && refused.contains(layer["digest"].as_str().unwrap()));

    // The documents are held to their digests too, also when the image has been unpacked before.
    let fixture = good();
    fixture.unpack().unwrap();
    let index: serde_json::Value = serde_json::from_str(&text(fixture.layout().join("index.json"))).unwrap();
    let manifest = fixture.blob_path(&index["manifests"][0]);
    fs::write(&manifest, text(manifest.clone()).replace("config", "cOnfig")).unwrap();
    assert!(fixture.unpack().unwrap_err().to_string().contains("is damaged"));
}

#[test]
fn documents_that_say_nothing_sensible_are_refused() {
    let fixture = layered(vec![Tar::new().file("a", "1")]);
    let refused = |index: &str| {
        fs::write(fixture.layout().join("index.json"), index).unwrap();
        fixture.refused()
    };
    assert!(refused("{").contains("index.json is not usable"));
    assert!(refused(r#"{"manifests": 1}"#).contains("index.json is not usable"));
    assert!(refused(&format!("{{\"x\": \"{}\"}}", "x".repeat(5 << 20))).contains("longer than"));
    let one = |digest: &str| {
        format!(
            r#"{{"manifests":[{{"mediaType":"{}","digest":"{digest}","size":1}}]}}"#,
            super::fixtures::MANIFEST
        )
    };
    assert!(refused(&one("sha256:../../../../etc/passwd")).contains("is no sha256 digest"));
    assert!(refused(&one("md5:d41d8cd98f00b204e9800998ecf8427e")).contains("is no sha256 digest"));
    fs::remove_file(fixture.layout().join("index.json")).unwrap();
    assert!(fixture.refused().contains("index.json: No such file"));

    let fixture = Fixture::new();
    let layer = fixture.blob("application/x-layer", b"x");
    let image = fixture.image(&here(), vec![layer]);
    fixture.index(vec![image]);
    assert!(fixture.refused().contains(r#"unknown type "application/x-layer""#));
    let layer = fixture.blob(&format!("{LAYER}+gzip"), b"not compressed");
    let image = fixture.image(&here(), vec![layer]);
    fixture.index(vec![image]);
    assert!(fixture.refused().contains("cannot be unpacked: not readable"));
}

#[test]
fn the_image_for_this_machine_is_chosen() {
    let fixture = Fixture::new();
    let layer = |text: &str| fixture.blob(LAYER, &Tar::new().file("a", text).bytes());
    let other = fixture.image("s390x", vec![layer("other")]);
    let mine = fixture.image(&here(), vec![layer("mine")]);
    let also = fixture.image(&here(), vec![layer("also")]);
    let note = with(platform(mine.clone(), "unknown"), "mediaType", json!("application/x-signature"));
    let nested = json!({"schemaVersion": 2, "manifests": [
        note, platform(other.clone(), "s390x"), platform(mine.clone(), &here()), platform(also, &here()),
    ]});
    let nested = fixture.blob(INDEX, nested.to_string().as_bytes());
    fixture.index(vec![nested.clone()]);
    assert_eq!(text(fixture.unpack().unwrap().root.join("a")), "mine");

    let none = json!({"schemaVersion": 2, "manifests": [platform(other.clone(), "s390x")]});
    let none = fixture.blob(INDEX, none.to_string().as_bytes());
    let fixture_refuses = |manifests| {
        fixture.index(manifests);
        fixture.store().retain(&[]);
        fixture.refused()
    };
    let refused = fixture_refuses(vec![none]);
    assert!(refused.contains(&format!("no image for linux/{}, only for linux/s390x", here())), "{refused}");
    // The index does not say what it is for, the configuration does.
    assert!(fixture_refuses(vec![other]).contains("only for linux/s390x"));
    let mut deep = nested;
    for _ in 0..4 {
        deep = fixture.blob(INDEX, json!({"manifests": [deep]}).to_string().as_bytes());
    }
    assert!(fixture_refuses(vec![deep]).contains("too deep"));
    assert!(fixture_refuses(vec![]).contains("no image for"));
}

#[test]
fn a_tag_chooses_among_several() {
    let fixture = Fixture::new();
    let layer = |text: &str| fixture.blob(LAYER, &Tar::new().file("a", text).bytes());
    let (one, two) = (fixture.image(&here(), vec![layer("1")]), fixture.image(&here(), vec![layer("2")]));
    fixture.index(vec![tagged(one.clone(), "3.11"), tagged(two, "3.12")]);
    let unpacked = |tag: &str| fixture.store().unpack(&fixture.source(Some(tag)));
    assert_eq!(text(unpacked("3.12").unwrap().root.join("a")), "2");
    assert_eq!(text(unpacked("3.11").unwrap().root.join("a")), "1");
    fixture.store().retain(&[]);
    assert_eq!(fixture.refused(), "it holds several images: 3.11, 3.12");
    assert_eq!(unpacked("3.13").unwrap_err().to_string(), r#"no image with tag "3.13"; there is 3.11, 3.12"#);
    // Two names of the same image leave no choice to make.
    fixture.index(vec![tagged(one.clone(), "3.11"), tagged(one, "latest")]);
    assert_eq!(text(fixture.unpack().unwrap().root.join("a")), "1");
}

#[test]
fn an_image_has_bounds() {
    let limits = |bytes, entries| ImageLimits { bytes, entries };
    let files = || layered(vec![Tar::new().file("a", "12345"), Tar::new().file("b", "12345").directory("c")]);
    files().store_with(limits(10, 3)).unpack(&files().source(None)).unwrap();
    assert!(files().refused_with(limits(9, 3)).contains("more than 9 bytes"));
    assert!(files().refused_with(limits(10, 2)).contains("more than 2 entries"));
    // A long name is kept in memory, so it has a bound of its own.
    let long = layered(vec![Tar::new().entry(EntryType::GNULongName, "x", "", 0, &vec![b'x'; 2 << 20])]);
    assert!(long.refused().contains("headers are longer"));
}

fn walk(directory: &Path, below: &Path, found: &mut Vec<String>) {
    let own = ["etc", "mnt", "opt", "run", "var"];
    for name in names(directory) {
        // What is made for the sandbox's mounts is not the image's.
        if below.as_os_str().is_empty() && own.contains(&name.as_str()) {
            continue;
        }
        let path = directory.join(&name);
        found.push(below.join(&name).display().to_string());
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            walk(&path, &below.join(&name), found);
        }
    }
}

impl Fixture {
    /// The unpacked root, with what holds it.
    fn unpack_and_keep(self) -> (Self, std::path::PathBuf) {
        let root = self.unpack().unwrap().root;
        (self, root)
    }
}
