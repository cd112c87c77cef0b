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
            snap_start: false,
            environment: None,
            log_group: format!("/aws/lambda/{name}"),
            json_log: None,
            architecture: machine_architecture(),
            layers: Vec::new(),
            dead_letter: None,
        },
        build: RevisionId::random(),
        published_description: None,
        condition: Condition::active(),
        in_force: None,
        last_version: 0,
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
    assert!(store.insert_function(std::slice::from_ref(&one), &tags).await.unwrap());
    assert!(!store.insert_function(&[row("one")], &tags).await.unwrap(), "the name is taken");
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
    store.insert_function(std::slice::from_ref(&first), &BTreeMap::new()).await.unwrap();
    let second = FunctionRow { revision: RevisionId::random(), code_size: 7, ..first.clone() };
    assert_eq!(
        store.change_functions(&[RowChange::Update(&second, &first.revision)]).await.unwrap(),
        Updated::Yes
    );
    let third = FunctionRow { revision: RevisionId::random(), code_size: 9, ..first.clone() };
    assert_eq!(
        store.change_functions(&[RowChange::Update(&third, &first.revision)]).await.unwrap(),
        Updated::Stale
    );
    assert_eq!(store.function(&first.key).await.unwrap(), Some(second));
}

#[tokio::test]
async fn listing_pages_by_name_and_version_while_functions_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    for name in ["c", "a", "b"] {
        store.insert_function(&[row(name)], &BTreeMap::new()).await.unwrap();
    }
    for n in [1, 2, 10] {
        let mut version = row("b");
        version.key.version = Version::Published(n);
        store.insert_function(&[version], &BTreeMap::new()).await.unwrap();
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

/// A change that cannot be made to one version is made to none.
#[tokio::test]
async fn several_rows_change_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let latest = row("f");
    let mut published = row("f");
    published.key.version = Version::Published(1);
    store.insert_function(&[latest.clone(), published.clone()], &BTreeMap::new()).await.unwrap();
    let next = FunctionRow { revision: RevisionId::random(), last_version: 2, ..latest.clone() };
    let taken = [RowChange::Update(&next, &latest.revision), RowChange::Insert(&published)];
    assert_eq!(store.change_functions(&taken).await.unwrap(), Updated::Stale);
    assert_eq!(store.function(&latest.key).await.unwrap(), Some(latest.clone()));

    published.key.version = Version::Published(2);
    let free = [RowChange::Update(&next, &latest.revision), RowChange::Insert(&published)];
    assert_eq!(store.change_functions(&free).await.unwrap(), Updated::Yes);
    let versions = async |after| {
        let found = store.list_versions(&scope(), &latest.key.name, after, 2).await.unwrap();
        found.into_iter().map(|row| row.key.version).collect::<Vec<_>>()
    };
    assert_eq!(versions(None).await, [Version::Latest, Version::Published(1)]);
    assert_eq!(versions(Some(Version::Latest)).await, [Version::Published(1), Version::Published(2)]);
    assert_eq!(store.delete_version(&published.key).await.unwrap(), VersionDeleted::Yes);
    assert_eq!(store.delete_version(&published.key).await.unwrap(), VersionDeleted::Absent);
    assert_eq!(versions(Some(Version::Published(1))).await, []);
}

/// What is left to do, and what runs meanwhile, are found again by the next daemon.
#[tokio::test]
async fn unfinished_updates_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let mut updating = row("f");
    let Condition { state, .. } = Condition::active();
    updating.condition = Condition {
        state,
        state_reason: None,
        update: Some(lambd_types::UpdateStatus::InProgress),
        update_reason: Some(lambd_types::Reason {
            code: lambd_types::ReasonCode::Creating,
            text: "The function is being created.".into(),
        }),
    };
    updating.in_force = Some(InForce {
        build: RevisionId::random(),
        code: Sha256Digest::of(b"before"),
        code_size: 6,
        configuration: updating.configuration.clone(),
    });
    store.insert_function(std::slice::from_ref(&updating), &BTreeMap::new()).await.unwrap();
    store.insert_function(&[row("settled")], &BTreeMap::new()).await.unwrap();
    store.close().await;
    drop(store);
    let store = open(&dir).await;
    assert_eq!(store.unsettled_functions().await.unwrap(), [updating]);
}

