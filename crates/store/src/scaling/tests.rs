use super::*;
use crate::DataDir;

fn scope_of(region: &str) -> Scope {
    Scope { account: AccountId::default_local(), region: Region::parse(region).unwrap() }
}

fn target(resource: &str) -> TargetRow {
    TargetRow {
        scope: scope_of("us-east-1"),
        resource: resource.into(),
        id: format!("id-{resource}"),
        family: "family".into(),
        min: 1,
        max: 9,
        suspended: Suspended::default(),
        tags: BTreeMap::from([("k".into(), "v".into())]),
        progress: Progress::default(),
        created: UnixMillis(5),
    }
}

fn rule(kind: RuleKind, resource: &str, name: &str, due: Option<i64>) -> RuleRow {
    RuleRow {
        scope: scope_of("us-east-1"),
        kind,
        resource: resource.into(),
        name: name.into(),
        settings: "{}".into(),
        created: UnixMillis(6),
        due: due.map(UnixMillis),
    }
}

async fn open(dir: &std::path::Path) -> Store {
    Store::open(DataDir::open(dir).unwrap()).await.unwrap()
}

#[tokio::test]
async fn targets_survive_reopening_and_take_their_rules_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (first, other) = (target("function:a:1"), target("function:b:1"));
    let scope = &first.scope;
    assert!(store.put_scaling_rule(&rule(RuleKind::Policy, "function:a:1", "p", None)).await.is_err());
    store.put_scaling_target(&other).await.unwrap();
    store.put_scaling_target(&first).await.unwrap();
    store.put_scaling_rule(&rule(RuleKind::Policy, "function:a:1", "p", None)).await.unwrap();
    let changed = TargetRow {
        min: 2,
        suspended: Suspended { scheduled: true, ..Suspended::default() },
        progress: Progress { scaled_in: Some(8), ..Progress::default() },
        ..first.clone()
    };
    store.put_scaling_target(&changed).await.unwrap();
    drop(store);

    let store = open(dir.path()).await;
    assert_eq!(store.scaling_target(scope, "function:a:1").await.unwrap(), Some(changed.clone()));
    assert_eq!(store.scaling_target_of_id(scope, "id-function:b:1").await.unwrap(), Some(other.clone()));
    assert_eq!(store.scaling_target(&scope_of("us-east-2"), "function:a:1").await.unwrap(), None);
    assert_eq!(store.count_scaling_targets(scope).await.unwrap(), 2);
    assert_eq!(store.all_scaling_policies().await.unwrap().len(), 1, "a change of the target keeps them");
    let all = store.list_scaling_targets(scope, &[], None, 9).await.unwrap();
    assert_eq!(all, [changed.clone(), other.clone()]);
    let rest = store.list_scaling_targets(scope, &[], Some("function:a:1"), 9).await.unwrap();
    assert_eq!(rest, std::slice::from_ref(&other));
    let named = ["function:b:1".to_owned(), "function:c:1".to_owned()];
    assert_eq!(store.list_scaling_targets(scope, &named, None, 9).await.unwrap(), [other]);

    assert!(store.delete_scaling_target(scope, "function:a:1").await.unwrap());
    assert!(!store.delete_scaling_target(scope, "function:a:1").await.unwrap());
    assert!(store.all_scaling_policies().await.unwrap().is_empty());
}

#[tokio::test]
async fn rules_are_listed_by_kind_resource_and_name_and_found_when_due() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let scope = scope_of("us-east-1");
    for resource in ["r1", "r2"] {
        store.put_scaling_target(&target(resource)).await.unwrap();
        for (name, due) in [("a", Some(10)), ("b", None), ("c", Some(20))] {
            store.put_scaling_rule(&rule(RuleKind::Action, resource, name, due)).await.unwrap();
        }
        store.put_scaling_rule(&rule(RuleKind::Policy, resource, "a", None)).await.unwrap();
    }
    let list = async |filter, after, limit| {
        let found = store.list_scaling_rules(&scope, RuleKind::Action, filter, after, limit).await.unwrap();
        found.into_iter().map(|r| format!("{}{}", r.resource, r.name)).collect::<Vec<_>>()
    };
    assert_eq!(list(RuleFilter::default(), None, 4).await, ["r1a", "r1b", "r1c", "r2a"]);
    assert_eq!(list(RuleFilter::default(), Some(("r2", "a")), 4).await, ["r2b", "r2c"]);
    let names = ["c".to_owned()];
    let filter = RuleFilter { resource: Some("r2"), names: &names };
    assert_eq!(list(filter, None, 4).await, ["r2c"]);
    assert_eq!(store.count_scaling_rules(&scope, RuleKind::Action, "r1").await.unwrap(), 3);

    assert_eq!(store.next_scaling_action().await.unwrap(), Some(UnixMillis(10)));
    let due = store.due_scaling_actions(UnixMillis(10)).await.unwrap();
    assert_eq!(due.iter().map(|r| (&*r.resource, &*r.name)).collect::<Vec<_>>(), [("r1", "a"), ("r2", "a")]);
    let moved = RuleRow { due: Some(UnixMillis(30)), ..due[0].clone() };
    store.put_scaling_rule(&moved).await.unwrap();
    let found = store.scaling_rule(&scope, RuleKind::Action, "r1", "a").await.unwrap();
    assert_eq!(found, Some(moved));
    assert_eq!(store.due_scaling_actions(UnixMillis(10)).await.unwrap().len(), 1);
    assert!(store.delete_scaling_rule(&scope, RuleKind::Action, "r1", "a").await.unwrap());
    assert!(!store.delete_scaling_rule(&scope, RuleKind::Action, "r1", "a").await.unwrap());
    assert!(store.scaling_rule(&scope, RuleKind::Policy, "r1", "a").await.unwrap().is_some());
}

#[tokio::test]
async fn activities_come_latest_first_and_open_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let scope = scope_of("us-east-1");
    let mut numbers = Vec::new();
    for (started, open, scaled) in [(1, true, true), (2, false, false), (3, false, true)] {
        let row = ActivityRow {
            number: 0,
            scope: scope.clone(),
            resource: "r".into(),
            started: UnixMillis(started),
            open,
            scaled,
            document: format!("{started}"),
        };
        numbers.push(store.add_scaling_activity(&row).await.unwrap());
    }
    let list = async |unscaled, before, limit| {
        let filter = ActivityFilter { resource: Some("r"), unscaled };
        let found = store.list_scaling_activities(&scope, filter, before, limit).await.unwrap();
        found.into_iter().map(|a| a.document).collect::<Vec<_>>()
    };
    assert_eq!(list(true, None, 9).await, ["3", "2", "1"]);
    assert_eq!(list(false, None, 9).await, ["3", "1"]);
    assert_eq!(list(true, Some(numbers[2]), 1).await, ["2"]);
    let open = store.open_scaling_activities().await.unwrap();
    assert_eq!((open.len(), open[0].number), (1, numbers[0]));
    assert_eq!(store.prune_scaling_activities(UnixMillis(3)).await.unwrap(), 1, "an open one stays");
    store.end_scaling_activity(numbers[0], "done").await.unwrap();
    assert_eq!(list(true, None, 9).await, ["3", "done"]);
    assert!(store.open_scaling_activities().await.unwrap().is_empty());
}
