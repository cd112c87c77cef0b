use std::io::Write as _;

use futures_util::future::BoxFuture;
use lambd_types::SystemClock;

use super::*;

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl LogStream for Recorder {
    fn append(&self, events: Vec<LogEvent>) {
        self.0.lock().unwrap().extend(events.into_iter().map(|e| e.message));
    }
    fn is_full(&self) -> bool {
        false
    }
    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// A sink that never catches up.
struct Swamped;

impl LogStream for Swamped {
    fn append(&self, _: Vec<LogEvent>) {}
    fn is_full(&self) -> bool {
        true
    }
    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

fn log() -> (InstanceLog, io::PipeWriter, Arc<Recorder>) {
    let (reader, writer) = io::pipe().unwrap();
    let recorder = Arc::new(Recorder::default());
    // A sandbox hands the pipe over like this: reading must not block.
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    let fd = OwnedFd::from(reader);
    (InstanceLog::start(fd, recorder.clone(), Arc::new(SystemClock)).unwrap(), writer, recorder)
}

#[tokio::test]
async fn output_before_the_answer_lands_between_start_and_end() {
    let (log, mut process, recorder) = log();
    process.write_all(b"init\n").unwrap();
    log.begin("START\n".into(), true);
    process.write_all(b"one\ntwo without newline").unwrap();
    let tail = log.finish(vec!["END\n".into(), "REPORT\n".into()]).unwrap();
    let expected = ["init\n", "START\n", "one\n", "two without newline\n", "END\n", "REPORT\n"];
    assert_eq!(*recorder.0.lock().unwrap(), expected);
    assert_eq!(tail, "init\nSTART\none\ntwo without newline\nEND\nREPORT\n");

    process.write_all(b"between events\n").unwrap();
    log.begin("START\n".into(), true);
    assert_eq!(log.finish(vec!["END\n".into()]).unwrap(), "START\nEND\n");
}

/// CORE-057: at most the last 4 KB.
#[tokio::test]
async fn the_tail_is_the_last_four_kilobytes() {
    let (log, mut process, _) = log();
    log.begin("START\n".into(), true);
    for _ in 0..20 {
        process.write_all(&[b'x'; 1000]).unwrap();
        log.platform(vec![]);
    }
    let tail = log.finish(vec!["END\n".into()]).unwrap();
    assert_eq!(tail.len(), 4096);
    assert!(tail.ends_with(b"x\nEND\n"));
}

#[tokio::test]
async fn endless_lines_are_cut_and_bytes_that_are_no_text_survive() {
    let (log, mut process, recorder) = log();
    log.begin("START\n".into(), false);
    let writer = std::thread::spawn(move || {
        process.write_all(&vec![b'y'; LINE_MAX + 10]).unwrap();
        process.write_all(b"\n\xff\n").unwrap();
        process
    });
    while !writer.is_finished() {
        log.platform(vec![]);
        tokio::task::yield_now().await;
    }
    assert_eq!(log.finish(vec![]), None);
    let lines = recorder.0.lock().unwrap();
    let lengths: Vec<_> = lines.iter().map(String::len).collect();
    assert_eq!(lengths[..3], [6, LINE_MAX, 11]);
    assert_eq!(lines[3], "\u{fffd}\n");
}

/// An instance that writes too much for the disk waits for it, and keeps no other from going on.
#[tokio::test(start_paused = true)]
async fn only_those_who_write_much_wait_for_a_sink_that_is_behind() {
    let (reader, mut process) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    let log = InstanceLog::start(reader.into(), Arc::new(Swamped), Arc::new(SystemClock)).unwrap();
    let waits = async |log: &InstanceLog| {
        tokio::time::timeout(std::time::Duration::from_secs(60), log.settle()).await.is_err()
    };
    process.write_all(b"modest\n").unwrap();
    log.finish(vec!["END\n".into()]);
    assert!(!waits(&log).await);
    for _ in 0..3 {
        process.write_all(&[b'x'; MODEST / 2]).unwrap();
        log.platform(vec![]);
    }
    log.finish(vec!["END\n".into()]);
    assert!(waits(&log).await);
    log.finish(vec!["END\n".into()]);
    assert!(!waits(&log).await, "it has waited for that output");
}
