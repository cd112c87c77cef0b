use std::time::Duration;

use lambd_types::{AccountId, Region};
use proptest::prelude::*;

use super::*;

/// Limits of events in progress alone.
fn engine(executions: usize) -> Concurrency {
    Concurrency::new(Limits { executions, requests: None })
}

fn admit(concurrency: &Concurrency, key: &FunctionKey) -> Result<Permit, InvokeError> {
    concurrency.acquire(key, Request::Synchronous, Instant::now())
}

fn at_rest(concurrency: &Concurrency) -> bool {
    let accounts = concurrency.accounts();
    accounts.values().all(|account| account.functions.is_empty() && account.shared + account.claimed == 0)
}

fn scope(region: &str) -> Scope {
    Scope { account: AccountId::default_local(), region: Region::parse(region).unwrap() }
}

fn name(text: &str) -> FunctionName {
    FunctionName::parse(text).unwrap()
}

fn key(scope: &Scope, name: &FunctionName, version: u64) -> FunctionKey {
    let version = if version == 0 { Version::Latest } else { Version::Published(version) };
    FunctionKey { scope: scope.clone(), name: name.clone(), version }
}

fn account_is_full(limit: usize) -> InvokeError {
    InvokeError::Throttled { limit }
}

#[test]
fn permits_come_back_and_scopes_are_apart() {
    let (here, there, f) = (scope("us-east-1"), scope("us-east-2"), name("f"));
    let concurrency = engine(1);
    let held = admit(&concurrency, &key(&here, &f, 0)).unwrap();
    assert_eq!(admit(&concurrency, &key(&here, &name("g"), 0)).unwrap_err(), account_is_full(1));
    admit(&concurrency, &key(&there, &f, 0)).unwrap();
    drop(held);
    admit(&concurrency, &key(&here, &f, 0)).unwrap();
    assert!(at_rest(&concurrency), "nothing is left of functions at rest");
}

/// CORE-166, CORE-168, CORE-169: others cannot use what is reserved, nor the function more than that.
#[test]
fn reserved_executions_are_for_one_function_alone() {
    let (here, f, g) = (scope("us-east-1"), name("f"), name("g"));
    let concurrency = engine(3);
    concurrency.reserve(&here, &f, Some(2));
    let _other = admit(&concurrency, &key(&here, &g, 0)).unwrap();
    assert_eq!(admit(&concurrency, &key(&here, &g, 0)).unwrap_err(), account_is_full(1));
    let held =
        [admit(&concurrency, &key(&here, &f, 0)).unwrap(), admit(&concurrency, &key(&here, &f, 0)).unwrap()];
    assert_eq!(admit(&concurrency, &key(&here, &f, 0)).unwrap_err(), InvokeError::Reserved { limit: 2 });
    drop(held);
    concurrency.reserve(&here, &f, Some(0));
    assert_eq!(admit(&concurrency, &key(&here, &f, 0)).unwrap_err(), InvokeError::Reserved { limit: 0 });
    let _more =
        [admit(&concurrency, &key(&here, &g, 0)).unwrap(), admit(&concurrency, &key(&here, &g, 0)).unwrap()];
    concurrency.reserve(&here, &f, None);
    assert_eq!(admit(&concurrency, &key(&here, &f, 0)).unwrap_err(), account_is_full(3));
}

#[test]
fn events_in_progress_count_where_they_belong_now() {
    let (here, f, g) = (scope("us-east-1"), name("f"), name("g"));
    let concurrency = engine(3);
    let held = admit(&concurrency, &key(&here, &f, 0)).unwrap();
    concurrency.reserve(&here, &f, Some(1));
    assert_eq!(admit(&concurrency, &key(&here, &f, 0)).unwrap_err(), InvokeError::Reserved { limit: 1 });
    let others =
        [admit(&concurrency, &key(&here, &g, 0)).unwrap(), admit(&concurrency, &key(&here, &g, 0)).unwrap()];
    concurrency.reserve(&here, &f, None);
    assert_eq!(admit(&concurrency, &key(&here, &g, 0)).unwrap_err(), account_is_full(3));
    drop((held, others));
    assert!(at_rest(&concurrency));
}

