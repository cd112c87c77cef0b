use lambd_types::{AccountId, AliasName, Region};

use super::*;
use crate::DataDir;
use crate::aliases::{AliasKey, AliasRow};
use crate::code_signing::{CodeSigningConfig, ConfigDeleted};

fn scope() -> Scope {
    Scope { account: AccountId::default_local(), region: Region::default_local() }
}

fn holder(name: &str, qualifier: Option<&str>) -> Holder {
    Holder {
        scope: scope(),
        name: FunctionName::parse(name).unwrap(),
        qualifier: qualifier.map(|text| Qualifier::parse(text).unwrap()),
    }
}

async fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn documents_survive_reopening_and_are_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let invoke = |n| EventInvoke { maximum_retry_attempts: Some(n), ..EventInvoke::default() };
    for (qualifier, n) in [(Some("b"), 0), (Some("a"), 1), (Some("$LATEST"), 2)] {
        store.attach(&holder("f", qualifier), &invoke(n)).await.unwrap();
    }
    store.attach(&holder("g", Some("a")), &invoke(0)).await.unwrap();
    store.attach(&holder("f", None), &Recursion("Allow".into())).await.unwrap();
    store.close().await;
    drop(store);

    let store = open(&dir).await;
    assert_eq!(store.attached(&holder("f", Some("a"))).await.unwrap(), Some(invoke(1)));
    assert_eq!(store.attached::<EventInvoke>(&holder("f", None)).await.unwrap(), None);
    let name = FunctionName::parse("f").unwrap();
    let qualifiers = async |after| {
        let found = store.list_attached::<EventInvoke>(&scope(), &name, after, 2).await.unwrap();
        found.into_iter().map(|(qualifier, _)| qualifier.unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(qualifiers(None).await, ["$LATEST", "a"]);
    assert_eq!(qualifiers(Some("a")).await, ["b"]);
    assert!(store.detach::<EventInvoke>(&holder("f", Some("a"))).await.unwrap());
    assert!(!store.detach::<EventInvoke>(&holder("f", Some("a"))).await.unwrap());
}

/// CORE-166, CORE-173: what is left is the limit without all of them. What is provisioned is part of a reservation.
#[tokio::test]
async fn reservations_and_provisioned_executions_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    for (name, n) in [("f", 100), ("g", 7)] {
        store.attach(&holder(name, None), &ReservedConcurrency(n)).await.unwrap();
    }
    for (name, qualifier, executions) in [("f", "1", 30), ("f", "live", 20), ("h", "1", 3), ("h", "live", 2)]
    {
        let config = ProvisionedConcurrency { executions, last_modified: 0 };
        store.attach(&holder(name, Some(qualifier)), &config).await.unwrap();
    }
    assert_eq!(store.claimed_concurrency(&scope(), None).await.unwrap(), 112);
    let name = FunctionName::parse("f").unwrap();
    assert_eq!(store.claimed_concurrency(&scope(), Some(&name)).await.unwrap(), 12);
    assert_eq!(store.reservations().await.unwrap().len(), 2);
    let mut provisioned = store.provisioned_functions().await.unwrap();
    provisioned.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(provisioned, [(scope(), name), (scope(), FunctionName::parse("h").unwrap())]);
}

/// What hung on a holder that is gone does not hang on the next one of its name.
#[tokio::test]
async fn documents_go_with_their_holder() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let name = FunctionName::parse("f").unwrap();
    let policy = Policy("{}".into());
    let all = [None, Some("1"), Some("live")];
    for qualifier in all {
        let revision = RevisionId::random();
        store.replace_policy(&holder("f", qualifier), Some(&policy), &revision).await.unwrap();
    }
    let left = async || {
        let mut left = Vec::new();
        for qualifier in all {
            if store.attached::<Policy>(&holder("f", qualifier)).await.unwrap().is_some() {
                left.push(qualifier);
            }
        }
        left
    };
    let alias = AliasKey { scope: scope(), name: name.clone(), alias: AliasName::parse("live").unwrap() };
    store.delete_alias(&alias).await.unwrap();
    assert_eq!(left().await, [None, Some("1")]);
    let version =
        lambd_types::FunctionKey { scope: scope(), name: name.clone(), version: Version::Published(1) };
    store.delete_version(&version).await.unwrap();
    assert_eq!(left().await, [None]);
    store.delete_function(&scope(), &name).await.unwrap();
    assert_eq!(left().await, []);
}

/// API-632: whoever changes an alias sees that its policy has changed.
#[tokio::test]
async fn a_policy_changes_the_revision_of_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let row = AliasRow {
        key: AliasKey {
            scope: scope(),
            name: FunctionName::parse("f").unwrap(),
            alias: AliasName::parse("live").unwrap(),
        },
        revision: RevisionId::random(),
        description: String::new(),
        version: Version::Published(1),
        additional: None,
    };
    store.insert_alias(&row).await.unwrap();
    let revision = RevisionId::random();
    store.replace_policy(&holder("f", Some("live")), None, &revision).await.unwrap();
    assert_eq!(store.alias(&row.key).await.unwrap().unwrap().revision, revision);
}

#[tokio::test]
async fn a_signing_configuration_in_use_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let config = CodeSigningConfig {
        description: None,
        publishers: vec!["p".into()],
        untrusted: "Warn".into(),
        last_modified: 1,
        tags: [("k".to_owned(), "v".to_owned())].into(),
    };
    store.put_code_signing_config(&scope(), "csc-1", &config).await.unwrap();
    store.attach(&holder("f", None), &CodeSigning("arn:1".into())).await.unwrap();
    let users = store.functions_with_code_signing(&scope(), "arn:1", None, 9).await.unwrap();
    assert_eq!(users.iter().map(FunctionName::as_str).collect::<Vec<_>>(), ["f"]);
    let delete = async || store.delete_code_signing_config(&scope(), "csc-1", "arn:1").await.unwrap();
    assert_eq!(delete().await, ConfigDeleted::InUse);
    store.detach::<CodeSigning>(&holder("f", None)).await.unwrap();
    assert_eq!(delete().await, ConfigDeleted::Yes);
    assert_eq!(delete().await, ConfigDeleted::Absent);
    assert_eq!(store.list_code_signing_configs(&scope(), None, 9).await.unwrap(), []);
}
