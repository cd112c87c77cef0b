use std::io::Write as _;

use futures_util::future::BoxFuture;
use lambd_types::{LogFormat, SystemClock};

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
    let log = InstanceLog::new(
        recorder.clone(),
        Arc::new(SystemClock),
        LogFilter::of(LogFormat::Text),
        Arc::new(Telemetry::new(LogFormat::Text)),
    );
    log.attach(OwnedFd::from(reader)).unwrap();
    (log, writer, recorder)
}

#[tokio::test]
async fn output_before_the_answer_lands_between_start_and_end() {
    let (log, mut process, recorder) = log();
    process.write_all(b"init\n").unwrap();
    log.begin(Some("START\n".into()), true);
    process.write_all(b"one\ntwo without newline").unwrap();
    let tail = log.finish(vec!["END\n".into(), "REPORT\n".into()]).unwrap();
    let expected = ["init\n", "START\n", "one\n", "two without newline\n", "END\n", "REPORT\n"];
    assert_eq!(*recorder.0.lock().unwrap(), expected);
    assert_eq!(tail, "init\nSTART\none\ntwo without newline\nEND\nREPORT\n");

    process.write_all(b"between events\n").unwrap();
    log.begin(Some("START\n".into()), true);
    assert_eq!(log.finish(vec!["END\n".into()]).unwrap(), "START\nEND\n");
}

/// CORE-057: at most the last 4 KB.
#[tokio::test]
async fn the_tail_is_the_last_four_kilobytes() {
    let (log, mut process, _) = log();
    log.begin(Some("START\n".into()), true);
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
    log.begin(Some("START\n".into()), false);
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

/// Nothing of a killed process comes after the lines that tell of its end, and the next process's output
/// does not mix with what it left.
#[tokio::test]
async fn a_detached_process_is_not_heard_any_more() {
    let (log, mut process, recorder) = log();
    process.write_all(b"half a line").unwrap();
    log.detach();
    log.platform(vec!["platform\n".into()]);
    let _ = process.write_all(b"too late\n");
    let (reader, mut next) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    log.attach(OwnedFd::from(reader)).unwrap();
    next.write_all(b"next\n").unwrap();
    assert_eq!(log.finish(vec![]).unwrap(), "half a line\nplatform\nnext\n");
    drop((process, next));
    // The pumps end with their pipes.
    while Arc::strong_count(&log.shared) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*recorder.0.lock().unwrap(), ["half a line\n", "platform\n", "next\n"]);
}

/// The end of an invocation is not held up by a process that never stops writing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_delays_no_end() {
    let (log, mut process, recorder) = log();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let stop = stop.clone();
        move || {
            for n in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return n;
                }
                writeln!(process, "{n}").unwrap();
            }
            0
        }
    });
    for n in 0..100 {
        log.begin(Some(format!("START {n}\n")), true);
        let tail = log.finish(vec![format!("END {n}\n")]).unwrap();
        assert!(tail.ends_with(format!("END {n}\n").as_bytes()));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let written: u32 = writer.join().unwrap();
    while Arc::strong_count(&log.shared) > 1 {
        tokio::task::yield_now().await;
    }
    let lines = recorder.0.lock().unwrap();
    let output: Vec<u32> = lines.iter().filter_map(|line| line.trim_end().parse().ok()).collect();
    // A line that an END cut in two is two numbers; all others are whole and in order.
    let digits = |numbers: &mut dyn Iterator<Item = u32>| numbers.map(|n| n.to_string()).collect::<String>();
    assert_eq!(digits(&mut output.iter().copied()), digits(&mut (0..written)));
}

/// An instance that writes too much for the disk waits for it, and keeps no other from going on.
#[tokio::test(start_paused = true)]
async fn only_those_who_write_much_wait_for_a_sink_that_is_behind() {
    let (reader, mut process) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    let log = InstanceLog::new(
        Arc::new(Swamped),
        Arc::new(SystemClock),
        LogFilter::of(LogFormat::Text),
        Arc::new(Telemetry::new(LogFormat::Text)),
    );
    log.attach(OwnedFd::from(reader)).unwrap();
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
