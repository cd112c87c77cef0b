//! What is refused, with its reason.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::programs::{compiled, python};
use super::support::Template;

/// What Python has done before it waits, and the reason that is given.
fn refusal(before: &str) -> String {
    let code = format!("import os\n{before}\nos.write(1, b'.')\nos.read(3, 1)\n");
    let Err(reason) = Template::new("/usr/bin/python3", &["-c", &code]).capture() else { panic!("{before}") };
    reason
}

#[test]
fn what_cannot_be_had_again_is_refused() {
    for (before, reason) in [
        (
            "import threading, time; [threading.Thread(target=time.sleep, args=(9,)).start() for _ in '12']",
            "the process has 3 threads",
        ),
        ("import socket; s = socket.socket()", "the process has an open socket (descriptor 4)"),
        ("p = os.pipe()", "the process has an open pipe (descriptor 4)"),
        ("import select; p = select.epoll()", "the process has an open eventpoll (descriptor 4)"),
        ("f = open('/tmp/x', 'w')", "the process has /tmp/x open for writing"),
        ("import mmap; m = mmap.mmap(-1, 4096)", "the process shares memory (/dev/zero)"),
        ("import signal; signal.setitimer(signal.ITIMER_REAL, 1000)", "the process has a timer (setitimer)"),
        ("import subprocess; p = subprocess.Popen(['sleep', '9'])", "the process has child processes"),
    ] {
        assert_eq!(refusal(before), reason);
    }
}

#[test]
fn a_file_that_has_changed_is_refused() {
    let (folder, template) = compiled(
        "#include <unistd.h>\nint main() { char byte; write(1, \".\", 1); read(3, &byte, 1); return 0; }",
    );
    let snapshot = template.capture().expect("a snapshot");
    snapshot.start().expect("x", "");
    let program = folder.path().join("program");
    let before = fs::metadata(&program).expect("metadata");
    fs::File::open(&program)
        .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH))
        .expect("touches");
    assert_eq!(fs::metadata(&program).expect("metadata").ino(), before.ino());
    assert_eq!(
        snapshot.failure(),
        "restore: map /opt/program, which has changed since the snapshot: Stale file handle (os error 116)"
    );
}

#[test]
fn nobody_can_change_an_image() {
    let snapshot = python();
    let image = &snapshot.image;
    assert_eq!(rustix::io::pwrite(image, b"x", 0), Err(rustix::io::Errno::PERM));
    assert_eq!(rustix::fs::ftruncate(image, 0), Err(rustix::io::Errno::PERM));
}
