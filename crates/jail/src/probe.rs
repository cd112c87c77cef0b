//! What this kernel offers, tried rather than guessed from its version.

use crate::{namespaces, sys};

/// Features that a sandbox uses or will use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// clone3(2), Linux 5.3.
    pub clone3: bool,
    /// pidfd_open(2), Linux 5.3.
    pub pidfd: bool,
    /// mount_setattr(2), Linux 5.12.
    pub mount_setattr: bool,
    /// close_range(2), Linux 5.9.
    pub close_range: bool,
    /// seccomp(2) filters that return error numbers, Linux 4.14.
    pub seccomp: bool,
    /// Version of the Landlock interface, if the kernel has it and it is enabled.
    pub landlock_abi: Option<u32>,
}

impl Features {
    /// Whether Landlock limits the ports that a sandbox without a network of its own may connect to,
    /// Linux 6.7.
    #[must_use]
    pub fn limits_tcp(&self) -> bool {
        self.landlock_abi >= Some(4)
    }
}

/// The first step of making namespaces that the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamespaceFailure {
    /// What was tried.
    pub step: &'static str,
    /// The error number, see errno(3).
    pub errno: i32,
}

/// Looks for the features.
#[must_use]
pub fn features() -> Features {
    Features {
        clone3: sys::has_syscall(libc::SYS_clone3),
        pidfd: sys::has_syscall(libc::SYS_pidfd_open),
        mount_setattr: sys::has_syscall(libc::SYS_mount_setattr),
        // Arguments of zero would close standard input; a range that ends before it starts is refused.
        close_range: sys::close_range(1, 0).is_err_and(|e| e.raw_os_error() != Some(libc::ENOSYS)),
        seccomp: sys::seccomp_has_errno_action(),
        landlock_abi: sys::landlock_abi(),
    }
}

/// Makes the namespaces of a sandbox in a throw-away process, and mounts a /proc in them.
///
/// # Errors
/// The first step that failed.
pub fn namespaces() -> Result<(), NamespaceFailure> {
    sys::try_namespaces(namespaces::ALL).map_err(|(step, errno)| NamespaceFailure {
        step: match step {
            1 => "create user, mount, pid, network, ipc and uts namespaces",
            2 => "change mounts in a new user namespace",
            _ => "mount /proc in a new pid namespace",
        },
        errno,
    })
}
