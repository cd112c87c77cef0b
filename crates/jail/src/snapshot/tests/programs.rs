//! What restored programs can do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{Taken, Template};

/// Waits for code and runs it.
pub(super) const PYTHON: &str = "
import os, sys
greeting = 'hello'
numbers = list(range(100000))
os.write(1, b'.')
exec(os.read(3, 65536))
sys.stdout.flush()
";

pub(super) fn python() -> Taken {
    Template::new("/usr/bin/python3", &["-c", PYTHON]).capture().expect("a snapshot")
}

#[test]
fn python_goes_on_with_everything_that_it_can_do() {
    let snapshot = python();
    snapshot.start().expect("print(greeting, sum(numbers), os.getpid())", "hello 4999950000 2\n");
    let code = "
import hashlib, json, ssl, subprocess, threading
numbers.extend(range(10 ** 6))
found = []
threads = [threading.Thread(target=found.append, args=(i,)) for i in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
try:
    json.loads('{')
except ValueError as error:
    caught = type(error).__name__
shell = subprocess.run(['sh', '-c', 'echo $HOME'], capture_output=True, text=True).stdout.strip()
print(len(numbers), sorted(found) == list(range(8)), caught, shell, hashlib.sha256(b'').hexdigest()[:8])
print(ssl.create_default_context().verify_mode.name, open('/proc/self/comm').read().strip(), sorted(os.listdir('/proc/self/fd'))[:5])
";
    let output =
        "1100000 True JSONDecodeError /tmp e3b0c442\nCERT_REQUIRED python3 ['0', '1', '2', '3', '4']\n";
    snapshot.start().expect(code, output);
    let code = "
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
os.kill(os.getpid(), signal.SIGTERM)
";
    let instance = snapshot.start();
    instance.tell(code);
    assert_eq!(instance.end(), (String::new(), Ok(7)));
    let instance = snapshot.start();
    instance.tell("os.kill(os.getpid(), 15)");
    assert_eq!(instance.end(), (String::new(), Err(libc::SIGTERM)));
}

#[test]
fn other_interpreters_go_on() {
    let ruby = "greeting = 'hello'; $stdout.syswrite '.'; eval IO.for_fd(3).sysread(65536); $stdout.flush";
    let code = "
t = (1..4).map { |i| Thread.new { i * i } }.map(&:value)
begin; raise 'x'; rescue => e; end
require 'json'
GC.start
puts [greeting, t, e.message, `echo out`].to_json
";
    let snapshot = Template::new("/usr/bin/ruby", &["-e", ruby]).capture().expect("a snapshot");
    snapshot.start().expect(code, "[\"hello\",[1,4,9,16],\"x\",\"out\\n\"]\n");
    for version in pythons() {
        let mut template = Template::new("/opt/bin/python3", &["-c", PYTHON]);
        template.bind = Some((version.clone(), "/opt".into()));
        let snapshot = template.capture().unwrap_or_else(|reason| panic!("{}: {reason}", version.display()));
        snapshot
            .start()
            .expect("import json; print(json.dumps([greeting, len(numbers)]))", "[\"hello\", 100000]\n");
    }
}

/// What there may be beside the system's: those of pyenv.
fn pythons() -> Vec<PathBuf> {
    let home = std::env::var("PYENV_ROOT").unwrap_or_default();
    let versions = fs::read_dir(Path::new(&home).join("versions")).into_iter().flatten().flatten();
    let mut versions: Vec<_> =
        versions.map(|entry| entry.path()).filter(|path| path.join("bin/python3").exists()).collect();
    versions.sort();
    versions
}

const C: &str = r#"
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int global = 1;
static char zero[100000];
static __thread int local = 3;
static volatile int handled;
static void handler(int number) { handled = number; }

int main(int argc, char **argv) {
    int on_stack[1000];
    char *block = malloc(300 << 10), *small = malloc(100);
    char *mapped = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int file = open("/etc/passwd", O_RDONLY);
    char first[16] = {0}, second[16] = {0}, command[64];
    memset(block, 'b', 300 << 10);
    strcpy(small, "small");
    strcpy(mapped + 4096 * 100, "mapped");
    zero[5000] = 'z';
    global = 2, local = 4, on_stack[500] = 5;
    signal(SIGUSR1, handler);
    read(file, first, 4);
    umask(0027);
    pread(file, second, 4, 4);
    write(1, ".", 1);
    ssize_t length = read(3, command, sizeof command);
    raise(SIGUSR1);
    char *larger = realloc(block, 64 << 20);
    int intact = 1;
    for (int i = 0; i < 300 << 10; i++) intact &= larger[i] == 'b';
    memset(larger, 'c', 64 << 20);
    for (int i = 0; i < 1000; i++) intact &= (small = realloc(small, 100 + i * 50)) != 0;
    char *cleared = calloc(1 << 20, 1);
    for (int i = 0; i < 1 << 20; i++) intact &= cleared[i] == 0;
    intact &= mapped[4096 * 50] == 0 && zero[4999] == 0;
    char *deep = alloca(2 << 20);
    memset(deep, 1, 2 << 20);
    memset(first, 0, sizeof first);
    read(file, first, 4);
    printf("%ld %d %d %d %c %s %s %d %d %d %o %s\n", (long)length, global, local, on_stack[500], zero[5000], small,
           mapped + 4096 * 100, handled == SIGUSR1, intact, !memcmp(first, second, 4), umask(0), argv[1]);
    return argc;
}
"#;

/// Compiles a C program into a directory.
pub(super) fn compile(source: &str, to: &Path) {
    let file = to.with_extension("c");
    fs::write(&file, source).expect("writes");
    let status = Command::new("cc")
        .args(["-w", "-O1", "-pthread", "-include", "sys/stat.h", "-include", "alloca.h", "-o"])
        .args([to, &file])
        .status();
    assert!(status.expect("a compiler").success());
}

/// A directory that sandboxes see, too.
pub(super) fn compiled(source: &str) -> (tempfile::TempDir, Template) {
    let folder = tempfile::tempdir().expect("a directory");
    compile(source, &folder.path().join("program"));
    let mut template = Template::new("/opt/program", &["argument"]);
    template.bind = Some((folder.path().to_owned(), "/opt".into()));
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.path(), readable).expect("permissions");
    (folder, template)
}

