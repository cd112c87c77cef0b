//! Files as block devices, and file systems on them, for the daemon: what a writable directory of a
//! sandbox is made of. The policy (which, when, how large) is the caller's.
//!
//! Nothing here outlives the daemon. The mounts are in a mount namespace of its own
//! ([`private_mounts`]), the loop devices detach themselves when nothing uses them any more, and files
//! that were unlinked meanwhile go with them.

use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, mount_change, unmount,
};

use crate::error::{Step, StepError};

/// Major number of loop devices, see the kernel's `admin-guide/devices.txt`.
const LOOP_MAJOR: u32 = 7;
/// Attempts at what somebody else may be in the way of for a moment.
const ATTEMPTS: u32 = 1000;
/// Size of a logical block of the devices in bytes; that of the file systems on them, so that the kernel
/// can pass requests on without reading first.
const BLOCK: u32 = 4096;

/// Options of the file systems. Their contents are worth nothing after a crash: no barriers. Their
/// inode tables are holes of a sparse file, zero already: nothing to initialise.
const EXT4_OPTIONS: &std::ffi::CStr = c"noinit_itable,nobarrier,errors=remount-ro";

/// Moves the calling thread, and thereby all threads and processes that it starts from now on, into a
/// mount namespace of its own. What it mounts is seen by nobody else and goes with the last of these
/// processes, even if they are killed. What the host mounts and unmounts still arrives where the host
/// shares its mounts, as systemd sets it up.
///
/// Needs `CAP_SYS_ADMIN`. To be called before the process has other threads, which would stay where
/// they are.
///
/// # Errors
/// Those of unshare(2) and mount(2); `EPERM` without the right.
pub fn private_mounts() -> io::Result<()> {
    // SAFETY: no pointers. CLONE_NEWNS implies CLONE_FS: working directory, root and umask of this thread
    // are no longer shared with other threads, which no code here relies on.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)?;
    // Sandboxes that were made ahead see what is mounted here later.
    Ok(mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::SHARED)?)
}

/// A directory in memory for device nodes and mount points, which only root can enter. Unmounted when
/// dropped.
#[derive(Debug)]
pub struct Workplace(PathBuf);

