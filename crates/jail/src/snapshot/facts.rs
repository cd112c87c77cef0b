//! What the kernel keeps about a process beside memory and open files.

use std::fs;
use std::path::PathBuf;

use super::trace::{Rseq, Tracee};
use super::{CaptureError, refused};
use crate::error::Step;

/// Bytes of the kernel's `struct sigaction`.
pub(super) const ACTION_BYTES: usize = 32;
const ALT_STACK_BYTES: usize = 24;
const TIMER_BYTES: usize = 32;
/// Bytes of the kernel's `struct sigevent`.
const EVENT_BYTES: usize = 64;

/// What must be set again.
pub(super) struct Facts {
    pub(super) cwd: PathBuf,
    pub(super) umask: u32,
    pub(super) personality: u32,
    pub(super) name: Vec<u8>,
    pub(super) layout: MemoryLayout,
    /// Signals that do not have their default, with the kernel's `struct sigaction`.
    pub(super) actions: Vec<(u32, Vec<u8>)>,
    /// Timers at rest, by their number: clock and the kernel's `struct sigevent`.
    pub(super) timers: Vec<(u64, Vec<u8>)>,
    /// The kernel's `stack_t`.
    pub(super) alternate_stack: Vec<u8>,
    pub(super) signal_mask: u64,
    pub(super) thread_id_address: u64,
    pub(super) robust_list: (u64, u64),
    pub(super) rseq: Option<Rseq>,
    /// Options of prctl(2) with their value.
    pub(super) options: Vec<(i32, u64)>,
    pub(super) floating_point_control: (u32, u16),
}

/// The fields of `struct prctl_mm_map`.
pub(super) struct MemoryLayout {
    /// From `start_code` to `env_end`, in the kernel's order.
    pub(super) addresses: [u64; 11],
    pub(super) auxiliary_vector: Vec<u8>,
}

/// The value of a line in a file of /proc.
pub(super) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The same as a number.
pub(super) fn number_of(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.parse().ok()
}

fn hexadecimal(text: &str, name: &str) -> u64 {
    field(text, name).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0)
}

fn read(pid: i32, file: &str) -> Result<Vec<u8>, CaptureError> {
    Ok(fs::read(format!("/proc/{pid}/{file}")).step_with(|| format!("read {file} of the process"))?)
}

fn read_text(pid: i32, file: &str) -> Result<String, CaptureError> {
    Ok(String::from_utf8_lossy(&read(pid, file)?).into_owned())
}

/// Refuses a process that has something that no other can be given; before it is stopped.
pub(super) fn check(pid: i32) -> Result<(), CaptureError> {
    let status = read_text(pid, "status")?;
    match number_of(&status, "Threads:") {
        Some(1) => {}
        count => return Err(refused(format!("the process has {} threads", count.unwrap_or(0)))),
    }
    // Not every kernel tells.
    if read_text(pid, &format!("task/{pid}/children")).is_ok_and(|children| !children.trim().is_empty()) {
        return Err(refused("the process has child processes"));
    }
    if hexadecimal(&status, "SigPnd:") | hexadecimal(&status, "ShdPnd:") != 0 {
        return Err(refused("the process has a signal waiting"));
    }
    if field(&status, "x86_Thread_features:").is_some_and(|features| !features.is_empty()) {
        return Err(refused("the process has a shadow stack"));
    }
    if fs::read_link(format!("/proc/{pid}/root")).step("read root of the process")? != *"/" {
        return Err(refused("the process has changed its root directory"));
    }
    Ok(())
}

/// Asks for everything.
pub(super) fn of(pid: i32, tracee: &Tracee) -> Result<Facts, CaptureError> {
    let status = read_text(pid, "status")?;
    let umask = field(&status, "Umask:").and_then(|umask| u32::from_str_radix(umask, 8).ok());
    let personality = read_text(pid, "personality")?;
    let mut name = read(pid, "comm")?;
    name.pop();
    name.push(0);
    let thread_id = tracee.ask(libc::SYS_prctl, |to| [libc::PR_GET_TID_ADDRESS as u64, to, 0, 0, 0], 8)?;
    for which in [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF] {
        let (_, timer) = tracee.ask(libc::SYS_getitimer, |to| [which as u64, to], TIMER_BYTES)?;
        if timer.iter().any(|byte| *byte != 0) {
            return Err(refused("the process has a timer (setitimer)"));
        }
    }
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).step("read working directory of the process")?;
    Ok(Facts {
        cwd,
        umask: umask.unwrap_or(0o022),
        personality: u32::from_str_radix(personality.trim(), 16).unwrap_or(0),
        name,
        layout: layout(pid, tracee)?,
        actions: actions(&status, tracee)?,
        timers: timers(&read_text(pid, "timers").unwrap_or_default(), tracee)?,
        alternate_stack: tracee.ask(libc::SYS_sigaltstack, |to| [0, to], ALT_STACK_BYTES)?.1,
        signal_mask: tracee.signal_mask()?,
        thread_id_address: word(&thread_id.1),
        robust_list: tracee.robust_list()?,
        rseq: tracee.rseq()?,
        options: options(tracee)?,
        floating_point_control: tracee.floating_point_control()?,
    })
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn actions(status: &str, tracee: &Tracee) -> Result<Vec<(u32, Vec<u8>)>, CaptureError> {
    let changed = hexadecimal(status, "SigIgn:") | hexadecimal(status, "SigCgt:");
    let mut actions = Vec::new();
    for signal in (1..=64_u32).filter(|signal| changed >> (signal - 1) & 1 == 1) {
        let question = |to| [u64::from(signal), 0, to, 8];
        actions.push((signal, tracee.ask(libc::SYS_rt_sigaction, question, ACTION_BYTES)?.1));
    }
    Ok(actions)
}

