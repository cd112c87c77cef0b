use lambd_types::{AccountId, Region};

use super::*;
use crate::DataDir;

fn scope() -> Scope {
    Scope { account: AccountId::default_local(), region: Region::default_local() }
}

fn row(name: &str) -> FunctionRow {
    FunctionRow {
        key: FunctionKey {
            scope: scope(),
            name: FunctionName::parse(name).unwrap(),
            version: Version::Latest,
        },
        revision: RevisionId::random(),
        code: Sha256Digest::of(name.as_bytes()),
        code_size: 100,
        last_modified: UnixMillis(1),
        configuration: Configuration {
            runtime: "python3.12".into(),
            handler: "app.handler".into(),
            role: "arn:aws:iam::000000000000:role/r".into(),
            description: String::new(),
            memory_size: 128,
            timeout: 3,
            ephemeral_storage: 512,
            environment: None,
            log_group: format!("/aws/lambda/{name}"),
        },
    }
}

async fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn functions_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (one, tags) = (row("one"), BTreeMap::from([("k".to_owned(), "v".to_owned())]));
    let store = open(&dir).await;
    assert!(store.insert_function(&one, &tags).await.unwrap());
    assert!(!store.insert_function(&row("one"), &tags).await.unwrap(), "the name is taken");
    store.close().await;
    drop(store);

    let store = open(&dir).await;
    assert_eq!(store.function(&one.key).await.unwrap(), Some(one.clone()));
    assert_eq!(store.function_tags(&scope(), &one.key.name).await.unwrap(), tags);
    assert!(store.delete_function(&scope(), &one.key.name).await.unwrap());
    assert!(!store.delete_function(&scope(), &one.key.name).await.unwrap());
    assert_eq!(store.function(&one.key).await.unwrap(), None);
}

#[tokio::test]
async fn an_update_with_an_old_revision_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let first = row("f");
    store.insert_function(&first, &BTreeMap::new()).await.unwrap();
    let second = FunctionRow { revision: RevisionId::random(), code_size: 7, ..first.clone() };
    assert_eq!(store.update_function(&second, &first.revision).await.unwrap(), Updated::Yes);
    let third = FunctionRow { revision: RevisionId::random(), code_size: 9, ..first.clone() };
    assert_eq!(store.update_function(&third, &first.revision).await.unwrap(), Updated::Stale);
    assert_eq!(store.function(&first.key).await.unwrap(), Some(second));
}

#[tokio::test]
async fn listing_pages_by_name_and_version_while_functions_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    for name in ["c", "a", "b"] {
        store.insert_function(&row(name), &BTreeMap::new()).await.unwrap();
    }
    for n in [1, 2, 10] {
        let mut version = row("b");
        version.key.version = Version::Published(n);
        store.insert_function(&version, &BTreeMap::new()).await.unwrap();
    }
    let names = |rows: &[FunctionRow]| {
        rows.iter().map(|r| format!("{}:{}", r.key.name, r.key.version)).collect::<Vec<_>>()
    };
    assert_eq!(
        names(&store.list_functions(&scope(), false, None, 10).await.unwrap()),
        ["a:$LATEST", "b:$LATEST", "c:$LATEST"]
    );

    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_functions(&scope(), true, after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(ListPosition { name: last.key.name.to_string(), version: last.key.version.to_string() });
        seen.extend(names(&page));
        // Deleting what was already seen must not shift the pages that follow.
        store.delete_function(&scope(), &FunctionName::parse("a").unwrap()).await.unwrap();
    }
    assert_eq!(seen, ["a:$LATEST", "b:$LATEST", "b:1", "b:2", "b:10", "c:$LATEST"]);
}
