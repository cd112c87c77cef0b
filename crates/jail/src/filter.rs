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
//! That is enough where a sandbox has namespaces. Where it shares some of them with the host, more is
//! denied: see [`Surroundings`].
//!
//! Calls of the x32 interface have other numbers and answer `ENOSYS`; calls of the i386 interface
//! carry another mark of architecture and end the process.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;

use libc::sock_filter;

use crate::bpf::Condition::{HasAnyOf, Is, IsNot, UpperIsNot};
use crate::bpf::{self, Action, Condition, Rule};
use crate::calls::{self, ALLOWED, DENIED, IGNORED};
use crate::error::{Step, StepError};
use crate::identity::Lease;
use crate::landlock;
use crate::protocol::{Level, Network, SpawnRequest};
use crate::sys;

/// What a call answers that is in no list.
pub(crate) const UNLISTED: i32 = libc::ENOSYS;

/// A compiled policy.
pub(crate) struct Filter {
    program: Vec<sock_filter>,
    /// The same with denial in the place of questions, if it has any: for surroundings whose own filter
    /// has a supervisor already, of which the kernel allows one.
    without_questions: Option<Vec<sock_filter>>,
}

/// Compiled policies; each is compiled once.
#[derive(Default)]
pub(crate) struct Filters(HashMap<Surroundings, Filter>);

impl Filters {
    /// The policy for a function in these surroundings.
    pub(crate) fn get(&mut self, surroundings: Surroundings) -> &Filter {
        self.0.entry(surroundings).or_insert_with(|| Filter::compile(surroundings))
    }
}

/// What a function shares with others, so that calls which reach it must be denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Surroundings {
    /// System V and POSIX interprocess communication is with the host.
    host_ipc: bool,
    /// Unix sockets reach services of the host that take the function for one of their users.
    host_unix_sockets: bool,
    /// Landlock limits the network, and what it does not know would go past it.
    limited_network: bool,
    /// The user id is the daemon's.
    daemons_user: Option<DaemonsUser>,
}

/// What the kernel leaves to the filter where the user id is the daemon's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct DaemonsUser {
    /// Signals reach every process of that user.
    signals_reach_host: bool,
    /// truncate(2) reaches every file of that user.
    truncation_reaches_host: bool,
}

impl Surroundings {
    /// Nothing is shared: the sandbox has namespaces.
    pub(crate) const NAMESPACES: Self =
        Self { host_ipc: false, host_unix_sockets: false, limited_network: false, daemons_user: None };

    /// Those of the sandbox that is asked for.
    pub(crate) fn of(request: &SpawnRequest, lease: Lease, landlock_abi: Option<u32>) -> Self {
        let host = request.level == Level::Process;
        let is_kept_in = landlock::keeps_signals_in(landlock_abi);
        let own_user = lease != Lease::Own;
        Self {
            host_ipc: host,
            // A user id that nobody else has is a stranger to services; Landlock has the rest.
            host_unix_sockets: host
                && !(own_user && is_kept_in || landlock::limits_unix_sockets(landlock_abi)),
            limited_network: host && request.network == Network::Own,
            daemons_user: (host && !own_user).then_some(DaemonsUser {
                signals_reach_host: !is_kept_in,
                truncation_reaches_host: !landlock::limits_truncation(landlock_abi),
            }),
        }
    }
}

impl Filter {
    pub(crate) fn compile(surroundings: Surroundings) -> Self {
        let compile = |policy: &BTreeMap<u32, Action>| bpf::compile(policy, &Action::Fail(UNLISTED));
        let mut policy = policy(surroundings);
        let program = compile(&policy);
        let mut asks = false;
        for action in policy.values_mut().filter(|action| **action == Action::Ask) {
            (*action, asks) = (Action::Fail(libc::EPERM), true);
        }
        Self { program, without_questions: asks.then(|| compile(&policy)) }
    }

    /// The instructions.
    #[cfg(test)]
    pub(crate) fn program(&self) -> &[sock_filter] {
        &self.program
    }

