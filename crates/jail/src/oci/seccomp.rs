//! The seccomp policy of `filter` in the form of the OCI runtime specification.
//!
//! That form can say less than ours: a rule has at most one condition for each argument, rules of one call
//! with different actions must not overlap, and nothing but "equal under a mask" looks at the lower half of
//! an argument only, which is all that the kernel looks at. So conditions become sets of masked values:
//! first those that are allowed, then those that are denied.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use syscalls::Sysno;

use crate::bpf::{Action, Condition, Rule};
use crate::filter::{self, Surroundings};

/// Calls of another interface have other numbers; a runtime ends a process that uses one.
const ARCHITECTURE: &str =
    if cfg!(target_arch = "aarch64") { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" };

/// `linux.seccomp` of the configuration.
pub(super) fn policy() -> Value {
    let mut allowed = Vec::new();
    let mut denied: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
    let mut conditional = Vec::new();
    for (number, action) in filter::policy(Surroundings::NAMESPACES) {
        // A call that is too new for the table is left to the default, as every unlisted one.
        let Some(name) = name(number) else { continue };
        match action {
            Action::Allow => allowed.push(name),
            Action::Fail(errno) => denied.entry(errno).or_default().push(name),
            // A container has no supervisor.
            Action::Ask => denied.entry(libc::EPERM).or_default().push(name),
            Action::FailIf(rules) => {
                conditional.extend(allowing(&rules).iter().map(|set| entry(&[name], None, set)));
                let refused = refusing(&rules);
                conditional.extend(refused.iter().map(|(errno, set)| entry(&[name], Some(*errno), set)));
            }
        }
    }
    let mut entries = vec![entry(&allowed, None, &Set::default())];
    entries.extend(denied.iter().map(|(errno, names)| entry(names, Some(*errno), &Set::default())));
    entries.extend(conditional);
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": filter::UNLISTED,
        "architectures": [ARCHITECTURE],
        "syscalls": entries,
    })
}

fn name(number: u32) -> Option<&'static str> {
    Sysno::new(number as usize).map(|call| call.name())
}

fn entry(names: &[&str], errno: Option<i32>, set: &Set) -> Value {
    let mut entry = json!({ "names": names, "action": "SCMP_ACT_ALLOW" });
    if let Some(errno) = errno {
        entry["action"] = "SCMP_ACT_ERRNO".into();
        entry["errnoRet"] = errno.into();
    }
    let args = set.conditions().map(|(index, Masked { mask, value })| {
        json!({ "index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" })
    });
    let args: Vec<_> = args.collect();
    if !args.is_empty() {
        entry["args"] = args.into();
    }
    entry
}

/// Values that agree with `value` in the bits of `mask`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Masked {
    mask: u64,
    value: u64,
}

impl Masked {
    /// The lower half has this value.
    const fn exactly(value: u32) -> Self {
        Self { mask: u32::MAX as u64, value: value as u64 }
    }

    /// The same of the upper half.
    const fn raised(self) -> Self {
        Self { mask: self.mask << u32::BITS, value: self.value << u32::BITS }
    }

    /// What both have in common, unless that is nothing.
    fn and(self, other: Self) -> Option<Self> {
        let agree = (self.value ^ other.value) & self.mask & other.mask == 0;
        agree.then_some(Self { mask: self.mask | other.mask, value: self.value | other.value })
    }

    fn includes(self, other: Self) -> bool {
        self.and(other) == Some(other)
    }
}

/// Arguments that all agree with their mask: one rule of the OCI form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Set([Masked; 6]);

impl Set {
    fn of(index: u8, masked: Masked) -> Self {
        let mut set = Self::default();
        set.0[usize::from(index)] = masked;
        set
    }

    fn and(&self, other: &Self) -> Option<Self> {
        let mut both = Self::default();
        for ((to, one), two) in both.0.iter_mut().zip(self.0).zip(other.0) {
            *to = one.and(two)?;
        }
        Some(both)
    }

    fn includes(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).all(|(own, its)| own.includes(its))
    }

    fn conditions(&self) -> impl Iterator<Item = (usize, Masked)> {
        self.0.into_iter().enumerate().filter(|(_, masked)| masked.mask != 0)
    }
}

/// All that no rule refuses.
fn allowing(rules: &[Rule]) -> Vec<Set> {
    let none_refuses =
        rules.iter().map(|rule| rule.when.iter().flat_map(|condition| failing(*condition)).collect());
    none_refuses.reduce(|one: Vec<Set>, two: Vec<Set>| intersection(&one, &two)).unwrap_or_default()
}

/// All that some rule refuses, with its error number. Rules of different numbers have nothing in common.
fn refusing(rules: &[Rule]) -> Vec<(i32, Set)> {
    let of_one = |rule: &Rule| {
        let conditions = rule.when.iter().map(|condition| holding(*condition));
        conditions.reduce(|one, two| intersection(&one, &two)).unwrap_or_default()
    };
    let mut by_errno: BTreeMap<i32, Vec<Set>> = BTreeMap::new();
    for rule in rules {
        by_errno.entry(rule.errno).or_default().extend(of_one(rule));
    }
    by_errno
        .into_iter()
        .flat_map(|(errno, sets)| distinct(sets).into_iter().map(move |set| (errno, set)))
        .collect()
}

