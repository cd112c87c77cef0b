//! Taking the image of a process.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde::{Deserialize, Serialize};

use super::descriptors::{self, Descriptor, FileId};
use super::facts::{self, Facts};
use super::machine::{self, State};
use super::maps::{self, Mapping};
use super::memory::{self, Image, Numbers};
use super::own::MappedPage;
use super::table::{Layout, Purpose, Table};
use super::trace::Tracee;
use super::{CaptureError, Captured, Snapshot, refused};
use crate::error::{Step, StepError};

/// Descriptors below this number may be in use when a process is restored.
const LOWEST_OWN: RawFd = 64;

/// Options of prctl(2).
const PR_SET_MM: u64 = libc::PR_SET_MM as u64;
const PR_SET_MM_MAP: u64 = libc::PR_SET_MM_MAP as u64;

/// Bytes of the capabilities that capset(2) sets.
const CAPABILITY_BYTES: usize = 24;

/// Bytes of a signal set in the kernel's interface.
const SIGNAL_SET_BYTES: u64 = 8;

/// What restoring needs beside the memory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Opened again under the numbers from `first_own` + 2 on; before them are the report and the image.
    pub(super) files: Vec<FileId>,
    pub(super) first_own: RawFd,
    pub(super) descriptors: Vec<Descriptor>,
    pub(super) cwd: PathBuf,
    pub(super) umask: u32,
    pub(super) personality: u32,
    /// Names and lengths of the mappings of the vdso.
    pub(super) vdso: Vec<(String, u64)>,
    pub(super) layout: Layout,
    /// Where in the image code and table are.
    pub(super) code: u64,
    pub(super) table: u64,
}

/// Takes the image of a process that waits in read(2) on a descriptor, or will within this time. It goes on as if
/// nothing had been, unless this failed: then nothing is to be expected of it any more.
///
/// The caller must be allowed to trace it (ptrace(2)), see it in its own `/proc`, have the same root directory, be
/// its parent, and have blocked `SIGCHLD`. The process must not be frozen.
///
/// # Errors
/// See [`CaptureError`].
pub fn capture(pid: i32, waits_on: RawFd, patience: Duration) -> Result<Captured, CaptureError> {
    // First, because one with threads may never come to wait.
    facts::check(pid)?;
    let tracee = Tracee::stop(pid, waits_on, patience)?;
    facts::check(pid)?;
    let descriptors = descriptors::of(pid, waits_on)?;
    let facts = facts::of(pid, &tracee)?;
    let mappings = mappings(pid)?;
    let mut files = Vec::new();
    let regions = memory::regions(&mappings, &mut files)?;
    check_files(&files, &mappings)?;

    let vdso: Vec<&Mapping> = mappings.iter().filter(|mapping| mapping.is_vdso()).collect();
    let vdso_bytes = vdso.iter().map(|mapping| mapping.range.length()).sum();
    let taken: Vec<_> = mappings.iter().map(|mapping| mapping.range).collect();
    let too_large = || refused("the process has too many mappings");
    let mut table = Table::beside(&taken, vdso_bytes).ok_or_else(too_large)?;
    let last = descriptors.iter().map(|descriptor| descriptor.number).max().unwrap_or(0);
    let first_own = LOWEST_OWN.max(last + 1);
    let numbers = Numbers { image: first_own + 1, first_file: first_own + 2 };
    let mut image = Image::new(create_image()?);
    let pagemap = File::open(format!("/proc/{pid}/pagemap")).step("open the map of pages")?;
    let program = program(pid, &files, &numbers)?;
    for region in &regions {
        region.capture(&tracee, &pagemap, &mut image, &mut table, &numbers)?;
    }
    let image_bytes = image.bytes();
    place_vdso(&mut table, &vdso);
    set_facts(&mut table, &facts, &tracee, program);
    table.call(Purpose::Close, libc::SYS_close_range, &[first_own as u64, RawFd::MAX as u64, 0]);

    let (mxcsr, x87_control) = facts.floating_point_control;
    let registers = tracee.before_call();
    let state = State { registers, signal_mask: facts.signal_mask, mxcsr, x87_control };
    let code = image.append(&machine::code_page(&state))?;
    let (layout, bytes) = table.finish().ok_or_else(too_large)?;
    let manifest = Manifest {
        files: files.into_iter().map(|(_, id)| id).collect(),
        first_own,
        descriptors,
        cwd: facts.cwd,
        umask: facts.umask,
        personality: facts.personality,
        vdso: vdso.iter().map(|mapping| (mapping.name.clone(), mapping.range.length())).collect(),
        layout,
        code,
        table: image.append(&bytes)?,
    };
    let manifest = serde_json::to_vec(&manifest).map_err(io::Error::from).step("describe the snapshot")?;
    let snapshot =
        Snapshot { manifest: image.append(&manifest)?, manifest_bytes: manifest.len() as u64, image_bytes };
    let image = image.into_file();
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&image, seals).step("seal the image")?;
    Ok(Captured { snapshot, image })
}

/// The descriptor that its program will have, which is one of the mapped files.
fn program(pid: i32, files: &[(File, FileId)], numbers: &Numbers) -> Result<i32, CaptureError> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).step("read program of the process")?;
    let index = files.iter().position(|(_, id)| id.path == path);
    let index = index.ok_or_else(|| refused("the process has not mapped its program"))?;
    Ok(numbers.first_file + index as i32)
}