#[test]
fn memory_of_all_kinds_is_as_it_was() {
    let (_folder, template) = compiled(C);
    let snapshot = template.capture().expect("a snapshot");
    for _ in 0..2 {
        let instance = snapshot.start();
        instance.tell("go");
        assert_eq!(instance.end(), ("2 2 4 5 z small mapped 1 1 1 27 argument\n".into(), Ok(2)));
    }
}

#[test]
fn a_restored_process_can_be_captured_again() {
    let code = "
second = [greeting, 'again']
os.write(1, b'.')
exec(os.read(3, 65536))
";
    let again = python().capture_again(code).expect("a snapshot");
    again.start().expect("print(second, len(numbers))", "['hello', 'again'] 100000\n");
    let thrice = again.capture_again(code).expect("a snapshot");
    thrice.start().expect("import json; print(second, len(numbers))", "['hello', 'again'] 100000\n");
}

#[test]
fn a_hundred_instances_see_nothing_of_each_other() {
    let snapshot = python();
    let code = "
before = (len(numbers), numbers[7], greeting)
numbers[:] = [NUMBER] * 200000
greeting = 'NUMBER'
os.write(1, b'written\\n')
os.read(3, 1)
print(before, set(numbers), greeting)
";
    let mut instances: Vec<_> = (0..100).map(|_| snapshot.start()).collect();
    for (number, instance) in instances.iter_mut().enumerate() {
        instance.tell(&code.replace("NUMBER", &number.to_string()));
        assert_eq!(instance.line(), "written");
    }
    for (number, instance) in instances.into_iter().enumerate() {
        instance.expect("x", &format!("(100000, 7, 'hello') {{{number}}} {number}\n"));
    }
}

#[test]
fn instances_share_memory() {
    let snapshot = python();
    let code = "
os.write(1, b'ready\\n')
os.read(3, 1)
with open('/proc/self/smaps_rollup') as file:
    print(file.read())
";
    let mut instances: Vec<_> = (0..10).map(|_| snapshot.start()).collect();
    for instance in &mut instances {
        instance.tell(code);
        assert_eq!(instance.line(), "ready");
    }
    let first = instances.remove(0);
    first.tell("x");
    let (rollup, _) = first.end();
    let kilobytes = |name: &str| -> u64 {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    // Ten processes map each page of the image, and have a copy of what they wrote to.
    let (all, share) = (kilobytes("Rss:"), kilobytes("Pss:"));
    assert!(share * 2 < all, "{rollup}");
    instances.into_iter().for_each(drop);
}
