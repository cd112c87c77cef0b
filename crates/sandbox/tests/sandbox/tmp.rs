//! `/tmp` on disk: limited, not charged to memory, private, and gone with the sandbox.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use lambd_jail::volume::{LoopDevice, Workplace};
use lambd_sandbox::{
    ExitStatus, SandboxSpec, ScratchOptions, Spawner, SpawnerOptions, TmpInForce, WhyMemory,
};
use rustix::mount::MountFlags;
use tempfile::TempDir;

use crate::support::{
    Finished, MIB, as_ordinary_user, eventually, finish, helper, script, start, start_with,
};

/// A spawner whose sandboxes have `/tmp` on disk, in a mount namespace of this test's own.
async fn start_on_disk(directory: &Path) -> Spawner {
    let spawner = start_in(directory).await;
    let limits = spawner.limits();
    assert_eq!(limits.tmp, TmpInForce::Disk, "these tests need root, loop devices and mke2fs: {limits}");
    spawner
}

async fn start_in(directory: &Path) -> Spawner {
    lambd_jail::private_mounts().expect("these tests need root");
    let scratch = ScratchOptions { directory: Some(directory.to_owned()), usual_bytes: 16 * MIB };
    let spawner = start_with(SpawnerOptions { scratch, ..SpawnerOptions::default() });
    spawner.decided().await;
    spawner
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("temporary directory")
}

async fn run(spawner: &Spawner, spec: SandboxSpec) -> Finished {
    finish(spawner.spawn(spec).await.expect("spawns")).await
}

async fn output(spawner: &Spawner, text: &str) -> String {
    let finished = run(spawner, script(text)).await;
    assert_eq!(finished.status, ExitStatus::Exited(0), "{}", finished.output);
    finished.output
}

/// Loop devices whose image is in a directory: each is a volume that still exists.
fn volumes(directory: &Path) -> usize {
    let devices = std::fs::read_dir("/sys/block").expect("readable").flatten();
    let backing = devices.filter_map(|dev| std::fs::read(dev.path().join("loop/backing_file")).ok());
    backing.filter(|file| file.starts_with(directory.as_os_str().as_encoded_bytes())).count()
}

#[tokio::test]
async fn it_holds_its_size_in_spite_of_less_memory_and_no_more() {
    let directory = directory();
    let spawner = start_on_disk(directory.path()).await;
    for (memory, tmp) in [(64, 100), (32, 16), (32, 200)] {
        let mut spec = script(&format!(
            "dd if=/dev/zero of=/tmp/big bs=1M count={tmp} 2>/dev/null && echo all written
             dd if=/dev/zero of=/tmp/more bs=1M count=1 2>&1 | grep -o 'No space left on device'
             stat -c %s /tmp/big; rm /tmp/big; echo survived"
        ));
        (spec.memory_bytes, spec.tmp_bytes) = (memory * MIB, tmp * MIB);
        let finished = run(&spawner, spec).await;
        let expected = format!("all written\nNo space left on device\n{}\nsurvived\n", tmp * MIB);
        assert_eq!((finished.status, finished.output), (ExitStatus::Exited(0), expected), "{tmp} MB");
    }
}

#[tokio::test]
async fn df_shows_the_limit() {
    let directory = directory();
    let spawner = start_on_disk(directory.path()).await;
    for megabytes in [16, 512, 513, 4000, 10240] {
        let mut spec = script("df --output=avail -B 1 /tmp | tail -1; df --output=iavail /tmp | tail -1");
        spec.tmp_bytes = megabytes * MIB;
        let output = run(&spawner, spec).await.output;
        let numbers: Vec<u64> =
            output.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        let (bytes, inodes) = (numbers[0], numbers[1]);
        assert!((megabytes * MIB..megabytes * MIB + MIB / 2).contains(&bytes), "{megabytes} MB: {bytes}");
        assert!(inodes >= megabytes * MIB / 4096, "{megabytes} MB: room for {inodes} files");
    }
}

#[tokio::test]
async fn it_is_an_empty_directory_for_everybody_without_power() {
    let directory = directory();
    let spawner = start_on_disk(directory.path()).await;
    let text = "stat -c %a /tmp; ls -A /tmp; grep -o ' /tmp rw,nosuid,nodev,noatime' /proc/self/mountinfo
                grep ' /tmp ' /proc/self/mountinfo | grep -c ' - ext4 '; mknod /tmp/x p && rm /tmp/x && echo pipe";
    assert_eq!(output(&spawner, text).await, "1777\n /tmp rw,nosuid,nodev,noatime\n1\npipe\n");
    let mountinfo = output(&spawner, "cat /proc/self/mountinfo").await;
    let host_path = directory.path().to_str().expect("a simple path");
    assert!(!mountinfo.contains(host_path), "the place on the host is nobody's business: {mountinfo}");
}

