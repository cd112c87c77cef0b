//! What the API does often costs the same whatever is stored: the same statements, as many rows, and every table
//! entered through an index by more than account and region. No clock is involved.

mod statements;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lambd_store::attached::{Holder, ReservedConcurrency};
use lambd_store::functions::{
    Configuration, FunctionRow, ListPosition, RowChange, Updated, machine_architecture,
};
use lambd_store::{DataDir, Store};
use lambd_types::{
    AccountId, Condition, FunctionKey, FunctionName, Region, RevisionId, Scope, Sha256Digest, UnixMillis,
    Version,
};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use statements::{Executed, executed};

fn scope() -> Scope {
    Scope { account: AccountId::default_local(), region: Region::default_local() }
}

fn row(name: &str, version: Version) -> FunctionRow {
    FunctionRow {
        key: FunctionKey { scope: scope(), name: FunctionName::parse(name).unwrap(), version },
        revision: RevisionId::random(),
        build: RevisionId::random(),
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
        published_description: None,
        condition: Condition::active(),
        in_force: None,
        last_version: 0,
    }
}

/// One that still has to be unpacked.
fn unsettled(name: &str) -> FunctionRow {
    let update = Some(lambd_types::UpdateStatus::InProgress);
    FunctionRow { condition: Condition { update, ..Condition::active() }, ..row(name, Version::Latest) }
}

/// Functions with two versions and a tag each, around those that are asked for; every second one has work left.
async fn fill(store: &Store, functions: usize) {
    let tags = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    for number in 0..functions {
        let name = format!("f{number:03}");
        let latest = if number % 2 == 0 { unsettled(&name) } else { row(&name, Version::Latest) };
        let rows = [latest, row(&name, Version::Published(1)), row(&name, Version::Published(2))];
        assert!(store.insert_function(&rows, &tags).await.unwrap());
        let holder = Holder { scope: scope(), name: rows[0].key.name.clone(), qualifier: None };
        store.attach(&holder, &ReservedConcurrency(1)).await.unwrap();
    }
}

/// Everything that requests do often, by name; the statements of each.
async fn requests(store: &Store) -> Vec<(&'static str, Vec<Executed>)> {
    let mut all = Vec::new();
    let mut took = |name| all.push((name, std::mem::take(&mut *executed())));
    executed().clear();

    let key = row("f005", Version::Latest).key;
    let found = store.described_function(&key).await.unwrap().unwrap();
    assert_eq!((found.tags.len(), found.reserved), (1, Some(ReservedConcurrency(1))));
    took("GetFunction");

    let at = |name: &str, version: &str| ListPosition { name: name.into(), version: version.into() };
    let page = async |all_versions, after: Option<ListPosition>| {
        let page = store.list_functions(&scope(), all_versions, after.as_ref(), 4).await.unwrap();
        assert_eq!(page.len(), 4);
    };
    page(false, None).await;
    took("ListFunctions, the first page");
    page(false, Some(at("f003", "$LATEST"))).await;
    took("ListFunctions, a later page");
    page(true, None).await;
    took("ListFunctions with all versions, the first page");
    page(true, Some(at("f003", "1"))).await;
    took("ListFunctions with all versions, a later page");
    assert_eq!(store.list_versions(&scope(), &key.name, Some(Version::Latest), 9).await.unwrap().len(), 2);
    took("ListVersionsByFunction");

    let new = unsettled("a-new-one");
    assert_eq!(store.function(&new.key).await.unwrap(), None);
    store.code_size(&scope()).await.unwrap();
    assert!(store.insert_function(std::slice::from_ref(&new), &BTreeMap::new()).await.unwrap());
    let waiting = store.unsettled_versions(&scope(), &new.key.name).await.unwrap();
    assert_eq!(waiting, std::slice::from_ref(&new));
    let settled = FunctionRow {
        revision: RevisionId::random(),
        code_size: 7,
        condition: Condition::active(),
        ..new.clone()
    };
    let change = [RowChange::Update(&settled, &new.revision)];
    assert_eq!(store.change_functions(&change).await.unwrap(), Updated::Yes);
    took("CreateFunction, and its work behind the answer");

    store.function_count(&scope()).await.unwrap();
    took("GetAccountSettings");
    assert!(store.delete_function(&scope(), &new.key.name).await.unwrap());
    took("DeleteFunction");
    all
}

#[tokio::test]
async fn requests_cost_the_same_whatever_is_stored() {
    statements::collect();
    let mut seen = Vec::new();
    for functions in [10, 60] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap();
        fill(&store, functions).await;
        seen.push(requests(&store).await);
        assert_eq!(store.function_count(&scope()).await.unwrap(), functions as u64);
        if seen.len() == 2 {
            let path = format!("sqlite://{}", dir.path().join("lambd.db").display());
            let mut database = SqliteConnection::connect(&path).await.unwrap();
            let faults = wide_steps(&mut database, &seen[1]).await;
            assert!(faults.is_empty(), "{faults}");
        }
        store.close().await;
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0][0].1.len(), 1, "GetFunction is one statement: {:?}", seen[0][0].1);
    for (request, statements) in &seen[0] {
        assert!(!statements.is_empty(), "{request} was not seen");
    }
}

/// Steps of the statements' plans that go through all that an account has, or sort it.
async fn wide_steps(database: &mut SqliteConnection, requests: &[(&str, Vec<Executed>)]) -> String {
    let mut faults = String::new();
    for (request, statements) in requests {
        for Executed { sql, .. } in statements {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            for step in sqlx::query(explain).fetch_all(&mut *database).await.unwrap() {
                let step: String = step.get("detail");
                // All that there is of this table is one row for each account and region.
                let is_narrow = step.starts_with("SEARCH account_usage")
                    || step.starts_with("SEARCH") && !step.ends_with("(account=? AND region=?)")
                    || step.starts_with("CORRELATED SCALAR SUBQUERY");
                if !is_narrow {
                    writeln!(faults, "{request}: {step}\n    in {sql}").unwrap();
                }
            }
        }
    }
    faults
}