/// A database of the time before versions had states is read as it was meant.
#[tokio::test]
async fn rows_of_an_older_schema_are_active() {
    let dir = tempfile::tempdir().unwrap();
    let old = row("old");
    {
        let path = format!("sqlite://{}?mode=rwc", dir.path().join("lambd.db").display());
        let pool = sqlx::SqlitePool::connect(&path).await.unwrap();
        for script in [
            include_str!("../../migrations/main/0001.sql"),
            include_str!("../../migrations/main/0002.sql"),
            "PRAGMA user_version = 2",
        ] {
            sqlx::raw_sql(script).execute(&pool).await.unwrap();
        }
        sqlx::query(
            "INSERT INTO function VALUES ('000000000000','us-east-1','old','$LATEST','r1',?,100,1,?)",
        )
        .bind(old.code.to_base64())
        .bind(serde_json::to_string(&old.configuration).unwrap())
        .execute(&pool)
        .await
        .unwrap();
        pool.close().await;
    }
    let store = open(&dir).await;
    let revision = RevisionId::from_stored("r1".into());
    let expected = FunctionRow { build: revision.clone(), revision, ..old.clone() };
    assert_eq!(store.function(&old.key).await.unwrap(), Some(expected));
    let totals = (store.function_count(&scope()).await.unwrap(), store.code_size(&scope()).await.unwrap());
    assert_eq!(totals, (1, 100));
}

/// What an update in progress is to replace still runs, with the layers that it has.
#[tokio::test]
async fn layers_in_use_are_told_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let layer = |name: &str| UsedLayer {
        arn: name.into(),
        code: Sha256Digest::of(name.as_bytes()),
        code_size: 1,
        unpacked_size: 2,
    };
    let mut updated = row("f");
    updated.configuration.layers = vec![layer("b"), layer("a")];
    let mut before = updated.configuration.clone();
    before.layers = vec![layer("c")];
    updated.in_force = Some(InForce {
        build: RevisionId::random(),
        code: updated.code,
        code_size: updated.code_size,
        configuration: before,
    });
    store.insert_function(&[updated.clone(), row("without")], &BTreeMap::new()).await.unwrap();
    assert_eq!(store.function(&updated.key).await.unwrap(), Some(updated));
    let mut lists = store.layer_lists().await.unwrap();
    lists.sort_by_key(Vec::len);
    assert_eq!(lists, [vec![layer("c").code], vec![layer("b").code, layer("a").code]]);
}

