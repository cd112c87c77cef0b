//! Root file systems that are directories: what of them is seen, and that nothing of the host is.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use lambd_sandbox::{Bind, ExitStatus, SandboxSpec};
use tempfile::TempDir;

use crate::support::{program, run};

/// Programs of the host that the root file systems here are made of.
const PROGRAMS: &[&str] = &["bash", "cat", "ls", "stat", "touch", "id", "grep", "readlink", "head", "mkdir"];

/// A root file system that has just enough to run scripts.
struct Image(TempDir);

impl Image {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        // As unpacked images are: everybody may look, and the way to it does not matter.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let image = Self(dir);
        for directory in ["usr/bin", "etc", "srv/data", "var/log"] {
            fs::create_dir_all(image.path(directory)).expect("mkdir");
        }
        symlink("usr/bin", image.path("bin")).expect("link");
        for name in PROGRAMS {
            image.copy(&fs::canonicalize(Path::new("/usr/bin").join(name)).expect("a program"), name);
        }
        image.write("etc/os-release", "ID=hand-made\n");
        image.write("srv/data/file", "of the image\n");
        image
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    fn write(&self, inside: &str, text: &str) {
        fs::write(self.path(inside), text).expect("write");
    }

    /// A program with the libraries that ldd(1) names.
    fn copy(&self, source: &Path, name: &str) {
        fs::copy(source, self.path("usr/bin").join(name)).expect("copy");
        let ldd = Command::new("ldd").arg(source).output().expect("ldd runs");
        let text = String::from_utf8_lossy(&ldd.stdout).into_owned();
        for library in text.split_ascii_whitespace().filter(|word| word.starts_with('/')) {
            let target = self.path(library.trim_start_matches('/'));
            fs::create_dir_all(target.parent().expect("a directory")).expect("mkdir");
            fs::copy(library, target).expect("copy");
        }
    }

    fn script(&self, text: &str) -> SandboxSpec {
        let spec = program("/bin/bash", &["-c", text]);
        SandboxSpec { root: Some(self.0.path().into()), ..spec }
    }

    async fn output_of(&self, text: &str) -> String {
        let finished = run(self.script(text)).await;
        assert_eq!(finished.status, ExitStatus::Exited(0), "{}", finished.output);
        finished.output
    }
}

#[tokio::test]
async fn the_directory_is_the_root() {
    let image = Image::new();
    let output = image
        .output_of(
            "cat /etc/os-release /srv/data/file; id -un; readlink /bin; ls /usr; ls /var; ls -A / | cat",
        )
        .await;
    let expected = "ID=hand-made\nof the image\nsbx_user1051\nusr/bin\nbin\nlog\nruntime\ntask\ntmp\n";
    let root = output.strip_prefix(expected).unwrap_or_else(|| panic!("{output}"));
    for own in ["dev", "etc", "mnt", "opt", "proc", "srv", "tmp", "usr", "var"] {
        assert!(root.lines().any(|line| line == own), "{own} in {root}");
    }
    for hosts in ["home", "root", "boot", "work", "sys"] {
        assert!(!root.lines().any(|line| line == hosts), "{hosts} in {root}");
    }
}

