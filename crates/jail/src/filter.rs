//! The seccomp policy of the function's process, as data.
//!
//! - [`ALLOWED`]: calls that programs need.
//! - [`CHECKED`]: calls that programs need, but some uses of which are not executed.
//! - [`DENIED`]: calls that exist but are not for a function. They answer `EPERM`, as a missing right
//!   would.
//! - [`IGNORED`]: calls that answer success and are not executed.
//! - Anything else, above all calls newer than these lists, answers `ENOSYS`, upon which libraries
//!   fall back to an older call.
//!
//! `clone3` is in no list on purpose: its flags are behind a pointer, where a filter cannot look. With
//! `ENOSYS` the C libraries use `clone`, whose flags are checked here.
//!
//! Calls of the x32 interface have other numbers and answer `ENOSYS`; calls of the i386 interface
//! carry another mark of architecture and end the process.

use std::collections::BTreeMap;

use libc::sock_filter;

use crate::bpf::Condition::{HasAnyOf, Is, IsNot, UpperIsNot};
use crate::bpf::{self, Action, Condition, Rule};
use crate::calls::{ALLOWED, DENIED, IGNORED};
use crate::error::{Step, StepError};
use crate::sys;

/// What a call answers that is in no list.
pub(crate) const UNLISTED: i32 = libc::ENOSYS;

/// The compiled policy.
pub(crate) struct Filter(pub(crate) Vec<sock_filter>);

impl Filter {
    /// Compiles the policy; done once, by the spawner.
    pub(crate) fn compile() -> Self {
        Self(bpf::compile(&policy(), Action::Fail(UNLISTED)))
    }

    /// The program as the kernel reads it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let bytes = |step: &sock_filter| {
            let [low, high] = step.code.to_ne_bytes();
            let [a, b, c, d] = step.k.to_ne_bytes();
            [low, high, step.jt, step.jf, a, b, c, d]
        };
        self.0.iter().flat_map(bytes).collect()
    }

    /// Installs it for this process and all it will start. Needs no_new_privs, or a capability.
    pub(crate) fn install(&self) -> Result<(), StepError> {
        sys::install_filter(&self.0).step("install seccomp filter")
    }
}

/// What happens to each call that is listed.
pub(crate) fn policy() -> BTreeMap<u32, Action> {
    let allowed = ALLOWED.iter().flat_map(|group| group.iter()).map(|number| (*number, Action::Allow));
    let denied = DENIED.iter().map(|number| (*number, Action::Fail(libc::EPERM)));
    let ignored = IGNORED.iter().map(|number| (*number, Action::Fail(0)));
    let checked = CHECKED.iter().map(|(number, rules)| (*number, Action::FailIf(rules)));
    allowed
        .chain(denied)
        .chain(ignored)
        .chain(checked)
        .map(|(number, action)| (number as u32, action))
        .collect()
}

