//! Compiles a seccomp policy to one program for the kernel's packet filter machine (seccomp(2)).
//!
//! The numbers of the policy become ranges with one action each, and a binary search over the
//! ranges. That is more than taste: when a filter is installed the kernel runs it once for each system
//! call to learn which are always allowed, and a linear chain of comparisons made that cost a
//! millisecond of every start.

use std::collections::BTreeMap;

use libc::sock_filter;

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is executed.
    Allow,
    /// It is not executed and answers this error number; zero means success.
    Fail(i32),
    /// It fails as the first rule that matches says, else it is executed.
    FailIf(Vec<Rule>),
    /// A supervisor decides, see `supervisor`.
    Ask,
}

/// A use of a call that is not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// What it answers; zero means success.
    pub(crate) errno: i32,
    /// Conditions that hold together.
    pub(crate) when: &'static [Condition],
}

/// A condition on an argument: on its lower half where nothing else is said, which is all that calls look
/// at whose argument is an `int`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The argument with this index equals the value.
    Is(u8, u32),
    /// It does not.
    IsNot(u8, u32),
    /// It has at least one of the bits.
    HasAnyOf(u8, u32),
    /// Its upper half differs from the value.
    UpperIsNot(u8, u32),
}

/// `AUDIT_ARCH_*` of the machine: calls of another interface have other numbers.
#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xc000_00b7;

/// Offsets in `struct seccomp_data`. Both architectures are little-endian, so the lower half of an
/// argument comes first.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGS: u32 = 16;
const LOWER: u32 = 0;
const UPPER: u32 = 4;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JUMP_GREATER_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const JUMP_SET: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// Compiles the actions of single numbers; all other numbers get `otherwise`. Calls of another
/// architecture's interface end the process.
pub(crate) fn compile(actions: &BTreeMap<u32, Action>, otherwise: &Action) -> Vec<sock_filter> {
    let mut program = vec![
        statement(LOAD, OFFSET_ARCH),
        jump(JUMP_EQUAL, AUDIT_ARCH, 1, 0),
        statement(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
        statement(LOAD, OFFSET_NUMBER),
    ];
    program.extend(search(&ranges(actions, otherwise)));
    program
}

/// First numbers of ranges with the same action, ascending from zero.
fn ranges<'a>(actions: &'a BTreeMap<u32, Action>, otherwise: &'a Action) -> Vec<(u32, &'a Action)> {
    let mut ranges: Vec<(u32, &Action)> = vec![(0, otherwise)];
    let mut begin = |from: u32, action: &'a Action| match ranges.last_mut() {
        Some((_, last)) if *last == action => {}
        Some((start, last)) if *start == from => *last = action,
        _ => ranges.push((from, action)),
    };
    let mut next = 0;
    for (number, action) in actions {
        if *number > next {
            begin(next, otherwise);
        }
        begin(*number, action);
        next = number + 1;
    }
    begin(next, otherwise);
    ranges
}

/// The number is in the accumulator and belongs to one of the ranges.
fn search(ranges: &[(u32, &Action)]) -> Vec<sock_filter> {
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let ([_, ..], [(middle, _), ..]) = (below, above) else {
        return ranges.first().map_or_else(Vec::new, |(_, action)| perform(action));
    };
    let below = search(below);
    // Conditional jumps reach 255 instructions; the unconditional one reaches all.
    let mut program = vec![jump(JUMP_GREATER_EQUAL, *middle, 0, 1), statement(JUMP, below.len() as u32)];
    program.extend(below);
    program.extend(search(above));
    program
}

fn perform(action: &Action) -> Vec<sock_filter> {
    match action {
        Action::Allow => vec![statement(RETURN, libc::SECCOMP_RET_ALLOW)],
        Action::Fail(errno) => vec![fail(*errno)],
        Action::Ask => vec![statement(RETURN, libc::SECCOMP_RET_USER_NOTIF)],
        Action::FailIf(rules) => {
            let mut program: Vec<_> = rules.iter().flat_map(fail_if).collect();
            program.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
            program
        }
    }
}