#[derive(Debug, Clone)]
enum Step {
    Reserve(usize, Option<usize>),
    Provision(usize, usize, usize),
    Enter(usize, u64),
    Leave(usize),
    Pause(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (0..2usize, prop::option::of(prop::sample::select(vec![0, 3, 6]))).prop_map(|(f, n)| Step::Reserve(f, n)),
        1 => (0..2usize, 0..3usize, 0..3usize).prop_map(|(f, one, two)| Step::Provision(f, one, two)),
        6 => (0..2usize, 0..3u64).prop_map(|(f, version)| Step::Enter(f, version)),
        4 => any::<usize>().prop_map(Step::Leave),
        1 => (0..300u64).prop_map(Step::Pause),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    /// What is used and claimed is what functions use and claim, whatever happens in which order, and whether requests
    /// are too fast or not; nothing is left of it afterwards.
    #[test]
    fn nothing_is_lost_under_any_order_of_events_and_changes(steps in steps(), requests in prop::option::of(1..3u32)) {
        let (here, names) = (scope("us-east-1"), [name("f"), name("g")]);
        let concurrency = Concurrency::new(Limits { executions: 12, requests });
        let (mut held, mut now) = (Vec::new(), Instant::now());
        for step in steps {
            match step {
                Step::Reserve(f, executions) => concurrency.reserve(&here, &names[f], executions),
                Step::Provision(f, one, two) => concurrency.provision(
                    &here,
                    &names[f],
                    vec![(Version::Published(1), one), (Version::Published(2), two)],
                ),
                Step::Enter(f, version) => {
                    held.extend(concurrency.acquire(&key(&here, &names[f], version), Request::Synchronous, now));
                }
                Step::Leave(at) if !held.is_empty() => drop(held.swap_remove(at % held.len())),
                Step::Leave(_) => {}
                Step::Pause(millis) => now += Duration::from_millis(millis),
            }
            let accounts = concurrency.accounts();
            let Some(account) = accounts.get(&here) else { continue };
            let all = account.functions.values();
            prop_assert_eq!(account.shared, all.clone().map(Function::shared).sum::<usize>());
            prop_assert_eq!(account.claimed, all.clone().map(Function::claimed).sum::<usize>());
            let running = all.clone().flat_map(|f| &f.running);
            prop_assert_eq!(running.clone().map(|r| r.count).sum::<usize>(), held.len());
            let spilled = held.iter().filter(|permit| permit.is_spilled()).count();
            prop_assert_eq!(running.map(|r| r.spilled).sum::<usize>(), spilled);
        }
        held.clear();
        for f in &names {
            concurrency.reserve(&here, f, None);
            concurrency.provision(&here, f, Vec::new());
        }
        prop_assert!(at_rest(&concurrency));
    }
}

/// CORE-172, CORE-174: executions of a version are for it alone, and beyond them it uses what all share.
#[test]
fn provisioned_executions_are_used_first_and_then_the_shared_ones() {
    let (here, f, g) = (scope("us-east-1"), name("f"), name("g"));
    let concurrency = engine(4);
    concurrency.provision(&here, &f, vec![(Version::Published(1), 2)]);
    let others = [(); 2].map(|()| admit(&concurrency, &key(&here, &g, 0)).unwrap());
    assert_eq!(admit(&concurrency, &key(&here, &g, 0)).unwrap_err(), account_is_full(2));
    assert_eq!(admit(&concurrency, &key(&here, &f, 2)).unwrap_err(), account_is_full(2));
    let held = [(); 2].map(|()| admit(&concurrency, &key(&here, &f, 1)).unwrap());
    assert_eq!(admit(&concurrency, &key(&here, &f, 1)).unwrap_err(), account_is_full(2));
    drop(others);
    let more = [(); 2].map(|()| admit(&concurrency, &key(&here, &f, 1)).unwrap());
    assert_eq!(admit(&concurrency, &key(&here, &g, 0)).unwrap_err(), account_is_full(2));
    // What began beyond the provisioned executions moves into them when one of those is free again.
    drop(held);
    let _others = [(); 2].map(|()| admit(&concurrency, &key(&here, &g, 0)).unwrap());
    drop(more);
    concurrency.provision(&here, &f, Vec::new());
    let _all = [(); 2].map(|()| admit(&concurrency, &key(&here, &f, 1)).unwrap());
    assert_eq!(admit(&concurrency, &key(&here, &f, 1)).unwrap_err(), account_is_full(4));
}

/// CORE-173: they are part of the reservation; when they are all of it, nothing else of the function runs.
#[test]
fn provisioned_executions_are_taken_from_the_reservation() {
    let (here, f, g) = (scope("us-east-1"), name("f"), name("g"));
    let concurrency = engine(4);
    concurrency.reserve(&here, &f, Some(3));
    concurrency.provision(&here, &f, vec![(Version::Published(1), 1), (Version::Published(2), 1)]);
    let other = admit(&concurrency, &key(&here, &g, 0)).unwrap();
    assert_eq!(admit(&concurrency, &key(&here, &g, 0)).unwrap_err(), account_is_full(1));
    let latest = admit(&concurrency, &key(&here, &f, 0)).unwrap();
    let full = InvokeError::Reserved { limit: 3 };
    assert_eq!(admit(&concurrency, &key(&here, &f, 0)).unwrap_err(), full);
    let _held = [1, 2].map(|version| admit(&concurrency, &key(&here, &f, version)).unwrap());
    assert_eq!(admit(&concurrency, &key(&here, &f, 1)).unwrap_err(), full);
    drop(latest);
    concurrency.provision(&here, &f, vec![(Version::Published(1), 2), (Version::Published(2), 1)]);
    assert_eq!(admit(&concurrency, &key(&here, &f, 0)).unwrap_err(), full);
    let held = admit(&concurrency, &key(&here, &f, 1)).unwrap();
    drop((_held, held, other));
    concurrency.provision(&here, &f, Vec::new());
    concurrency.reserve(&here, &f, None);
    assert!(at_rest(&concurrency));
}

/// CORE-080: ten requests in a second for each execution that they may use; what a caller waits for, and what it does
/// not wait for, each for itself.
#[test]
fn requests_in_a_second_are_limited() {
    let (here, there, f) = (scope("us-east-1"), scope("us-east-2"), key(&scope("us-east-1"), &name("f"), 0));
    let concurrency = Concurrency::new(Limits { executions: 4, requests: Some(10) });
    let start = Instant::now();
    let ask = |key: &FunctionKey, at| concurrency.acquire(key, Request::Synchronous, at).map(drop);
    let tenth = Duration::from_millis(100);
    for _ in 0..40 {
        ask(&f, start).unwrap();
    }
    let full = InvokeError::TooFast { limit: 40, reserved: false, wait: Duration::from_millis(25) };
    assert_eq!(ask(&f, start).unwrap_err(), full);
    ask(&key(&there, &f.name, 0), start).unwrap();
    concurrency.acquire(&f, Request::Accepted, start).unwrap();
    for _ in 0..40 {
        concurrency.accept(&here, start).unwrap();
    }
    let full = InvokeError::EventsTooFast { limit: 40, wait: Duration::from_millis(25) };
    assert_eq!(concurrency.accept(&here, start).unwrap_err(), full);
    for _ in 0..4 {
        ask(&f, start + tenth).unwrap();
    }
    ask(&f, start + tenth).unwrap_err();
    // A reservation brings requests of its own, and takes them from the others.
    concurrency.reserve(&here, &f.name, Some(1));
    for _ in 0..10 {
        ask(&f, start + tenth).unwrap();
    }
    let full = InvokeError::TooFast { limit: 10, reserved: true, wait: tenth };
    assert_eq!(ask(&f, start + tenth).unwrap_err(), full);
    let other = key(&here, &name("g"), 0);
    assert!(matches!(
        ask(&other, start + tenth),
        Err(InvokeError::TooFast { limit: 30, reserved: false, .. })
    ));
}

/// CORE-081, CORE-174, CORE-181: ten requests in a second for each provisioned execution; those that are too fast use
/// the others, as do those that are too many, and the metrics tell.
#[test]
fn requests_too_fast_for_provisioned_executions_use_the_others() {
    let (here, f) = (scope("us-east-1"), name("f"));
    let concurrency = Concurrency::new(Limits { executions: 3, requests: Some(10) });
    let (version, now) = (key(&here, &f, 1), Instant::now());
    concurrency.provision(&here, &f, vec![(Version::Published(1), 1)]);
    let ask = || concurrency.acquire(&version, Request::Synchronous, now);
    for _ in 0..9 {
        assert!(!ask().unwrap().is_spilled());
    }
    let first = ask().unwrap();
    let metrics = |concurrent_executions, spillover_invocations| ProvisionedMetrics {
        concurrent_executions,
        executions: 1,
        invocations: 10,
        spillover_invocations,
    };
    assert_eq!(concurrency.provisioned(&version), Some(metrics(1, 0)));
    assert_eq!(concurrency.provisioned(&version).unwrap().utilization(), 1.0);
    assert!(!ask().unwrap().is_spilled(), "it is one too many, not too fast");
    drop(first);
    let spilled = [(); 2].map(|()| ask().unwrap());
    assert!(spilled.iter().all(Permit::is_spilled));
    assert_eq!(concurrency.provisioned(&version), Some(metrics(0, 3)));
    assert_eq!(concurrency.in_progress(&here), (2, 2));
    assert_eq!(ask().unwrap_err(), InvokeError::Throttled { limit: 2 });
    drop(spilled);
    concurrency.provision(&here, &f, vec![(Version::Published(1), 2)]);
    assert_eq!(concurrency.provisioned(&version).unwrap().invocations, 10, "what was counted stays");
    concurrency.provision(&here, &f, Vec::new());
    assert_eq!(concurrency.provisioned(&version), None);
}