    /// The program as the kernel reads it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let bytes = |step: &sock_filter| {
            let [low, high] = step.code.to_ne_bytes();
            let [a, b, c, d] = step.k.to_ne_bytes();
            [low, high, step.jt, step.jf, a, b, c, d]
        };
        self.program.iter().flat_map(bytes).collect()
    }

    /// Whether a supervisor must answer calls.
    pub(crate) fn asks(&self) -> bool {
        self.without_questions.is_some()
    }

    /// Installs it for this process and all it will start. Needs no_new_privs, or a capability. Returns the
    /// file for the supervisor, if one must answer calls.
    pub(crate) fn install(&self) -> Result<Option<OwnedFd>, StepError> {
        let Some(without_questions) = &self.without_questions else {
            return sys::install_filter(&self.program).map(|()| None).step("install seccomp filter");
        };
        match sys::install_filter_with_questions(&self.program) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EINVAL)) => {
                sys::install_filter(without_questions).map(|()| None)
            }
            installed => installed.map(Some),
        }
        .step("install seccomp filter")
    }
}

/// What happens to each call that is listed.
pub(crate) fn policy(surroundings: Surroundings) -> BTreeMap<u32, Action> {
    let allowed = ALLOWED.iter().flat_map(|group| group.iter()).map(|number| (*number, Action::Allow));
    let refused = DENIED.iter().map(|number| (*number, Action::Fail(libc::EPERM)));
    let ignored = IGNORED.iter().map(|number| (*number, Action::Fail(0)));
    let checked = CHECKED.iter().map(|(number, rules)| (*number, Action::FailIf(rules.to_vec())));
    let mut policy: BTreeMap<i64, Action> = allowed.chain(refused).chain(ignored).chain(checked).collect();

    let mut deny = |numbers: &[i64]| {
        policy.extend(numbers.iter().map(|number| (*number, Action::Fail(libc::EPERM))));
    };
    if surroundings.host_ipc {
        deny(calls::IPC);
    }
    if surroundings.limited_network {
        deny(&[libc::SYS_listen]);
    }
    if let Some(user) = surroundings.daemons_user {
        deny(calls::OWNERSHIP);
        if user.truncation_reaches_host {
            deny(&[libc::SYS_truncate]);
        }
        policy.extend(calls::MODES_AND_TIMES.iter().map(|number| (*number, Action::Ask)));
        for (number, rules) in OTHER_PROCESSES {
            add_rules(&mut policy, *number, rules);
        }
        if user.signals_reach_host {
            policy.extend(calls::SIGNALS.iter().map(|number| (*number, Action::Ask)));
            // Libraries then use kill(2).
            policy.extend(calls::SIGNALS_BY_FILE.iter().map(|number| (*number, Action::Fail(libc::ENOSYS))));
            for (number, rules) in SIGNALS_OF_FILES {
                add_rules(&mut policy, *number, rules);
            }
        }
    }
    if surroundings.host_unix_sockets {
        add_rules(&mut policy, libc::SYS_socket, &[denied(&[Is(0, libc::AF_UNIX as u32)])]);
    }
    if surroundings.limited_network {
        for (number, rules) in BESIDE_TCP {
            add_rules(&mut policy, *number, rules);
        }
    }
    policy.into_iter().map(|(number, action)| (number as u32, action)).collect()
}

