//! A process that is stopped and looked at: ptrace(2), and calls made in its name.

use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::machine::{self, Registers};
use super::{CaptureError, refused};
use crate::error::{Step, StepError};
use crate::sys;

const GET_FLOATING_POINT: i64 = 14;
const DETACH: i64 = 17;
const CONTINUE: i64 = 7;
const TO_SYSCALL: i64 = 24;
const GET_REGISTERS: i64 = 0x4204;
const SET_REGISTERS: i64 = 0x4205;
const SEIZE: i64 = 0x4206;
const INTERRUPT: i64 = 0x4207;
const GET_SIGNAL_MASK: i64 = 0x420a;
const GET_RSEQ: i64 = 0x420f;

/// `PTRACE_O_TRACESYSGOOD` and `PTRACE_O_EXITKILL`: stops at calls are told from signals, and a tracer that dies
/// leaves no stopped process behind.
const OPTIONS: usize = 1 | 1 << 20;
/// `NT_PRSTATUS`: the general registers.
const GENERAL: usize = 1;
const EVENT_STOP: i32 = 128;
const AT_SYSCALL: i32 = libc::SIGTRAP | 0x80;

/// Space for results of calls, below what a function without a stack frame may use (128 bytes, "red zone").
const SCRATCH: u64 = 1024;

/// Why a process stands still.
enum Stop {
    /// Before or after a call.
    Call,
    /// As it was told to.
    Interrupt,
    /// A signal is about to be delivered.
    Signal(i32),
}

/// A registration for restartable sequences, see rseq(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Rseq {
    pub(super) address: u64,
    pub(super) size: u32,
    pub(super) signature: u32,
    flags: u32,
    pad: u32,
}

/// A stopped process. Dropped, it goes on as if nothing had been.
pub(super) struct Tracee {
    pid: i32,
    deadline: Instant,
    /// With which it goes on.
    before: Option<Registers>,
    memory: File,
}

impl Tracee {
    /// Stops a process once it waits in read(2) on this descriptor. `SIGCHLD` must be blocked.
    pub(super) fn stop(pid: i32, waits_on: RawFd, patience: Duration) -> Result<Self, CaptureError> {
        let path = format!("/proc/{pid}/mem");
        let memory = File::open(&path).step_with(|| format!("open {path}"))?;
        let mut tracee = Self { pid, deadline: Instant::now() + patience, before: None, memory };
        tracee.request(SEIZE, 0, OPTIONS).step("trace the process")?;
        tracee.interrupt()?;
        tracee.wait_for_interrupt()?;
        loop {
            let registers = tracee.registers()?;
            if machine::waits_in_read(&registers, waits_on) {
                let before = machine::before_call(&registers);
                tracee.before = Some(before);
                let instruction = tracee.read(before.rip, machine::SYSCALL.len())?;
                if instruction != machine::SYSCALL {
                    return Err(refused("the process waits in a call of another interface"));
                }
                return Ok(tracee);
            }
            tracee.resume(TO_SYSCALL, 0)?;
            if let Stop::Call = tracee.wait()?
                && machine::begins_read(&tracee.registers()?, waits_on)
            {
                // Broken off as soon as it has begun.
                tracee.interrupt()?;
                tracee.resume(CONTINUE, 0)?;
                tracee.wait_for_interrupt()?;
            }
        }
    }

    /// Has the process stop as soon as it can; a call that waits is broken off.
    fn interrupt(&self) -> Result<(), CaptureError> {
        Ok(self.request(INTERRUPT, 0, 0).step("interrupt the process")?)
    }

    fn wait_for_interrupt(&self) -> Result<(), CaptureError> {
        loop {
            match self.wait()? {
                Stop::Interrupt => return Ok(()),
                Stop::Signal(signal) => self.resume(CONTINUE, signal)?,
                Stop::Call => self.resume(CONTINUE, 0)?,
            }
        }
    }

    /// The general registers before the call in which it waits.
    pub(super) fn before_call(&self) -> Registers {
        self.before.expect("stopped in a call")
    }

    /// Has the process make a system call; its result.
    pub(super) fn call(&self, number: i64, args: &[u64]) -> Result<u64, CaptureError> {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        self.set_registers(&machine::with_call(&self.before_call(), number, all))?;
        for _ in ["entry", "exit"] {
            self.resume(TO_SYSCALL, 0)?;
            loop {
                match self.wait()? {
                    Stop::Call => break,
                    Stop::Interrupt => self.resume(TO_SYSCALL, 0)?,
                    Stop::Signal(_) => return Err(refused("the process gets a signal at this moment")),
                }
            }
        }
        let result = self.registers()?.rax;
        match i32::try_from((result as i64).wrapping_neg()) {
            Ok(errno @ 1..=4095) => {
                let step = format!("make system call {number} in the process");
                Err(StepError { step: step.into(), errno }.into())
            }
            _ => Ok(result),
        }
    }

    /// Has it make a call that writes to the address that `args` gets; the result and what was written.
    pub(super) fn ask<const N: usize>(
        &self,
        number: i64,
        args: impl FnOnce(u64) -> [u64; N],
        bytes: usize,
    ) -> Result<(u64, Vec<u8>), CaptureError> {
        let scratch = (self.before_call().rsp - SCRATCH) & !63;
        let result = self.call(number, &args(scratch))?;
        Ok((result, self.read(scratch, bytes)?))
    }