/// Timers of timer_create(2) that are not set, which Ruby has one of. The kernel numbers them from zero on, so they get
/// their numbers again if none was deleted.
fn timers(list: &str, tracee: &Tracee) -> Result<Vec<(u64, Vec<u8>)>, CaptureError> {
    let refusal = || refused("the process has a timer (timer_create)");
    let mut timers = Vec::new();
    let lines: Vec<&str> = list.lines().collect();
    // Four lines each, of which the first is `ID: 0`, see proc_pid_timers(5).
    for timer in lines.chunks(4).map(|timer| timer.join("\n")) {
        let (signal, value) =
            field(&timer, "signal:").and_then(|signal| signal.split_once('/')).ok_or_else(refusal)?;
        let is_to_process = field(&timer, "notify:").is_some_and(|notify| notify.starts_with("signal/pid."));
        let clock = number_of(&timer, "ClockID:").ok_or_else(refusal)?;
        if !is_to_process || number_of(&timer, "ID:") != Some(timers.len() as u64) {
            return Err(refusal());
        }
        let (_, setting) =
            tracee.ask(libc::SYS_timer_gettime, |to| [timers.len() as u64, to], TIMER_BYTES)?;
        if setting.iter().any(|byte| *byte != 0) {
            return Err(refusal());
        }
        let value = u64::from_str_radix(value, 16).map_err(|_| refusal())?;
        let signal: i32 = signal.parse().map_err(|_| refusal())?;
        let mut event = value.to_ne_bytes().to_vec();
        event.extend(signal.to_ne_bytes());
        event.extend(libc::SIGEV_SIGNAL.to_ne_bytes());
        event.resize(EVENT_BYTES, 0);
        timers.push((clock, event));
    }
    Ok(timers)
}

/// Options that a process can set for itself without any right, and that have no other way to be read.
fn options(tracee: &Tracee) -> Result<Vec<(i32, u64)>, CaptureError> {
    let get = |option: i32| tracee.call(libc::SYS_prctl, &[option as u64, 0, 0, 0, 0]);
    let get_int = |option: i32| -> Result<u64, CaptureError> {
        Ok(word(&tracee.ask(libc::SYS_prctl, |to| [option as u64, to, 0, 0, 0], 4)?.1))
    };
    Ok(vec![
        (libc::PR_SET_CHILD_SUBREAPER, get_int(libc::PR_GET_CHILD_SUBREAPER)?),
        (libc::PR_SET_PDEATHSIG, get_int(libc::PR_GET_PDEATHSIG)?),
        (libc::PR_SET_TIMERSLACK, get(libc::PR_GET_TIMERSLACK)?),
        (libc::PR_SET_THP_DISABLE, get(libc::PR_GET_THP_DISABLE)?),
        // Last, so that nobody may look into the process before it is the restored one.
        (libc::PR_SET_DUMPABLE, get(libc::PR_GET_DUMPABLE)?),
    ])
}

/// From proc_pid_stat(5), where fields are counted from 1 and the third is behind the name in parentheses.
fn layout(pid: i32, tracee: &Tracee) -> Result<MemoryLayout, CaptureError> {
    let stat = read_text(pid, "stat")?;
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    let field = |number: usize| -> u64 {
        fields.get(number - 3).and_then(|field| field.trim().parse().ok()).unwrap_or(0)
    };
    let [start_code, end_code, start_stack] = [26, 27, 28].map(field);
    let [start_data, end_data, start_brk, arg_start, arg_end, env_start, env_end] =
        [45, 46, 47, 48, 49, 50, 51].map(field);
    let brk = tracee.call(libc::SYS_brk, &[0])?;
    Ok(MemoryLayout {
        addresses: [
            start_code,
            end_code,
            start_data,
            end_data,
            start_brk,
            brk,
            start_stack,
            arg_start,
            arg_end,
            env_start,
            env_end,
        ],
        auxiliary_vector: read(pid, "auxv")?,
    })
}