/// The totals are those of what is there, whatever comes, changes, fails and goes.
#[tokio::test]
async fn totals_follow_every_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let totals = async |scope: &Scope| {
        (store.function_count(scope).await.unwrap(), store.code_size(scope).await.unwrap())
    };
    let elsewhere = Scope { region: Region::parse("eu-west-1").unwrap(), ..scope() };
    assert_eq!(totals(&scope()).await, (0, 0));
    let first = row("f");
    let mut version = row("f");
    version.key.version = Version::Published(1);
    version.code_size = 30;
    assert!(store.insert_function(&[first.clone(), version.clone()], &BTreeMap::new()).await.unwrap());
    assert!(!store.insert_function(&[row("f")], &BTreeMap::new()).await.unwrap(), "the name is taken");
    // The second row is there: nothing of this one stays.
    assert!(!store.insert_function(&[row("g"), version.clone()], &BTreeMap::new()).await.unwrap());
    assert_eq!(totals(&scope()).await, (1, 130));

    let mut other = row("f");
    other.key.scope = elsewhere.clone();
    assert!(store.insert_function(&[other], &BTreeMap::new()).await.unwrap());
    let layer = lambd_types::LayerKey { scope: scope(), name: lambd_types::LayerName::parse("l").unwrap() };
    let content = crate::layers::LayerContent {
        code: Sha256Digest::of(b"layer"),
        code_size: 5,
        unpacked_size: 50,
        created: UnixMillis(7),
        description: String::new(),
        license_info: None,
        runtimes: Vec::new(),
        architectures: Vec::new(),
    };
    let layer = store.insert_layer_version(&layer, content).await.unwrap();
    assert_eq!((totals(&scope()).await, totals(&elsewhere).await), ((1, 135), (1, 100)));

    let changed = FunctionRow { revision: RevisionId::random(), code_size: 60, ..first.clone() };
    let stale = [RowChange::Update(&changed, &changed.revision)];
    assert_eq!(store.change_functions(&stale).await.unwrap(), Updated::Stale);
    let good = [RowChange::Update(&changed, &first.revision)];
    assert_eq!(store.change_functions(&good).await.unwrap(), Updated::Yes);
    assert_eq!(totals(&scope()).await, (1, 95));

    assert_eq!(store.delete_version(&version.key).await.unwrap(), VersionDeleted::Yes);
    assert!(store.delete_layer_version(&layer.key).await.unwrap());
    assert_eq!(totals(&scope()).await, (1, 60));
    assert!(store.delete_function(&scope(), &first.key.name).await.unwrap());
    assert_eq!((totals(&scope()).await, totals(&elsewhere).await), ((0, 0), (1, 100)));
}

/// Of another function, or settled already, is not what is waited for.
#[tokio::test]
async fn work_that_is_left_is_found_by_function() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let waiting = |name: &str, version| {
        let mut row = row(name);
        row.key.version = version;
        row.condition.update = Some(lambd_types::UpdateStatus::InProgress);
        row
    };
    let (latest, mut settled) = (waiting("f", Version::Latest), row("f"));
    settled.key.version = Version::Published(1);
    let second = waiting("f", Version::Published(2));
    let rows = [latest.clone(), settled, second.clone()];
    store.insert_function(&rows, &BTreeMap::new()).await.unwrap();
    let other = waiting("g", Version::Latest);
    store.insert_function(std::slice::from_ref(&other), &BTreeMap::new()).await.unwrap();
    let mut found = store.unsettled_versions(&scope(), &latest.key.name).await.unwrap();
    found.sort_by_key(|row| row.key.version != Version::Latest);
    assert_eq!(found, [latest, second]);
    assert_eq!(store.unsettled_functions().await.unwrap().len(), 3);
}

/// What `GetFunction` shows belongs to this function and no other.
#[tokio::test]
async fn a_function_is_described_with_what_is_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await;
    let tags = BTreeMap::from([("a \"quoted\" key".to_owned(), "ünïcödé\\".to_owned())]);
    store.insert_function(&[row("f")], &tags).await.unwrap();
    store.insert_function(&[row("g")], &BTreeMap::new()).await.unwrap();
    let key = |name| row(name).key;
    let holder = Holder { scope: scope(), name: key("g").name, qualifier: None };
    store.attach(&holder, &ReservedConcurrency(7)).await.unwrap();
    let described = async |name| {
        let found = store.described_function(&key(name)).await.unwrap().unwrap();
        assert_eq!(Some(found.row), store.function(&key(name)).await.unwrap());
        (found.tags, found.reserved)
    };
    assert_eq!(described("f").await, (tags, None));
    assert_eq!(described("g").await, (BTreeMap::new(), Some(ReservedConcurrency(7))));
    let version = FunctionKey { version: Version::Published(1), ..key("f") };
    assert_eq!(store.described_function(&version).await.unwrap(), None);
}