/// Arguments for which a condition holds.
fn holding(condition: Condition) -> Vec<Set> {
    match condition {
        Condition::Is(index, value) => vec![Set::of(index, Masked::exactly(value))],
        Condition::IsNot(index, value) => other_than(value).map(|masked| Set::of(index, masked)).collect(),
        Condition::HasAnyOf(index, bits) => {
            bits_of(bits).map(|bit| Set::of(index, Masked { mask: bit.into(), value: bit.into() })).collect()
        }
        Condition::UpperIsNot(index, value) => {
            other_than(value).map(|masked| Set::of(index, masked.raised())).collect()
        }
    }
}

/// Arguments for which it does not.
fn failing(condition: Condition) -> Vec<Set> {
    match condition {
        Condition::Is(index, value) => holding(Condition::IsNot(index, value)),
        Condition::IsNot(index, value) => holding(Condition::Is(index, value)),
        Condition::HasAnyOf(index, bits) => vec![Set::of(index, Masked { mask: bits.into(), value: 0 })],
        Condition::UpperIsNot(index, value) => vec![Set::of(index, Masked::exactly(value).raised())],
    }
}

/// All lower halves but one: those that differ in the highest bit, those that agree in it and differ in the
/// next, and so on.
fn other_than(value: u32) -> impl Iterator<Item = Masked> {
    bits_of(u32::MAX).map(move |bit| {
        let mask = u32::MAX - (bit - 1);
        Masked { mask: mask.into(), value: ((value ^ bit) & mask).into() }
    })
}

fn bits_of(bits: u32) -> impl Iterator<Item = u32> {
    (0..u32::BITS).rev().map(|shift| 1 << shift).filter(move |bit| bits & bit != 0)
}

fn intersection(one: &[Set], two: &[Set]) -> Vec<Set> {
    distinct(one.iter().flat_map(|a| two.iter().filter_map(|b| a.and(b))).collect())
}

/// Without those that another includes.
fn distinct(sets: Vec<Set>) -> Vec<Set> {
    let mut kept: Vec<Set> = Vec::new();
    for set in sets {
        if !kept.iter().any(|other| other.includes(&set)) {
            kept.retain(|other| !set.includes(other));
            kept.push(set);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::tests::evaluate_here;

    /// What a runtime that follows the specification does with a call.
    fn decide(policy: &Value, name: &str, args: [u64; 6]) -> Option<i64> {
        let matches = |entry: &&Value| {
            let named = entry["names"].as_array().expect("names").iter().any(|listed| listed == name);
            let holds = |arg: &Value| {
                let number = |key: &str| arg[key].as_u64().expect(key);
                assert_eq!(arg["op"], "SCMP_CMP_MASKED_EQ");
                args[number("index") as usize] & number("value") == number("valueTwo")
            };
            named && entry["args"].as_array().is_none_or(|args| args.iter().all(holds))
        };
        let matching: Vec<_> = policy["syscalls"].as_array().expect("calls").iter().filter(matches).collect();
        let errno = |entry: &Value| (entry["action"] == "SCMP_ACT_ERRNO").then(|| entry["errnoRet"].as_i64());
        let mut answers: Vec<_> = matching.into_iter().map(errno).collect();
        answers.dedup();
        assert!(answers.len() < 2, "contradictory: {name} {args:x?}: {answers:?}");
        match answers.pop() {
            Some(answer) => answer.map(|errno| errno.expect("an error number")),
            None => policy["defaultErrnoRet"].as_i64(),
        }
    }

    /// Both forms are asked about every call, and about arguments at and around every value in a condition.
    #[test]
    fn the_oci_form_decides_as_the_filter_does() {
        let (oci, program) = (policy(), filter::Filter::compile(Surroundings::NAMESPACES));
        let mut asked = 0;
        for (number, action) in filter::policy(Surroundings::NAMESPACES) {
            let name = name(number).unwrap_or_else(|| panic!("call {number} has no name"));
            for args in interesting(action) {
                let expected = match evaluate_here(program.program(), number, args) {
                    libc::SECCOMP_RET_ALLOW => None,
                    refused => Some(i64::from(refused & libc::SECCOMP_RET_DATA)),
                };
                assert_eq!(decide(&oci, name, args), expected, "{name} {args:x?}");
                asked += 1;
            }
        }
        assert!(asked > 3000, "{asked}");
        assert_eq!(decide(&oci, "clone3", [0; 6]), Some(i64::from(libc::ENOSYS)));
    }

    fn interesting(action: Action) -> Vec<[u64; 6]> {
        let Action::FailIf(rules) = action else { return vec![[0; 6]] };
        let mut values = vec![[vec![0_u64], vec![0], vec![0]], [vec![0], vec![0], vec![0]]].swap_remove(0);
        for condition in rules.iter().flat_map(|rule| rule.when.iter()) {
            let (Condition::Is(index, value)
            | Condition::IsNot(index, value)
            | Condition::HasAnyOf(index, value)
            | Condition::UpperIsNot(index, value)) = *condition;
            let near = [0, 1, 7, 30, 31].map(|bit| value ^ 1 << bit).into_iter();
            let near = near.chain([value, value.wrapping_add(1), u32::MAX]);
            // The kernel ignores the upper half, and so must a filter.
            values[usize::from(index)].extend(near.flat_map(|v| [u64::from(v), u64::from(v) | 1 << 40]));
        }
        for values in &mut values {
            values.sort_unstable();
            values.dedup();
        }
        let [first, second, third] = values;
        let mut all = Vec::new();
        for a in &first {
            for b in &second {
                all.extend(third.iter().map(|c| [*a, *b, *c, 0, 0, 0]));
            }
        }
        all
    }
}
