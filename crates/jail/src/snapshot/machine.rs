//! What depends on the processor: its registers, and the code that turns a process into another one.
//!
//! The code is copied to a place that neither process uses. There it makes the system calls of a table, one
//! after the other, which replace all memory of the process, the stack included; so it uses none. Then it
//! loads the registers of the captured process and goes on where that one was.

use std::arch::{asm, global_asm};
use std::os::fd::RawFd;

use super::table::CALL_BYTES;
use super::{EXIT_NOT_RESTORED, PAGE};

/// Bytes of the instruction that makes a system call.
pub(super) const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// One past the last address that a process can have: 47 bits less a page.
pub(super) const TASK_SIZE: u64 = 0x7fff_ffff_f000;

/// The code segment of 64-bit programs.
const CODE_SEGMENT: u64 = 0x33;

/// What the kernel leaves as result of a call that is to be made again, see signal(7): `ERESTARTSYS`,
/// `ERESTARTNOINTR`, `ERESTARTNOHAND`.
const RESTART: [i64; 3] = [-512, -513, -514];

/// What a call has as result before it was made.
const NOT_MADE: i64 = -(libc::ENOSYS as i64);

/// `ARCH_SET_GS` and `ARCH_SET_FS` of arch_prctl(2).
pub(super) const SET_GS: u64 = 0x1001;
pub(super) const SET_FS: u64 = 0x1002;

/// General registers as ptrace(2) shows them.
pub(super) type Registers = libc::user_regs_struct;

/// Whether a stopped process waits inside read(2) on this descriptor.
pub(super) fn waits_in_read(registers: &Registers, fd: RawFd) -> bool {
    is_read_of(registers, fd) && RESTART.contains(&(registers.rax as i64))
}

/// Whether a process that was stopped at the beginning of a call is about to read from this descriptor.
pub(super) fn begins_read(registers: &Registers, fd: RawFd) -> bool {
    is_read_of(registers, fd) && registers.rax as i64 == NOT_MADE
}

fn is_read_of(registers: &Registers, fd: RawFd) -> bool {
    registers.cs == CODE_SEGMENT
        && registers.orig_rax == libc::SYS_read as u64
        && registers.rdi as RawFd == fd
}

/// The registers of a process that will make the call again in which it waits.
pub(super) fn before_call(registers: &Registers) -> Registers {
    let mut before = *registers;
    before.rip -= SYSCALL.len() as u64;
    before.rax = registers.orig_rax;
    // None: the kernel has nothing to restart.
    before.orig_rax = u64::MAX;
    before
}

/// The same for another call in its place.
pub(super) fn with_call(before: &Registers, number: i64, args: [u64; 6]) -> Registers {
    let mut registers = *before;
    registers.rax = number as u64;
    [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9] = args;
    registers
}

/// What the code loads at its end.
pub(super) struct State {
    pub(super) registers: Registers,
    /// Of blocked signals.
    pub(super) signal_mask: u64,
    /// Control words of floating-point arithmetic. The registers themselves belong to nobody across a call.
    pub(super) mxcsr: u32,
    pub(super) x87_control: u16,
}

impl State {
    /// In the order that the code expects.
    fn bytes(&self) -> Vec<u8> {
        let r = &self.registers;
        let words = [
            r.rax,
            r.rbx,
            r.rdx,
            r.rsi,
            r.rdi,
            r.rbp,
            r.rsp,
            r.r8,
            r.r9,
            r.r10,
            r.r12,
            r.r13,
            r.r14,
            r.r15,
            r.rip,
            self.signal_mask,
        ];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(self.mxcsr.to_ne_bytes());
        bytes.extend(self.x87_control.to_ne_bytes());
        bytes
    }
}