/// Fails if all conditions hold, else goes on behind.
fn fail_if(rule: &Rule) -> Vec<sock_filter> {
    let mut program = Vec::new();
    for (index, condition) in rule.when.iter().enumerate() {
        // Behind this jump: two instructions for each further condition, and the return.
        let out = (2 * (rule.when.len() - index - 1) + 1) as u8;
        let (arg, half, test) = match *condition {
            Condition::Is(arg, value) => (arg, LOWER, jump(JUMP_EQUAL, value, 0, out)),
            Condition::IsNot(arg, value) => (arg, LOWER, jump(JUMP_EQUAL, value, out, 0)),
            Condition::HasAnyOf(arg, bits) => (arg, LOWER, jump(JUMP_SET, bits, 0, out)),
            Condition::UpperIsNot(arg, value) => (arg, UPPER, jump(JUMP_EQUAL, value, out, 0)),
        };
        program.extend([statement(LOAD, OFFSET_ARGS + 8 * u32::from(arg) + half), test]);
    }
    program.push(fail(rule.errno));
    program
}

fn fail(errno: i32) -> sock_filter {
    statement(RETURN, libc::SECCOMP_RET_ERRNO | (errno as u32 & libc::SECCOMP_RET_DATA))
}

fn statement(code: u32, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Runs a program on a call as the kernel would.
    pub(crate) fn evaluate(program: &[sock_filter], arch: u32, number: u32, args: [u64; 6]) -> u32 {
        let load = |offset: u32| match offset {
            OFFSET_NUMBER => number,
            OFFSET_ARCH => arch,
            _ => {
                let at = offset - OFFSET_ARGS;
                (args[at as usize / 8] >> (8 * (at % 8))) as u32
            }
        };
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let instruction = program[at];
            let step = |holds: bool| usize::from(if holds { instruction.jt } else { instruction.jf });
            at += 1 + match u32::from(instruction.code) {
                LOAD => {
                    accumulator = load(instruction.k);
                    0
                }
                JUMP => instruction.k as usize,
                JUMP_EQUAL => step(accumulator == instruction.k),
                JUMP_GREATER_EQUAL => step(accumulator >= instruction.k),
                JUMP_SET => step(accumulator & instruction.k != 0),
                RETURN => return instruction.k,
                code => panic!("unknown instruction {code:#x}"),
            };
        }
    }

    pub(crate) fn evaluate_here(program: &[sock_filter], number: u32, args: [u64; 6]) -> u32 {
        evaluate(program, AUDIT_ARCH, number, args)
    }

    #[test]
    fn every_number_gets_its_action() {
        let rules = vec![
            Rule { errno: 2, when: &[Condition::HasAnyOf(0, 0b1100)] },
            Rule { errno: 3, when: &[Condition::Is(1, 7), Condition::IsNot(2, 8)] },
            Rule { errno: 0, when: &[Condition::UpperIsNot(3, 0)] },
        ];
        let actions = BTreeMap::from([
            (0, Action::Allow),
            (1, Action::Allow),
            (5, Action::Fail(1)),
            (6, Action::FailIf(rules)),
            (300, Action::Allow),
            (u32::MAX - 1, Action::Allow),
        ]);
        let program = compile(&actions, &Action::Fail(38));
        let run = |number, args| evaluate_here(&program, number, args);
        let errno = |number: u32| libc::SECCOMP_RET_ERRNO | number;
        for (number, expected) in [
            (0, libc::SECCOMP_RET_ALLOW),
            (1, libc::SECCOMP_RET_ALLOW),
            (2, errno(38)),
            (4, errno(38)),
            (5, errno(1)),
            (7, errno(38)),
            (299, errno(38)),
            (300, libc::SECCOMP_RET_ALLOW),
            (301, errno(38)),
            (0x4000_0000, errno(38)),
            (u32::MAX - 1, libc::SECCOMP_RET_ALLOW),
            (u32::MAX, errno(38)),
        ] {
            assert_eq!(run(number, [0; 6]), expected, "{number}");
        }
        assert_eq!(run(6, [4, 0, 0, 0, 0, 0]), errno(2));
        assert_eq!(run(6, [2, 7, 8, 0, 0, 0]), libc::SECCOMP_RET_ALLOW);
        assert_eq!(run(6, [2, 7, 9, 0, 0, 0]), errno(3));
        assert_eq!(run(6, [0, 0, 0, 5, 0, 0]), libc::SECCOMP_RET_ALLOW);
        assert_eq!(run(6, [0, 0, 0, 1 << 32, 0, 0]), errno(0));
        assert_eq!(evaluate(&program, 0x4000_0003, 0, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS, "i386");
    }
}