impl Workplace {
    /// Mounts it over an existing directory.
    ///
    /// # Errors
    /// The step that the kernel refused.
    pub fn mount(directory: &Path) -> Result<Self, StepError> {
        // Devices work here: that is what it is for.
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        mount("lambd", directory, "tmpfs", flags, c"size=1m,mode=0700")
            .step("mount a directory for devices")?;
        Ok(Self(directory.to_owned()))
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // Fails only when it is gone already.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// A loop device. It detaches from its file when this is dropped and nothing is mounted from it.
#[derive(Debug)]
pub struct LoopDevice {
    /// Keeps the device attached. Only for reading: some kernels refuse to mount what is open for writing.
    open: OwnedFd,
}

impl LoopDevice {
    /// Attaches a file, which must be open for reading and writing, to a free device; its node is made in
    /// the workplace for a moment, because a container's `/dev` lacks those that came later.
    ///
    /// # Errors
    /// The step that the kernel refused.
    pub fn attach(image: BorrowedFd<'_>, workplace: &Workplace) -> Result<Self, StepError> {
        let control = File::options().read(true).write(true).open("/dev/loop-control");
        let control = control.step("open /dev/loop-control")?;
        for _ in 0..ATTEMPTS {
            let number = free_device(control.as_fd()).step("find a free loop device")?;
            let node = Node::make(number, workplace)?;
            let device = node.open(OFlags::RDWR)?;
            match configure(device.as_fd(), image) {
                Ok(()) => return Ok(Self { open: node.open(OFlags::RDONLY)? }),
                // Taken by another thread or process since.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(StepError::new("configure a loop device", error)),
            }
        }
        Err(StepError { step: "find a free loop device".into(), errno: libc::EBUSY })
    }

    /// Mounts the ext4 file system on the device at a directory, without effect of set-user-id bits and
    /// device nodes in it. A second time shows the same file system.
    ///
    /// # Errors
    /// The step that the kernel refused.
    pub fn mount(&self, target: &Path) -> Result<(), StepError> {
        let flags = MountFlags::NOATIME | MountFlags::NOSUID | MountFlags::NODEV;
        for _ in 0..ATTEMPTS {
            match mount(self.source(), target, "ext4", flags, EXT4_OPTIONS) {
                // Some kernels refuse to mount what is open for writing, as the device was in `attach`; and
                // a process that another thread has just forked has all files open until it executes.
                Err(rustix::io::Errno::BUSY) => std::thread::sleep(std::time::Duration::from_millis(1)),
                other => return other.step("mount a file system from a loop device"),
            }
        }
        Err(StepError { step: "mount a file system from a loop device".into(), errno: libc::EBUSY })
    }

    /// The root directory of the ext4 file system on the device, mounted nowhere: no other process can get
    /// at it, and it is unmounted, and all of it written, when the descriptor is closed.
    ///
    /// # Errors
    /// The step that the kernel refused.
    pub fn open_root(&self) -> Result<OwnedFd, StepError> {
        let open = || {
            let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_set_string(&context, "source", self.source())?;
            fsconfig_set_flag(&context, "noinit_itable")?;
            fsconfig_create(&context)?;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOATIME)
        };
        let mounted = open().step("open a file system on a loop device")?;
        // What fsmount(2) returns only names the directory.
        rustix::fs::openat(&mounted, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .step("open the root of a file system")
    }

    /// From now on, no second copy of everything is kept in the host's memory. Writes what is there first,
    /// so it takes a moment. Does nothing where the image's file system cannot.
    pub fn bypass_cache(&self) {
        const LOOP_SET_DIRECT_IO: u32 = 0x4C08;
        let on: libc::c_ulong = 1;
        // SAFETY: the argument of this request is a number. An error leaves the device as it was.
        unsafe { libc::ioctl(self.open.as_raw_fd(), LOOP_SET_DIRECT_IO as _, on) };
    }

    /// By descriptor, because sandboxes can read the name of what is mounted.
    fn source(&self) -> String {
        format!("/proc/self/fd/{}", self.open.as_raw_fd())
    }
}

/// Takes a mount away from the namespace; what still uses the file system goes on.
///
/// # Errors
/// Those of umount(2).
pub fn detach(target: &Path) -> io::Result<()> {
    Ok(unmount(target, UnmountFlags::DETACH)?)
}

/// A device node, removed when dropped.
struct Node(PathBuf);

impl Node {
    fn make(number: u32, Workplace(directory): &Workplace) -> Result<Self, StepError> {
        // One for each attempt: several threads may try the same device.
        static ATTEMPT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let attempt = ATTEMPT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = directory.join(format!("loop{number}-{attempt}"));
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, &path, FileType::BlockDevice, mode, rustix::fs::makedev(LOOP_MAJOR, number))
            .step("make a device node")?;
        Ok(Self(path))
    }

    fn open(&self, access: OFlags) -> Result<OwnedFd, StepError> {
        rustix::fs::open(&self.0, access | OFlags::CLOEXEC, Mode::empty()).step("open a loop device")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// `LOOP_CTL_GET_FREE`, see loop(4): the number of a device that was free a moment ago.
fn free_device(control: BorrowedFd<'_>) -> io::Result<u32> {
    const LOOP_CTL_GET_FREE: u32 = 0x4C82;
    // SAFETY: this request takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    u32::try_from(number).map_err(|_| io::Error::last_os_error())
}

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

// The kernel copies as many bytes as it knows the structure to have.
const _: () = assert!(size_of::<LoopInfo64>() == 232 && size_of::<LoopConfig>() == 304);

/// `LOOP_CONFIGURE`, see loop(4) (Linux 5.8).
fn configure(device: BorrowedFd<'_>, image: BorrowedFd<'_>) -> io::Result<()> {
    const LOOP_CONFIGURE: u32 = 0x4C0A;
    /// Detach with the last user.
    const AUTO_CLEAR: u32 = 4;
    // SAFETY: a structure of integers and byte arrays; all zeroes is valid and means "as usual".
    let mut config: LoopConfig = unsafe { mem::zeroed() };
    config.fd = image.as_raw_fd().unsigned_abs();
    config.block_size = BLOCK;
    config.info.flags = AUTO_CLEAR;
    // SAFETY: the request reads a `loop_config`, which has the kernel's layout (asserted above) and
    // lives across the call; the kernel takes its own reference to the file.
    if unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
