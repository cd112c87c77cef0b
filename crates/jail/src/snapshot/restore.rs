//! Becoming a captured process.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

use rustix::fs::Mode;

use super::capture::Manifest;
use super::descriptors::{self, Descriptor};
use super::maps::{self, Mapping};
use super::table::{CALL_BYTES, Purpose};
use super::{PAGE, Snapshot, machine, own};
use crate::error::{Step, StepError};
use crate::sys;

/// Becomes the captured process; returns only if it cannot. Its `waits_on` descriptor is this one, its standard files
/// are this process's, and all other descriptors are closed.
///
/// The process must have given up every right before, as nothing can do so afterwards, and have the default for every
/// signal. If something fails once its memory is gone, it writes to `report` (see [`failure`]) and ends with
/// [`super::EXIT_NOT_RESTORED`].
///
/// # Safety
/// The process has a single thread, and is a child that nobody expects to run anything of this program again.
pub unsafe fn restore(snapshot: &Snapshot, image: OwnedFd, waits_on: OwnedFd, report: OwnedFd) -> StepError {
    // SAFETY: the caller's promise.
    match unsafe { try_restore(snapshot, image, waits_on, report) } {
        Ok(never) => match never {},
        Err(error) => StepError { step: format!("restore: {}", error.step).into(), errno: error.errno },
    }
}

/// # Safety
/// As for [`restore`].
unsafe fn try_restore(
    snapshot: &Snapshot,
    image: OwnedFd,
    waits_on: OwnedFd,
    report: OwnedFd,
) -> Result<std::convert::Infallible, StepError> {
    let image = File::from(image);
    let mut manifest = vec![0; snapshot.manifest_bytes as usize];
    image.read_exact_at(&mut manifest, snapshot.manifest).step("read the description")?;
    let manifest: Manifest =
        serde_json::from_slice(&manifest).map_err(io::Error::from).step("read the description")?;
    let vdso = own_vdso(&manifest)?;
    let own = Own::gather(&manifest, image.into(), waits_on, report)?;
    rustix::process::chdir(&manifest.cwd).step_with(|| format!("enter {}", manifest.cwd.display()))?;
    rustix::process::umask(Mode::from_raw_mode(manifest.umask));
    own::set_personality(manifest.personality).step("set personality")?;
    let report = own.place(&manifest)?;

    let layout = manifest.layout;
    let image = manifest.first_own + 1;
    let table_bytes = layout.area_end() - layout.data;
    let (text, variable) = (libc::PROT_READ | libc::PROT_EXEC, libc::PROT_READ | libc::PROT_WRITE);
    own::map_at(layout.code, PAGE, text, image, manifest.code).step("map the code")?;
    own::map_at(layout.data, table_bytes, variable, image, manifest.table).step("map the table")?;
    // SAFETY: the caller's promise. Nothing is mapped at the parking (see `own_vdso`), and nothing that follows uses
    // the vdso or restartable sequences. Code and table are those of the image, which `capture` wrote.
    unsafe {
        own::leave_rseq().step("leave restartable sequences")?;
        own::block_all_signals().step("block signals")?;
        let mut parking = layout.parking;
        for mapping in vdso {
            own::move_mapping(mapping.range.start, mapping.range.length(), parking).step("move the vdso")?;
            parking += mapping.range.length();
        }
        machine::enter(layout.code, layout.calls, layout.end, report)
    }
}

/// This process's own vdso, if it is the same that was captured and nothing is in the way.
fn own_vdso(manifest: &Manifest) -> Result<Vec<Mapping>, StepError> {
    let other = |step: &'static str| StepError { step: step.into(), errno: libc::ENOTSUP };
    let maps = fs::read_to_string("/proc/self/maps").step("read own mappings")?;
    let maps = maps::parse(&maps).ok_or_else(|| other("read own mappings"))?;
    let area = maps::Range { start: manifest.layout.code, end: manifest.layout.area_end() };
    if maps.iter().any(|mapping| mapping.range.overlaps(area)) {
        return Err(other("find the place for the table"));
    }
    let vdso: Vec<Mapping> = maps.into_iter().filter(Mapping::is_vdso).collect();
    let own = vdso.iter().map(|mapping| (mapping.name.as_str(), mapping.range.length()));
    if !own.eq(manifest.vdso.iter().map(|(name, length)| (name.as_str(), *length))) {
        return Err(other("find the same vdso"));
    }
    Ok(vdso)
}

/// What this process opened, out of the way of the numbers that it will have.
struct Own {
    report: OwnedFd,
    image: OwnedFd,
    waits_on: OwnedFd,
    files: Vec<OwnedFd>,
    opened: Vec<Option<OwnedFd>>,
}

impl Own {
    /// Opens everything; nothing has changed if that fails.
    fn gather(
        manifest: &Manifest,
        image: OwnedFd,
        waits_on: OwnedFd,
        report: OwnedFd,
    ) -> Result<Self, StepError> {
        // Behind the agreed numbers.
        let lowest = manifest.first_own + 2 + manifest.files.len() as RawFd;
        let up = |fd: OwnedFd| descriptors::move_up(fd, lowest).step("move open files");
        let files = manifest.files.iter().map(|file| up(file.open()?.into())).collect::<Result<_, _>>()?;
        let open = |descriptor: &Descriptor| descriptor.open()?.map(up).transpose();
        let opened = manifest.descriptors.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { report: up(report)?, image: up(image)?, waits_on: up(waits_on)?, files, opened })
    }

    /// Puts everything at its number and closes the rest; the number of the report.
    fn place(self, manifest: &Manifest) -> Result<RawFd, StepError> {
        let report = manifest.first_own;
        // Also those that are no longer used but still open, whoever owns them.
        sys::close_range(3, report - 1).step("close files")?;
        for (descriptor, opened) in manifest.descriptors.iter().zip(self.opened) {
            descriptor.place(opened, &self.waits_on).step("place open files")?;
        }
        let agreed = [&self.report, &self.image].into_iter().chain(&self.files);
        for (number, file) in (report..).zip(agreed) {
            descriptors::copy_to(file.as_raw_fd(), number, true).step("place open files")?;
        }
        Ok(report)
    }
}

/// What a process wrote that ended with [`super::EXIT_NOT_RESTORED`]; `None` if it wrote nothing.
#[must_use]
pub fn failure(report: BorrowedFd<'_>) -> Option<StepError> {
    let mut call = [0; CALL_BYTES];
    if rustix::io::read(report, &mut call).ok()? != CALL_BYTES {
        return None;
    }
    let word = |index: usize| {
        call[index * 8..index * 8 + 8].iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte))
    };
    let (purpose, errno, argument) = (word(0), word(1), word(2));
    let step = format!("restore: {} ({argument:x})", Purpose::text(purpose));
    Some(StepError { step: step.into(), errno: errno as i32 })
}