// In: r12 the first call of the table, r13 its end, r14 a descriptor for the report of a failure.
//
// The signal mask comes after the stack and before the other registers: from then on a signal may arrive, and
// its handler finds the stack that it expects and returns to here.
global_asm!(
    ".pushsection .text.lambd_restorer, \"ax\", @progbits",
    ".balign 16",
    ".globl lambd_restorer_start",
    ".hidden lambd_restorer_start",
    "lambd_restorer_start:",
    "2:",
    "cmp r12, r13",
    "je 4f",
    "mov rax, [r12 + 8]",
    "mov rdi, [r12 + 16]",
    "mov rsi, [r12 + 24]",
    "mov rdx, [r12 + 32]",
    "mov r10, [r12 + 40]",
    "mov r8, [r12 + 48]",
    "mov r9, [r12 + 56]",
    "syscall",
    "cmp rax, -4095",
    "jae 3f",
    "add r12, {call_bytes}",
    "jmp 2b",
    "3:",
    "neg rax",
    "mov [r12 + 8], rax",
    "mov rdi, r14",
    "mov rsi, r12",
    "mov edx, {call_bytes}",
    "mov eax, {write}",
    "syscall",
    "mov edi, {exit_code}",
    "mov eax, {exit_group}",
    "syscall",
    "ud2",
    "4:",
    "lea r15, [rip + lambd_restorer_state]",
    "mov rsp, [r15 + 48]",
    "mov eax, {rt_sigprocmask}",
    "mov edi, {set_mask}",
    "lea rsi, [r15 + 120]",
    "xor edx, edx",
    "mov r10d, 8",
    "syscall",
    "fninit",
    "fldcw word ptr [r15 + 132]",
    "ldmxcsr dword ptr [r15 + 128]",
    "cld",
    "mov rax, [r15 + 0]",
    "mov rbx, [r15 + 8]",
    "mov rdx, [r15 + 16]",
    "mov rsi, [r15 + 24]",
    "mov rdi, [r15 + 32]",
    "mov rbp, [r15 + 40]",
    "mov r8, [r15 + 56]",
    "mov r9, [r15 + 64]",
    "mov r10, [r15 + 72]",
    "mov r12, [r15 + 80]",
    "mov r13, [r15 + 88]",
    "mov r14, [r15 + 96]",
    // A system call, which comes next, may change r11.
    "mov r11, [r15 + 112]",
    "mov r15, [r15 + 104]",
    "jmp r11",
    ".balign 16",
    ".globl lambd_restorer_state",
    ".hidden lambd_restorer_state",
    "lambd_restorer_state:",
    ".skip 144",
    ".globl lambd_restorer_end",
    ".hidden lambd_restorer_end",
    "lambd_restorer_end:",
    ".popsection",
    call_bytes = const CALL_BYTES,
    exit_code = const EXIT_NOT_RESTORED,
    write = const libc::SYS_write,
    exit_group = const libc::SYS_exit_group,
    rt_sigprocmask = const libc::SYS_rt_sigprocmask,
    set_mask = const libc::SIG_SETMASK,
);

unsafe extern "C" {
    static lambd_restorer_start: u8;
    static lambd_restorer_state: u8;
    static lambd_restorer_end: u8;
}

/// A page with the code and with what it loads at its end.
pub(super) fn code_page(state: &State) -> Vec<u8> {
    let (start, end) = (&raw const lambd_restorer_start, &raw const lambd_restorer_end);
    let length = end.addr() - start.addr();
    // SAFETY: both symbols are in one section of this program's text, in this order, see above; text is
    // readable and never written.
    let mut page = unsafe { std::slice::from_raw_parts(start, length) }.to_vec();
    let state_at = (&raw const lambd_restorer_state).addr() - start.addr();
    let bytes = state.bytes();
    page[state_at..state_at + bytes.len()].copy_from_slice(&bytes);
    page.resize(PAGE as usize, 0);
    page
}

/// Runs the code.
///
/// # Safety
/// At `code` is a copy of the code, executable, and at `table` a table of calls, writable, up to `end`, which
/// unmaps neither before its last call. The process has a single thread.
pub(super) unsafe fn enter(code: u64, table: u64, end: u64, report: RawFd) -> ! {
    // SAFETY: the caller's promise; nothing of this program is executed afterwards.
    unsafe {
        asm!(
            "jmp rax",
            in("rax") code,
            in("r12") table,
            in("r13") end,
            in("r14") report as u64,
            options(noreturn)
        )
    }
}