/// The kernel's `struct __user_cap_header_struct` for this process, see capset(2).
fn capability_header() -> Vec<u8> {
    const VERSION_3: u32 = 0x2008_0522;
    [VERSION_3, 0].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn mappings(pid: i32) -> Result<Vec<Mapping>, CaptureError> {
    let text = fs::read(format!("/proc/{pid}/smaps")).step("read mappings of the process")?;
    let text = String::from_utf8(text)
        .map_err(|_| refused("the process maps a file with a name that is no text"))?;
    let mappings = maps::parse(&text).ok_or_else(|| refused("the kernel does not tell about mappings"))?;
    match maps::zeroing_allocator(&mappings) {
        Some(path) => Err(refused(format!("the process allocates memory by {}", path.display()))),
        None => Ok(mappings),
    }
}

/// Refuses a process that has mapped other files than those that its names for them lead to. How the kernel prints a
/// file's device differs from what stat(2) tells on some file systems, so the files are mapped and compared as printed.
fn check_files(files: &[(File, FileId)], mappings: &[Mapping]) -> Result<(), CaptureError> {
    let held: Vec<_> = files
        .iter()
        .map(|(file, id)| MappedPage::of(file.as_fd()).step_with(|| format!("map {}", id.path.display())))
        .collect::<Result<_, _>>()?;
    let own = fs::read_to_string("/proc/self/maps").step("read own mappings")?;
    let own = maps::parse(&own).ok_or_else(|| refused("the kernel does not tell about mappings"))?;
    for (held, (_, id)) in held.iter().zip(files) {
        let found = own.iter().find(|mapping| mapping.range.start == held.address());
        let identity = found.map(|mapping| &mapping.identity);
        let mut mapped = mappings.iter().filter(|mapping| mapping.path().as_ref() == Some(&id.path));
        if !mapped.all(|mapping| Some(&mapping.identity) == identity) {
            return Err(refused(format!("the process maps {}, which was replaced", id.path.display())));
        }
    }
    Ok(())
}

fn create_image() -> Result<OwnedFd, StepError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create(c"lambd-snapshot", flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3.
        Err(rustix::io::Errno::INVAL) => memfd_create(c"lambd-snapshot", flags),
        created => created,
    }
    .step("create the image")
}

/// Moves the vdso from the parking to where the process knows it.
fn place_vdso(table: &mut Table, vdso: &[&Mapping]) {
    let mut parked = table.parking();
    for mapping in vdso {
        let length = mapping.range.length();
        let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
        let args = [parked, length, length, flags, mapping.range.start];
        table.call(Purpose::Vdso, libc::SYS_mremap, &args);
        parked += length;
    }
}

/// Tells the kernel again what the process has told it, and which program it is, by its descriptor. What that needs is
/// given up.
fn set_facts(table: &mut Table, facts: &Facts, tracee: &Tracee, program: i32) {
    let registers = tracee.before_call();
    let auxiliary_vector = table.data(&facts.layout.auxiliary_vector);
    let mut layout: Vec<u8> =
        facts.layout.addresses.iter().flat_map(|address| address.to_ne_bytes()).collect();
    layout.extend(auxiliary_vector.to_ne_bytes());
    layout.extend((facts.layout.auxiliary_vector.len() as u32).to_ne_bytes());
    layout.extend(program.to_ne_bytes());
    let at = table.data(&layout);
    let fields = [PR_SET_MM, PR_SET_MM_MAP, at, layout.len() as u64, 0];
    table.call(Purpose::Fields, libc::SYS_prctl, &fields);

    table.call(Purpose::Thread, libc::SYS_arch_prctl, &[machine::SET_FS, registers.fs_base]);
    table.call(Purpose::Thread, libc::SYS_arch_prctl, &[machine::SET_GS, registers.gs_base]);
    table.call(Purpose::Thread, libc::SYS_set_tid_address, &[facts.thread_id_address]);
    let (head, length) = facts.robust_list;
    if head != 0 {
        table.call(Purpose::Thread, libc::SYS_set_robust_list, &[head, length]);
    }
    if let Some(rseq) = facts.rseq {
        let args = [rseq.address, rseq.size.into(), 0, rseq.signature.into()];
        table.call(Purpose::Thread, libc::SYS_rseq, &args);
    }
    for (signal, action) in &facts.actions {
        let at = table.data(action);
        table.call(Purpose::Signals, libc::SYS_rt_sigaction, &[u64::from(*signal), at, 0, SIGNAL_SET_BYTES]);
    }
    let stack = table.data(&facts.alternate_stack);
    table.call(Purpose::Signals, libc::SYS_sigaltstack, &[stack, 0]);
    for (clock, event) in &facts.timers {
        let (event, number) = (table.data(event), table.data(&[0; 4]));
        table.call(Purpose::Signals, libc::SYS_timer_create, &[*clock, event, number]);
    }
    let name = table.data(&facts.name);
    table.call(Purpose::Attributes, libc::SYS_prctl, &[libc::PR_SET_NAME as u64, name, 0, 0, 0]);
    let (header, none) = (table.data(&capability_header()), table.data(&[0; CAPABILITY_BYTES]));
    table.call(Purpose::Rights, libc::SYS_capset, &[header, none]);
    for (option, value) in &facts.options {
        table.call(Purpose::Attributes, libc::SYS_prctl, &[*option as u64, *value, 0, 0, 0]);
    }
}
