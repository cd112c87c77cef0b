//! System calls that a process makes on itself before it becomes another one.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use super::PAGE;

/// One page of a file, readable; unmapped when dropped.
pub(super) struct MappedPage(*mut libc::c_void);

impl MappedPage {
    pub(super) fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: a new mapping at a place that the kernel chooses; nobody reads it.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                PAGE as usize,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self(address)) }
    }

    pub(super) fn address(&self) -> u64 {
        self.0.addr() as u64
    }
}

impl Drop for MappedPage {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own and of this size.
        unsafe { libc::munmap(self.0, PAGE as usize) };
    }
}

/// Maps a part of a file privately at an address where nothing is.
pub(super) fn map_at(address: u64, bytes: u64, protection: i32, fd: RawFd, offset: u64) -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE;
    let (to, offset) = (ptr::without_provenance_mut(address as usize), offset as libc::off_t);
    // SAFETY: the kernel refuses an address where anything is mapped.
    let mapped = unsafe { libc::mmap(to, bytes as usize, protection, flags, fd, offset) };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Moves a mapping.
///
/// # Safety
/// Nothing is mapped at the new place, and nobody uses the mapping any more.
pub(super) unsafe fn move_mapping(from: u64, bytes: u64, to: u64) -> io::Result<()> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: the caller's promise.
    check(unsafe { libc::syscall(libc::SYS_mremap, from, bytes, bytes, flags, to) })
}

/// Takes back the C library's registration for restartable sequences: the kernel writes to the memory registered.
///
/// # Safety
/// Nobody uses rseq(2) in this process any more.
pub(super) unsafe fn leave_rseq() -> io::Result<()> {
    const UNREGISTER: i32 = 1;
    const SIGNATURE: u32 = 0x5305_3053;
    /// Sizes with which C libraries register: the first one of the interface, and that with later fields.
    const SIZES: [u32; 3] = [32, 64, 20];
    // SAFETY: both names are those of objects that C libraries document for this purpose; one without them gives
    // null. They are integers and never change.
    let (offset, size) = unsafe {
        let offset = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr()).cast::<isize>();
        let size = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()).cast::<u32>();
        if offset.is_null() || size.is_null() {
            return Ok(());
        }
        (*offset, *size)
    };
    if size == 0 {
        return Ok(());
    }
    let address = thread_pointer().wrapping_add_signed(offset);
    let mut last = Ok(());
    for size in SIZES {
        // SAFETY: the kernel refuses what differs from the registration; otherwise the caller's promise.
        last = check(unsafe { libc::syscall(libc::SYS_rseq, address, size, UNREGISTER, SIGNATURE) });
        if last.is_ok() {
            break;
        }
    }
    last
}

fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads one word; its first word is the thread pointer itself on this architecture.
    unsafe { std::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly, preserves_flags)) };
    pointer
}

/// Blocks every signal.
pub(super) fn block_all_signals() -> io::Result<()> {
    let all = u64::MAX;
    // SAFETY: `all` is a signal set of the size passed along and lives across the call.
    check(unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, ptr::null::<u64>(), 8)
    })
}

/// personality(2), if it is another one.
pub(super) fn set_personality(wanted: u32) -> io::Result<()> {
    const QUERY: libc::c_ulong = 0xffff_ffff;
    // SAFETY: no pointers.
    let present = unsafe { libc::personality(QUERY) };
    if present as u32 == wanted {
        return Ok(());
    }
    // SAFETY: no pointers; flags concern mappings that are made later.
    check(unsafe { libc::personality(wanted.into()) }.into())
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