    /// Its memory at an address.
    pub(super) fn read(&self, address: u64, bytes: usize) -> Result<Vec<u8>, CaptureError> {
        let mut buffer = vec![0; bytes];
        self.memory
            .read_exact_at(&mut buffer, address)
            .step_with(|| format!("read memory at {address:x}"))?;
        Ok(buffer)
    }

    /// The file of its memory.
    pub(super) fn memory(&self) -> &File {
        &self.memory
    }

    pub(super) fn signal_mask(&self) -> Result<u64, CaptureError> {
        let mut mask = 0_u64;
        self.request(GET_SIGNAL_MASK, 8, (&raw mut mask).expose_provenance()).step("get the signal mask")?;
        Ok(mask)
    }

    /// The control words of floating-point arithmetic: of SSE and of the x87.
    pub(super) fn floating_point_control(&self) -> Result<(u32, u16), CaptureError> {
        // SAFETY: a plain structure of integers, for which all zeroes is a valid value.
        let mut state: libc::user_fpregs_struct = unsafe { std::mem::zeroed() };
        self.request(GET_FLOATING_POINT, 0, (&raw mut state).expose_provenance())
            .step("get the floating-point state")?;
        Ok((state.mxcsr, state.cwd))
    }

    /// `None` if it has registered nothing.
    pub(super) fn rseq(&self) -> Result<Option<Rseq>, CaptureError> {
        let mut rseq = Rseq::default();
        match self.request(GET_RSEQ, size_of::<Rseq>(), (&raw mut rseq).expose_provenance()) {
            // A kernel without it.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL)) => Ok(None),
            result => result
                .step("get the registration of restartable sequences")
                .map(|_| (rseq.address != 0).then_some(rseq))
                .map_err(Into::into),
        }
    }

    /// Head and length of its list of robust futexes, see get_robust_list(2).
    pub(super) fn robust_list(&self) -> Result<(u64, u64), CaptureError> {
        let (mut head, mut length) = (0_u64, 0_u64);
        // SAFETY: both locals live across the call, which writes one word to each.
        let result =
            unsafe { libc::syscall(libc::SYS_get_robust_list, self.pid, &raw mut head, &raw mut length) };
        check(result).step("get the list of robust futexes")?;
        Ok((head, length))
    }

    fn registers(&self) -> Result<Registers, CaptureError> {
        // SAFETY: a plain structure of integers, for which all zeroes is a valid value.
        let mut registers: Registers = unsafe { std::mem::zeroed() };
        let mut vector =
            libc::iovec { iov_base: (&raw mut registers).cast(), iov_len: size_of::<Registers>() };
        self.request(GET_REGISTERS, GENERAL, (&raw mut vector).expose_provenance()).step("get registers")?;
        Ok(registers)
    }

    fn set_registers(&self, registers: &Registers) -> Result<(), CaptureError> {
        let base = (&raw const *registers).cast_mut().cast();
        let mut vector = libc::iovec { iov_base: base, iov_len: size_of::<Registers>() };
        self.request(SET_REGISTERS, GENERAL, (&raw mut vector).expose_provenance()).step("set registers")?;
        Ok(())
    }

    fn resume(&self, how: i64, signal: i32) -> Result<(), CaptureError> {
        self.request(how, 0, signal as usize).step("let the process go on")?;
        Ok(())
    }

    fn request(&self, request: i64, address: usize, data: usize) -> io::Result<()> {
        // SAFETY: `data` is a number, or the address of a structure of the size that the request (and `address`)
        // says, which the caller holds across the call.
        check(unsafe { libc::syscall(libc::SYS_ptrace, request, i64::from(self.pid), address, data) })
    }

    /// Waits for it to stand still. Leaves it to others to reap it if it has ended instead.
    fn wait(&self) -> Result<Stop, CaptureError> {
        loop {
            if let Some((code, status)) =
                self.state(libc::WNOWAIT | libc::WEXITED).step("wait for the process")?
            {
                if !matches!(code, libc::CLD_TRAPPED | libc::CLD_STOPPED) {
                    return Err(refused("the process has ended"));
                }
                self.state(0).step("wait for the process")?;
                return match (status & 0xff, status >> 8) {
                    (libc::SIGTRAP, EVENT_STOP) => Ok(Stop::Interrupt),
                    (_, EVENT_STOP) => Err(refused("the process was stopped by a signal")),
                    (AT_SYSCALL, _) => Ok(Stop::Call),
                    (signal, _) => Ok(Stop::Signal(signal)),
                };
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(refused("the process does not wait for its snapshot"));
            }
            sys::wait_for_child(left);
        }
    }

    /// waitid(2) without waiting: code and status.
    fn state(&self, flags: i32) -> io::Result<Option<(i32, i32)>> {
        // SAFETY: a plain structure, for which all zeroes is a valid value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = flags | libc::WSTOPPED | libc::WNOHANG | libc::__WALL;
        // SAFETY: `info` lives across the call.
        let result = unsafe { libc::waitid(libc::P_PID, self.pid as libc::id_t, &raw mut info, flags) };
        check(result.into())?;
        // SAFETY: waitid fills these fields, or leaves zeroes when there is nothing to tell.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        Ok((pid != 0).then_some((info.si_code, status)))
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let _ = self.set_registers(&before);
        }
        let _ = self.request(DETACH, 0, 0);
    }
}

/// kcmp(2): whether two descriptors of a process are the same open file.
pub(super) fn is_same_file(pid: i32, one: RawFd, other: RawFd) -> io::Result<bool> {
    const FILE: i32 = 0;
    // SAFETY: no pointers.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, pid, pid, FILE, one, other) };
    check(order)?;
    Ok(order == 0)
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