/// Calls with the uses that are not executed; conditions of one rule hold together, rules are alternatives.
const CHECKED: &[(i64, &[Rule])] = &[
    // A new user namespace would give back every capability inside it, and with them the parts of the
    // kernel that only privileged users could reach before.
    (libc::SYS_clone, &[denied(&[HasAnyOf(0, NAMESPACE_FLAGS)])]),
    (
        libc::SYS_socket,
        &[
            // Sockets of other families (packet, vsock, bluetooth, ...) have no use without a device, and
            // most holes of the network code were in them.
            denied(&[
                IsNot(0, libc::AF_UNIX as u32),
                IsNot(0, libc::AF_INET as u32),
                IsNot(0, libc::AF_INET6 as u32),
                IsNot(0, libc::AF_NETLINK as u32),
            ]),
            // Of netlink, only questions about routes and addresses, which getifaddrs(3) asks.
            denied(&[Is(0, libc::AF_NETLINK as u32), IsNot(2, libc::NETLINK_ROUTE as u32)]),
            // Protocols beside TCP, UDP and ping. Asking for another makes the kernel load its module
            // (SCTP, DCCP, L2TP), or leads into code that is young (MPTCP). The answer is that of a kernel
            // without it.
            unsupported(&[Is(0, libc::AF_INET as u32), IsNot(2, 0), NOT_TCP, NOT_UDP, NOT_PING, NOT_PING6]),
            unsupported(&[Is(0, libc::AF_INET6 as u32), IsNot(2, 0), NOT_TCP, NOT_UDP, NOT_PING, NOT_PING6]),
        ],
    ),
    (libc::SYS_socketpair, &[denied(&[IsNot(0, libc::AF_UNIX as u32)])]),
    // Programs in the kernel, of which each is compiled into memory that no cgroup accounts for and of
    // which the whole machine has a limited amount: a function that fills it keeps every new sandbox, and
    // everybody else without rights, from installing a filter.
    (
        libc::SYS_setsockopt,
        &[
            denied(&[Is(1, libc::SOL_SOCKET as u32), Is(2, libc::SO_ATTACH_FILTER as u32)]),
            denied(&[Is(1, libc::SOL_SOCKET as u32), Is(2, libc::SO_ATTACH_BPF as u32)]),
            denied(&[Is(1, libc::SOL_SOCKET as u32), Is(2, libc::SO_ATTACH_REUSEPORT_CBPF as u32)]),
            denied(&[Is(1, libc::SOL_SOCKET as u32), Is(2, libc::SO_ATTACH_REUSEPORT_EBPF as u32)]),
        ],
    ),
    // The same by seccomp: a process can pile up half a megabyte of them. Refused as by a kernel without
    // filters, which those who sandbox themselves (browsers) expect.
    (libc::SYS_seccomp, &[Rule { errno: libc::EINVAL, when: &[Is(0, libc::SECCOMP_SET_MODE_FILTER)] }]),
    (
        libc::SYS_prctl,
        &[Rule {
            errno: libc::EINVAL,
            when: &[Is(0, libc::PR_SET_SECCOMP as u32), Is(1, libc::SECCOMP_MODE_FILTER)],
        }],
    ),
    // The limit of core files is 1 for the reason that `rlimits` gives, and must stay so. Those who set it
    // mean to have no core, which they have not.
    (libc::SYS_setrlimit, &[ignored(&[Is(0, libc::RLIMIT_CORE)])]),
    (
        libc::SYS_prlimit64,
        &[
            ignored(&[Is(1, libc::RLIMIT_CORE), IsNot(2, 0)]),
            ignored(&[Is(1, libc::RLIMIT_CORE), UpperIsNot(2, 0)]),
        ],
    ),
    // Old execution domains. Left are Linux, the query, ADDR_NO_RANDOMIZE (debuggers and some garbage
    // collectors ask for it) and UNAME26, alone and together.
    (
        libc::SYS_personality,
        &[denied(&[
            IsNot(0, 0),
            IsNot(0, 0xffff_ffff),
            IsNot(0, 0x0004_0000),
            IsNot(0, 0x0002_0000),
            IsNot(0, 0x0006_0000),
        ])],
    ),
    // Requests that push input to the process behind a terminal.
    (libc::SYS_ioctl, &[denied(&[Is(1, libc::TIOCSTI as u32)]), denied(&[Is(1, libc::TIOCLINUX as u32)])]),
];

const NOT_TCP: Condition = IsNot(2, libc::IPPROTO_TCP as u32);
const NOT_UDP: Condition = IsNot(2, libc::IPPROTO_UDP as u32);
const NOT_PING: Condition = IsNot(2, libc::IPPROTO_ICMP as u32);
const NOT_PING6: Condition = IsNot(2, libc::IPPROTO_ICMPV6 as u32);

/// Refused as for want of a right.
const fn denied(when: &'static [Condition]) -> Rule {
    Rule { errno: libc::EPERM, when }
}

/// Refused as by a kernel that has no such protocol.
const fn unsupported(when: &'static [Condition]) -> Rule {
    Rule { errno: libc::EPROTONOSUPPORT, when }
}

/// Answered with success, and not executed.
const fn ignored(when: &'static [Condition]) -> Rule {
    Rule { errno: 0, when }
}