#[tokio::test]
async fn nothing_of_one_sandbox_is_found_by_the_next() {
    let directory = directory();
    let spawner = start_on_disk(directory.path()).await;
    let traces = [
        "echo secret > /tmp/file",
        "mkdir -p /tmp/.hidden/deep; echo secret > /tmp/.hidden/deep/file; chmod 000 /tmp/.hidden",
        "echo secret > /tmp/removed; rm /tmp/removed",
        "mkfifo /tmp/pipe; ln -s /etc /tmp/link; touch -d @1 /tmp/old",
    ];
    for trace in traces.iter().cycle().take(12) {
        // As many blocks as there are must be empty too.
        let text = format!("ls -A /tmp; df --output=iused /tmp | tail -1; {trace}");
        assert_eq!(output(&spawner, &text).await.trim(), "10", "after and before {trace}");
    }
}

#[tokio::test]
async fn two_at_the_same_time_are_apart() {
    let directory = directory();
    let spawner = start_on_disk(directory.path()).await;
    let first = spawner.spawn(script("echo mine > /tmp/file; sleep 1000")).await.expect("spawns");
    assert_eq!(output(&spawner, "ls -A /tmp; echo mine > /tmp/file; cat /tmp/file").await, "mine\n");
    drop(first);
}

#[tokio::test]
async fn volumes_that_were_not_written_to_are_used_again() {
    let directory = directory();
    let spawner = start_on_disk(directory.path()).await;
    for _ in 0..40 {
        assert_eq!(output(&spawner, "ls -A /tmp").await, "");
    }
    // Some wait for the next sandboxes; each used one left would make forty more.
    eventually("few volumes exist", || volumes(directory.path()) < 10).await;
}

#[tokio::test]
async fn files_run_out_inside_and_not_outside() {
    let directory = directory();
    let spawner = start_on_disk(directory.path()).await;
    let text = "i=0; while : > /tmp/$i; do i=$((i+1)); done 2>&1 | grep -o 'No space left on device'; ls /tmp | wc -l";
    let mut spec = script(text);
    spec.memory_bytes = 32 * MIB;
    let finished = run(&spawner, spec).await;
    let (error, files) = finished.output.split_once('\n').expect("two lines");
    assert_eq!(error, "No space left on device");
    let files: u64 = files.trim().parse().expect("a number");
    assert!((4096..5000).contains(&files), "{files} files in 16 MB");
    assert_eq!(output(&spawner, "touch /tmp/x && ls /tmp").await, "x\n", "the next one has its own");
}

#[tokio::test]
async fn whatever_is_in_it_goes_with_the_sandbox() {
    let directory = directory();
    let spawner = start_on_disk(directory.path()).await;
    let text = "cd /tmp; for i in $(seq 300); do mkdir -p d && cd -P d; done; cd /tmp
                mkdir locked; echo x > locked/file; chmod 400 locked/file; chmod 000 locked
                ln -s / root; ln -s loop loop; mkfifo pipe; echo x > '-rf'; echo x > \"$(printf 'a\\nb')\"
                dd if=/dev/zero of=big bs=1M count=8 2>/dev/null; ln big other
                setsid sleep 1000 < big & echo done";
    let sandbox = spawner.spawn(script(text)).await.expect("spawns");
    assert_eq!(finish(sandbox).await.output, "done\n");
    spawner.shutdown().await;
    drop(spawner);
    eventually("every volume is gone", || volumes(directory.path()) == 0).await;
    eventually("every mount is gone", || !mounted(directory.path())).await;
    assert_eq!(files(directory.path()), 0, "files are left");
}