#[tokio::test]
async fn places_that_the_image_lacks_are_there_and_the_image_is_unchanged() {
    let image = Image::new();
    let code = tempfile::tempdir().expect("temporary directory");
    fs::set_permissions(code.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::write(code.path().join("app"), "code\n").expect("write");
    let before = listing(image.0.path());
    let mut spec = image.script(
        "cat /var/task/app /var/runtime/app /lib/x86/deep/app; ls /var /opt /mnt; cat /etc/hostname; \
         grep -c sbx /etc/passwd; readlink /var/lang; ls /dev; touch /tmp/x; stat -c %a /tmp; test -e /proc/self/status",
    );
    for target in ["/var/task", "/var/runtime", "/lib/x86/deep"] {
        spec.binds.push(Bind { source: code.path().into(), target: target.into() });
    }
    spec.symlinks.push(("/var/lang".into(), "/usr".into()));
    let finished = run(spec).await;
    assert_eq!(finished.status, ExitStatus::Exited(0), "{}", finished.output);
    assert_eq!(
        finished.output,
        "code\ncode\ncode\n/mnt:\n\n/opt:\n\n/var:\nlang\nlog\nruntime\ntask\ntmp\nlambd\n1\n/usr\n\
         fd\nfull\nnull\nrandom\nshm\nstderr\nstdin\nstdout\nurandom\nzero\n1777\n"
    );
    assert_eq!(listing(image.0.path()), before);
}

#[tokio::test]
async fn nothing_of_the_image_can_be_written() {
    let image = Image::new();
    // Even what everybody may write to, and what belongs to the daemon's user.
    fs::set_permissions(image.path("srv/data"), fs::Permissions::from_mode(0o777)).expect("chmod");
    fs::set_permissions(image.path("srv/data/file"), fs::Permissions::from_mode(0o666)).expect("chmod");
    let before = listing(image.0.path());
    let output = image
        .output_of(
            "for d in / /usr /usr/bin /etc /srv /srv/data /var /var/task /var/log /opt /mnt /run /dev; do \
             touch $d/x 2>/dev/null && echo wrote $d; done; echo x 2>/dev/null >> /srv/data/file && echo wrote file; \
             echo x 2>/dev/null >> /etc/passwd && echo wrote passwd; touch /tmp/x && echo wrote /tmp; true",
        )
        .await;
    assert_eq!(output, "wrote /tmp\n");
    assert_eq!(listing(image.0.path()), before);
}

#[tokio::test]
async fn a_complete_image_is_mounted_over_instead_of_opened_up() {
    let image = Image::new();
    for name in ["passwd", "group", "hosts", "hostname", "nsswitch.conf", "resolv.conf"] {
        image.write(&format!("etc/{name}"), "of the image\n");
    }
    for directory in ["var/task", "var/runtime", "var/tmp", "opt", "mnt", "run"] {
        fs::create_dir_all(image.path(directory)).expect("mkdir");
    }
    let output = image
        .output_of("id -un; cat /etc/hostname /etc/os-release; test -e /.lambd; echo $?; grep -c ' /etc/' /proc/self/mountinfo; grep -c ' /var' /proc/self/mountinfo")
        .await;
    assert_eq!(output, "sbx_user1051\nlambd\nID=hand-made\n1\n6\n1\n");
}

#[tokio::test]
async fn links_of_the_image_lead_nowhere_else() {
    let image = Image::new();
    // Not below /tmp, which is the sandbox's own in any case.
    let host = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary directory");
    fs::set_permissions(host.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::write(host.path().join("secret"), "secret of the host\n").expect("write");
    fs::remove_dir_all(image.path("var")).expect("rm");
    symlink(host.path(), image.path("var")).expect("link");
    symlink("../../../../../../../../etc", image.path("srv/up")).expect("link");
    symlink("/etc/shadow", image.path("etc/shadow")).expect("link");
    symlink("/proc/1/root", image.path("srv/magic")).expect("link");
    symlink(host.path().join("secret"), image.path("etc/resolv.conf")).expect("link");
    symlink(host.path().join("secret"), image.path("etc/passwd")).expect("link");
    let mut spec = image.script(
        "cat /var/secret /srv/up/shadow /etc/shadow /srv/magic/etc/shadow 2>/dev/null; \
         cat /srv/up/os-release; id -un; cat /var/task/app",
    );
    let code = tempfile::tempdir().expect("temporary directory");
    fs::set_permissions(code.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::write(code.path().join("app"), "code\n").expect("write");
    spec.binds.push(Bind { source: code.path().into(), target: "/var/task".into() });
    let finished = run(spec).await;
    // `/var` leads to the place that its link names, made inside the sandbox.
    assert_eq!(finished.output, "ID=hand-made\nsbx_user1051\ncode\n");
    assert_eq!(fs::read_dir(host.path()).expect("readable").count(), 1, "nothing was made on the host");
}

#[tokio::test]
async fn a_mount_point_that_leads_into_proc_is_refused() {
    let image = Image::new();
    symlink("/proc/self/root", image.path("opt")).expect("link");
    let spawner = crate::support::start();
    match spawner.spawn(image.script("true")).await {
        Err(error) => {
            let text = format!("{error}");
            assert!(text.contains("use /opt: it leads to /proc/self/root"), "{text}");
        }
        Ok(_) => panic!("a sandbox was made"),
    }
    spawner.shutdown().await;
}

#[tokio::test]
async fn the_shell_is_bash_where_the_image_has_it() {
    let image = Image::new();
    let dash = fs::canonicalize("/bin/dash").or_else(|_| fs::canonicalize("/bin/cat")).expect("a program");
    image.copy(&dash, "dash");
    symlink("dash", image.path("usr/bin/sh")).expect("link");
    let spec =
        SandboxSpec { command: "/bin/sh".into(), ..image.script("set -o pipefail; echo $BASH; [[ a < b ]]") };
    assert_eq!(run(spec).await.output, "/bin/sh\n");

    fs::remove_file(image.path("usr/bin/bash")).expect("rm");
    let spec = SandboxSpec { command: "/bin/sh".into(), ..image.script("echo ${BASH-other}") };
    let finished = run(spec).await;
    assert!(!finished.output.contains("bash"), "{}", finished.output);
}

#[tokio::test]
async fn set_user_id_programs_have_no_effect() {
    let image = Image::new();
    fs::set_permissions(image.path("usr/bin/id"), fs::Permissions::from_mode(0o4755)).expect("chmod");
    assert_eq!(image.output_of("id -u; id -ru").await, "993\n993\n");
}

#[tokio::test]
async fn a_directory_that_is_gone_is_named() {
    let spawner = crate::support::start();
    let spec = SandboxSpec { root: Some("/nowhere/at/all".into()), ..program("/bin/sh", &[]) };
    let error = spawner.spawn(spec).await.expect_err("no root").to_string();
    assert!(error.contains("open the root file system /nowhere/at/all"), "{error}");
    spawner.shutdown().await;
}

/// All paths below a directory with their modes and lengths.
fn listing(root: &Path) -> Vec<(PathBuf, u32, u64)> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).expect("readable").flatten() {
            let meta = entry.path().symlink_metadata().expect("there");
            found.push((entry.path(), meta.permissions().mode(), meta.len()));
            if meta.is_dir() {
                left.push(entry.path());
            }
        }
    }
    found.sort();
    found
}