/// Flags of clone(2) that make a namespace. `CLONE_NEWTIME` shares its bit with the exit signal and
/// exists for clone3 and unshare only.
const NAMESPACE_FLAGS: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::tests::evaluate_here;

    const DENY: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const UNSUPPORTED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPROTONOSUPPORT as u32;
    const INVALID: u32 = libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32;
    const IGNORE: u32 = libc::SECCOMP_RET_ERRNO;
    const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    fn decide(call: i64, args: [u64; 6]) -> u32 {
        evaluate_here(&Filter::compile().0, call as u32, args)
    }

    #[test]
    fn no_call_is_listed_twice() {
        let listed = ALLOWED.iter().map(|group| group.len()).sum::<usize>();
        let listed = listed + DENIED.len() + IGNORED.len() + CHECKED.len();
        assert_eq!(policy().len(), listed);
    }

    #[test]
    fn the_compiled_policy_is_the_listed_one() {
        for number in ALLOWED.iter().flat_map(|group| group.iter()) {
            assert_eq!(decide(*number, [0; 6]), libc::SECCOMP_RET_ALLOW, "{number}");
        }
        for number in DENIED {
            assert_eq!(decide(*number, [0; 6]), DENY, "{number}");
        }
        assert_eq!(decide(libc::SYS_clone3, [0; 6]), UNKNOWN);
        assert_eq!(decide(9999, [0; 6]), UNKNOWN);
        assert_eq!(decide(libc::SYS_read | 0x4000_0000, [0; 6]), UNKNOWN, "x32");
    }

    #[test]
    fn arguments_decide() {
        let allow = libc::SECCOMP_RET_ALLOW;
        let thread = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
        for (call, args, expected) in [
            (libc::SYS_clone, [thread as u64, 0, 0], allow),
            (libc::SYS_clone, [(libc::CLONE_NEWUSER | libc::SIGCHLD) as u64, 0, 0], DENY),
            (libc::SYS_clone, [libc::CLONE_NEWNET as u64, 0, 0], DENY),
            (libc::SYS_socket, [libc::AF_INET6 as u64, 1, 0], allow),
            (libc::SYS_socket, [libc::AF_PACKET as u64, 3, 0], DENY),
            (libc::SYS_socket, [libc::AF_NETLINK as u64, 3, 0], allow),
            (libc::SYS_socket, [libc::AF_NETLINK as u64, 3, 9], DENY),
            (libc::SYS_socket, [libc::AF_INET as u64, 1, libc::IPPROTO_TCP as u64], allow),
            (libc::SYS_socket, [libc::AF_INET6 as u64, 2, libc::IPPROTO_ICMPV6 as u64], allow),
            (libc::SYS_socket, [libc::AF_INET as u64, 1, libc::IPPROTO_SCTP as u64], UNSUPPORTED),
            (libc::SYS_socket, [libc::AF_INET6 as u64, 1, libc::IPPROTO_MPTCP as u64], UNSUPPORTED),
            (libc::SYS_setsockopt, [3, 1, libc::SO_REUSEADDR as u64], allow),
            (libc::SYS_setsockopt, [3, 1, libc::SO_ATTACH_FILTER as u64], DENY),
            (libc::SYS_setsockopt, [3, 6, libc::SO_ATTACH_FILTER as u64], allow),
            (libc::SYS_seccomp, [u64::from(libc::SECCOMP_GET_ACTION_AVAIL), 0, 0], allow),
            (libc::SYS_seccomp, [u64::from(libc::SECCOMP_SET_MODE_FILTER), 0, 0], INVALID),
            (libc::SYS_prctl, [libc::PR_SET_SECCOMP as u64, 2, 0], INVALID),
            (libc::SYS_prctl, [libc::PR_SET_NAME as u64, 2, 0], allow),
            (libc::SYS_setrlimit, [u64::from(libc::RLIMIT_CORE), 1, 0], IGNORE),
            (libc::SYS_setrlimit, [u64::from(libc::RLIMIT_STACK), 1, 0], allow),
            (libc::SYS_prlimit64, [0, u64::from(libc::RLIMIT_CORE), 0], allow),
            (libc::SYS_prlimit64, [0, u64::from(libc::RLIMIT_CORE), 8], IGNORE),
            // A pointer whose lower half is zero is one all the same.
            (libc::SYS_prlimit64, [0, u64::from(libc::RLIMIT_CORE), 1 << 32], IGNORE),
            (libc::SYS_prlimit64, [0, u64::from(libc::RLIMIT_DATA), 8], allow),
            (libc::SYS_sync, [0, 0, 0], IGNORE),
            (libc::SYS_syncfs, [3, 0, 0], IGNORE),
            (libc::SYS_socketpair, [libc::AF_UNIX as u64, 1, 0], allow),
            (libc::SYS_socketpair, [libc::AF_TIPC as u64, 1, 0], DENY),
            (libc::SYS_personality, [0xffff_ffff, 0, 0], allow),
            (libc::SYS_personality, [0x0400_0000, 0, 0], DENY),
            (libc::SYS_ioctl, [1, libc::TCGETS, 0], allow),
            (libc::SYS_ioctl, [1, libc::TIOCSTI, 0], DENY),
            // The kernel looks at the lower half only, and so must the filter.
            (libc::SYS_ioctl, [1, libc::TIOCSTI | 1 << 32, 0], DENY),
        ] {
            assert_eq!(decide(call, [args[0], args[1], args[2], 0, 0, 0]), expected, "{call} {args:x?}");
        }
    }

    #[test]
    fn the_program_is_short() {
        // The kernel's limit is 4096; a short program is a fast start, see `bpf`.
        assert!(Filter::compile().0.len() < 600, "{}", Filter::compile().0.len());
    }
}