#[tokio::test]
async fn nothing_is_left_of_a_killed_daemon() {
    let directory = directory();
    let mut daemon = Command::new(helper())
        .args(["--tmp".as_ref(), directory.path().as_os_str()])
        .args(["hold", "dd if=/dev/zero of=/tmp/big bs=1M count=8 2>/dev/null; sleep 1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the helper starts");
    let mut lines = BufReader::new(daemon.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.next().expect("a line").contains("tmp: disk"), "root, loop devices and mke2fs are needed");
    lines.find(|line| line.starts_with("pids: ")).expect("it announces the sandbox");
    assert!(volumes(directory.path()) > 0, "the sandbox has one");
    assert!(!mounted(directory.path()), "its mounts are its own");
    daemon.kill().expect("kill -9");
    daemon.wait().expect("it ends");
    eventually("every volume is gone", || volumes(directory.path()) == 0).await;
    assert_eq!(files(directory.path()), 0, "files are left");
}

#[tokio::test]
async fn fifty_at_once_have_one_each() {
    let directory = directory();
    let spawner = start_on_disk(directory.path()).await;
    let spawned: Vec<_> = (0..50)
        .map(|number| {
            let spawner = spawner.clone();
            let text = format!(
                "ls -A /tmp; echo {number} > /tmp/file; df --output=fstype /tmp | tail -1; cat /tmp/file"
            );
            tokio::spawn(async move { output(&spawner, &text).await })
        })
        .collect();
    for (number, task) in spawned.into_iter().enumerate() {
        assert_eq!(task.await.expect("no panic"), format!("ext4\n{number}\n"));
    }
}

#[tokio::test]
async fn a_cancelled_spawn_gives_its_volume_back() {
    let directory = directory();
    let spawner = start_on_disk(directory.path()).await;
    for _ in 0..20 {
        let mut spawning = Box::pin(spawner.spawn(script("echo x > /tmp/x; sleep 1000")));
        let _ = tokio::time::timeout(std::time::Duration::from_micros(500), &mut spawning).await;
    }
    assert_eq!(output(&spawner, "ls -A /tmp").await, "");
    spawner.shutdown().await;
    eventually("every volume is gone", || volumes(directory.path()) == 0).await;
}

#[tokio::test]
async fn it_is_memory_where_it_cannot_be_disk_and_said_so() {
    let spawner = start();
    assert_eq!(spawner.limits().tmp, TmpInForce::Memory(WhyMemory::NotConfigured));
    assert!(spawner.limits().to_string().ends_with("counted as the function's"), "{}", spawner.limits());
    assert_eq!(output(&spawner, "df --output=fstype /tmp | tail -1").await, "tmpfs\n");
    // The directory need not even exist: an ordinary user may not mount anything.
    let (of_sandbox, about) =
        as_ordinary_user(&["--tmp", "/nowhere", "run", "df --output=fstype /tmp | tail -1"]);
    assert!(about.contains("tmp: memory (lambd does not run as root)"), "{about}");
    assert_eq!(of_sandbox, "tmpfs\n");
}

#[tokio::test]
async fn it_is_memory_while_the_disk_is_full() {
    let (image, directory) = (directory(), directory());
    // Before the small disk is mounted, so that it is seen here only.
    lambd_jail::private_mounts().expect("these tests need root");
    let disk = small_disk(image.path(), 100 * MIB);
    disk.mount(directory.path()).expect("mount");
    std::fs::write(directory.path().join("filler"), vec![1; 30 << 20]).expect("write");
    let spawner = start_in(directory.path()).await;
    assert_eq!(spawner.limits().tmp, TmpInForce::Memory(WhyMemory::DiskFull), "{}", spawner.limits());
    spawner.shutdown().await;

    std::fs::remove_file(directory.path().join("filler")).expect("remove");
    let spawner = start_on_disk(directory.path()).await;
    let mut spec = script("df --output=fstype /tmp | tail -1");
    assert_eq!(run(&spawner, spec.clone()).await.output, "ext4\n");
    (spec.id, spec.tmp_bytes) = ("large".into(), 512 * MIB);
    assert_eq!(run(&spawner, spec).await.output, "tmpfs\n", "more than the disk could hold");
}

#[tokio::test]
async fn it_is_memory_where_the_directory_is() {
    let directory = directory();
    lambd_jail::private_mounts().expect("these tests need root");
    rustix::mount::mount("none", directory.path(), "tmpfs", MountFlags::empty(), None).expect("mount");
    let spawner = start_in(directory.path()).await;
    assert_eq!(spawner.limits().tmp, TmpInForce::Memory(WhyMemory::NoDisk), "{}", spawner.limits());
}

/// A disk of this size in a file of a directory, on which nothing is mounted any more.
fn small_disk(directory: &Path, bytes: u64) -> LoopDevice {
    let path = directory.join("disk");
    let image = File::options().create_new(true).read(true).write(true).open(&path).expect("an image");
    image.set_len(bytes).expect("its size");
    let made = Command::new("/usr/sbin/mke2fs")
        .args(["-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal"])
        .arg(&path)
        .status();
    assert!(made.expect("mke2fs runs").success());
    let nodes = directory.join("nodes");
    std::fs::create_dir(&nodes).expect("a directory");
    let workplace = Workplace::mount(&nodes).expect("a place for device nodes");
    LoopDevice::attach(image.as_fd(), &workplace).expect("a loop device")
}

/// Whether anything is mounted at or below a directory, as this thread sees it.
fn mounted(directory: &Path) -> bool {
    // Not /proc/self, which is the main thread's view.
    let text = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("readable");
    text.contains(directory.to_str().expect("a simple path"))
}

fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory).expect("readable").count()
}