/// Refuses more uses of a call; those come first.
fn add_rules(policy: &mut BTreeMap<i64, Action>, number: i64, rules: &[Rule]) {
    match policy.entry(number).or_insert(Action::Allow) {
        Action::FailIf(present) => {
            present.splice(0..0, rules.iter().copied());
        }
        other => *other = Action::FailIf(rules.to_vec()),
    }
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

/// Ways past a limit on TCP ports: other protocols, and data that opens a connection by itself, which
/// Landlock does not see.
const BESIDE_TCP: &[(i64, &[Rule])] = &[
    (
        libc::SYS_socket,
        &[
            denied(&[
                IsNot(0, libc::AF_UNIX as u32),
                IsNot(0, libc::AF_NETLINK as u32),
                // Every type but SOCK_STREAM has one of these bits; above them are flags.
                HasAnyOf(1, 0b1110),
            ]),
            denied(&[
                IsNot(0, libc::AF_UNIX as u32),
                IsNot(0, libc::AF_NETLINK as u32),
                IsNot(2, 0),
                NOT_TCP,
            ]),
        ],
    ),
    (libc::SYS_sendto, &[denied(&[HasAnyOf(3, libc::MSG_FASTOPEN as u32)])]),
    (libc::SYS_sendmsg, &[denied(&[HasAnyOf(2, libc::MSG_FASTOPEN as u32)])]),
    (libc::SYS_sendmmsg, &[denied(&[HasAnyOf(3, libc::MSG_FASTOPEN as u32)])]),
];

/// Changes to processes that belong to the same user: only the caller's own process and thread, whose
/// number is zero, may be meant.
const OTHER_PROCESSES: &[(i64, &[Rule])] = &[
    (libc::SYS_prlimit64, &[denied(&[IsNot(0, 0)])]),
    (libc::SYS_setpriority, &[denied(&[IsNot(1, 0)]), denied(&[Is(0, libc::PRIO_USER)])]),
    (libc::SYS_ioprio_set, &[denied(&[IsNot(1, 0)]), denied(&[Is(0, IOPRIO_WHO_USER)])]),
    (libc::SYS_sched_setaffinity, &[denied(&[IsNot(0, 0)])]),
    (libc::SYS_sched_setparam, &[denied(&[IsNot(0, 0)])]),
    (libc::SYS_sched_setscheduler, &[denied(&[IsNot(0, 0)])]),
    (libc::SYS_sched_setattr, &[denied(&[IsNot(0, 0)])]),
];

const IOPRIO_WHO_USER: u32 = 3;

/// Ways to have the kernel send a signal to another process when something happens to a file.
const SIGNALS_OF_FILES: &[(i64, &[Rule])] = &[
    (libc::SYS_fcntl, &[denied(&[Is(1, libc::F_SETOWN as u32)]), denied(&[Is(1, F_SETOWN_EX)])]),
    (libc::SYS_ioctl, &[denied(&[Is(1, FIOSETOWN)]), denied(&[Is(1, SIOCSPGRP)])]),
];

const F_SETOWN_EX: u32 = 15;
const FIOSETOWN: u32 = 0x8901;
const SIOCSPGRP: u32 = 0x8902;

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
pub(crate) mod tests {
    use super::*;
    use crate::bpf::tests::evaluate_here;

    const DENY: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const UNSUPPORTED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPROTONOSUPPORT as u32;
    const INVALID: u32 = libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32;
    const IGNORE: u32 = libc::SECCOMP_RET_ERRNO;
    const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    const ASK: u32 = libc::SECCOMP_RET_USER_NOTIF;
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    fn decide(call: i64, args: [u64; 6]) -> u32 {
        decide_in(Surroundings::NAMESPACES, call, args)
    }

    fn decide_in(surroundings: Surroundings, call: i64, args: [u64; 6]) -> u32 {
        evaluate_here(&Filter::compile(surroundings).program, call as u32, args)
    }

    pub(crate) fn process(lease: Lease, network: Network, abi: Option<u32>) -> Surroundings {
        let request = SpawnRequest {
            id: String::new(),
            level: Level::Process,
            network,
            listeners: Vec::new(),
            host_root: true,
            etc: Vec::new(),
            cgroup: crate::protocol::CgroupPlacement::default(),
            tmp: None,
        };
        Surroundings::of(&request, lease, abi)
    }

    #[test]
    fn no_call_is_listed_twice() {
        let listed = ALLOWED.iter().map(|group| group.len()).sum::<usize>();
        let listed = listed + DENIED.len() + IGNORED.len() + CHECKED.len();
        assert_eq!(policy(Surroundings::NAMESPACES).len(), listed);
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
    fn what_is_shared_with_the_host_is_denied() {
        const OWN: Lease = Lease::Pair { first: 100 };
        let case = |surroundings, call: i64, args: [u64; 4], expected: u32| {
            let decided = decide_in(surroundings, call, [args[0], args[1], args[2], args[3], 0, 0]);
            assert_eq!(decided, expected, "{surroundings:?} {call} {args:x?}");
        };
        let (unix, inet) = (libc::AF_UNIX as u64, libc::AF_INET as u64);
        let (stream, datagram) = ((libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as u64, libc::SOCK_DGRAM as u64);
        let free = process(OWN, Network::Host, Some(7));
        case(free, libc::SYS_shmget, [0; 4], DENY);
        case(free, libc::SYS_socket, [unix, stream, 0, 0], ALLOW);
        case(free, libc::SYS_socket, [inet, datagram, 0, 0], ALLOW);
        case(free, libc::SYS_kill, [1, 9, 0, 0], ALLOW);
        case(free, libc::SYS_fchmod, [0; 4], ALLOW);
        case(process(OWN, Network::Host, Some(5)), libc::SYS_socket, [unix, stream, 0, 0], DENY);

        let limited = process(OWN, Network::Own, Some(7));
        let fast_open = libc::MSG_FASTOPEN as u64;
        case(limited, libc::SYS_socket, [inet, stream, 0, 0], ALLOW);
        case(limited, libc::SYS_socket, [inet, stream, libc::IPPROTO_TCP as u64, 0], ALLOW);
        case(limited, libc::SYS_socket, [inet, stream, libc::IPPROTO_MPTCP as u64, 0], DENY);
        case(limited, libc::SYS_socket, [inet, datagram, 0, 0], DENY);
        case(limited, libc::SYS_socket, [libc::AF_INET6 as u64, libc::SOCK_RAW as u64, 0, 0], DENY);
        case(limited, libc::SYS_socket, [libc::AF_NETLINK as u64, datagram, 0, 0], ALLOW);
        case(limited, libc::SYS_socket, [libc::AF_PACKET as u64, stream, 0, 0], DENY);
        case(limited, libc::SYS_sendto, [0, 0, 0, fast_open], DENY);
        case(limited, libc::SYS_sendmsg, [0, 0, fast_open, 0], DENY);
        case(limited, libc::SYS_sendmsg, [0, 0, libc::MSG_NOSIGNAL as u64, 0], ALLOW);
        case(limited, libc::SYS_listen, [0; 4], DENY);

        let shared = process(Lease::Own, Network::Host, Some(7));
        case(shared, libc::SYS_socket, [unix, stream, 0, 0], DENY);
        case(shared, libc::SYS_fchmod, [0; 4], ASK);
        case(shared, libc::SYS_fchown, [0; 4], DENY);
        case(shared, libc::SYS_prlimit64, [0; 4], ALLOW);
        case(shared, libc::SYS_prlimit64, [77, 0, 0, 0], DENY);
        case(shared, libc::SYS_setpriority, [u64::from(libc::PRIO_USER), 0, 0, 0], DENY);
        case(shared, libc::SYS_kill, [1, 9, 0, 0], ALLOW);
        case(shared, libc::SYS_truncate, [0; 4], ALLOW);

        let old = process(Lease::Own, Network::Host, Some(1));
        case(old, libc::SYS_kill, [1, 9, 0, 0], ASK);
        case(old, libc::SYS_pidfd_send_signal, [0; 4], UNKNOWN);
        case(old, libc::SYS_fcntl, [0, libc::F_SETOWN as u64, 0, 0], DENY);
        case(old, libc::SYS_fcntl, [0, libc::F_GETFL as u64, 0, 0], ALLOW);
        case(old, libc::SYS_ioctl, [0, libc::TIOCSTI, 0, 0], DENY);
        case(old, libc::SYS_truncate, [0; 4], DENY);
        case(process(Lease::Own, Network::Host, Some(9)), libc::SYS_socket, [unix, stream, 0, 0], ALLOW);
    }

    #[test]
    fn the_program_is_short() {
        // The kernel's limit is 4096; a short program is a fast start, see `bpf`.
        for surroundings in [Surroundings::NAMESPACES, process(Lease::Own, Network::Own, None)] {
            let length = Filter::compile(surroundings).program.len();
            assert!(length < 600, "{surroundings:?}: {length}");
        }
    }
}
