//! Sending, receiving and deleting cost the same whatever is stored: the same statements, as many rows, and every step
//! enters its table through an index and sorts nothing. No clock is involved.

mod statements;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lambd_store::queues::{
    Burial, Change, Dedup, NewMessage, Put, QueueId, QueueRow, Receipt, Remove, Take, Taken,
};
use lambd_store::{DataDir, Store};
use lambd_types::{AccountId, Region, Scope, UnixMillis};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use statements::{Executed, executed};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

async fn queue(store: &Store, name: &str) -> QueueId {
    let row = QueueRow {
        id: QueueId(0),
        scope: Scope { account: AccountId::default_local(), region: Region::default_local() },
        name: name.to_owned(),
        fifo: name.ends_with(".fifo"),
        created: NOW,
        modified: NOW,
        purged: None,
        attributes: BTreeMap::new(),
        tags: BTreeMap::new(),
    };
    store.queues().create(row).await.unwrap()
}

/// A message, of a group and not to be taken twice if there is a group.
fn message(group: Option<&str>, text: &str) -> NewMessage {
    NewMessage {
        uuid: text.to_owned(),
        visible_at: NOW,
        lane: group.map(str::to_owned),
        dedup: group
            .map(|group| Dedup { key: format!("{group} {text}"), until: UnixMillis(NOW.0 + 300_000) }),
        details: b"{}".to_vec(),
        body: text.as_bytes().to_vec(),
    }
}

fn take(queue: QueueId, fifo: bool, seconds: i64) -> Take {
    let at = UnixMillis(NOW.0 + seconds * 1000);
    Take {
        queue,
        fifo,
        at,
        until: UnixMillis(at.0 + 30_000),
        most: 10,
        expired_at: UnixMillis(0),
        burial: None,
        attempt: None,
        waits: true,
    }
}

fn receipts(queue: QueueId, taken: &Taken) -> Vec<Receipt> {
    taken.messages.iter().map(|m| Receipt { queue, id: m.id, receives: m.receives }).collect()
}

/// Everything that requests do often, by name; the statements of each.
async fn requests(
    store: &Store,
    standard: QueueId,
    ordered: QueueId,
    dead: QueueId,
) -> Vec<(&'static str, Vec<Executed>)> {
    let queues = store.queues();
    let mut all = Vec::new();
    let mut took = |name| all.push((name, std::mem::take(&mut *executed())));
    executed().clear();

    let ten =
        |group: Option<&str>, name: &str| (0..10).map(|n| message(group, &format!("{name}{n}"))).collect();
    queues.put(Put { queue: standard, at: NOW, messages: ten(None, "a") }).await.unwrap().unwrap();
    took("SendMessageBatch");
    queues.put(Put { queue: ordered, at: NOW, messages: ten(Some("g"), "b") }).await.unwrap().unwrap();
    took("SendMessageBatch to a FIFO queue");

    let taken = queues.take(take(standard, false, 1)).await.unwrap().unwrap();
    assert_eq!(taken.messages.len(), 10);
    took("ReceiveMessage");
    let later = receipts(standard, &taken).into_iter().map(|r| (r, UnixMillis(NOW.0 + 90_000))).collect();
    let change = Change { at: UnixMillis(NOW.0 + 1000), strict: false, longest: 100_000, receipts: later };
    queues.change(change).await.unwrap();
    took("ChangeMessageVisibilityBatch");
    let remove = |queue, strict, taken: &Taken| Remove {
        at: UnixMillis(NOW.0 + 2000),
        strict,
        receipts: receipts(queue, taken),
    };
    queues.remove(remove(standard, false, &taken)).await.unwrap();
    took("DeleteMessageBatch");

    let taken = queues.take(take(ordered, true, 1)).await.unwrap().unwrap();
    assert_eq!(taken.messages.len(), 10);
    took("ReceiveMessage from a FIFO queue");
    queues.remove(remove(ordered, true, &taken)).await.unwrap();
    took("DeleteMessageBatch from a FIFO queue");

    let burial = Burial { after: 0, queue: dead, origin: "arn".into() };
    let taken =
        queues.take(Take { burial: Some(burial), most: 1, ..take(standard, false, 1) }).await.unwrap();
    assert!(taken.is_some_and(|taken| taken.buried > 0));
    took("ReceiveMessage with dead letters");
    queues.peek(standard, false, NOW, 10).await.unwrap();
    queues.peek(ordered, true, NOW, 10).await.unwrap();
    took("a task that moves messages");
    queues.counts(standard, UnixMillis(NOW.0 + 3_600_000)).await.unwrap();
    took("GetQueueAttributes");
    all
}

#[tokio::test]
async fn messages_cost_the_same_whatever_is_stored() {
    statements::collect();
    let mut seen = Vec::new();
    for messages in [50, 400] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap();
        let (standard, ordered) = (queue(&store, "q").await, queue(&store, "q.fifo").await);
        let dead = queue(&store, "dead").await;
        let plain = (0..messages).map(|n| message(None, &n.to_string())).collect();
        store.queues().put(Put { queue: standard, at: NOW, messages: plain }).await.unwrap().unwrap();
        for group in ["g", "h"] {
            let grouped = (0..messages).map(|n| message(Some(group), &n.to_string())).collect();
            store.queues().put(Put { queue: ordered, at: NOW, messages: grouped }).await.unwrap().unwrap();
        }
        seen.push(requests(&store, standard, ordered, dead).await);
        if seen.len() == 2 {
            let path = format!("sqlite://{}", dir.path().join("queues.db").display());
            let mut database = SqliteConnection::connect(&path).await.unwrap();
            let faults = wide_steps(&mut database, &seen[1]).await;
            assert!(faults.is_empty(), "{faults}");
        }
        store.close().await;
    }
    for (few, many) in seen[0].iter().zip(&seen[1]) {
        // How many dead letters are met before one that is alive is not the request's affair.
        if few.0 != "ReceiveMessage with dead letters" {
            assert_eq!(few, many);
        }
        assert!(!few.1.is_empty(), "{} was not seen", few.0);
    }
}

/// Steps of the statements' plans that go through a whole table or queue, or sort it.
async fn wide_steps(database: &mut SqliteConnection, requests: &[(&str, Vec<Executed>)]) -> String {
    let mut faults = String::new();
    for (request, statements) in requests {
        for Executed { sql, .. } in statements.iter().filter(|s| !s.sql.is_empty()) {
            if ["BEGIN", "COMMIT"].iter().any(|word| sql.starts_with(word)) {
                continue;
            }
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            for step in sqlx::query(explain).fetch_all(&mut *database).await.unwrap() {
                let step: String = step.get("detail");
                let scans = step.starts_with("SCAN")
                    && !step.contains("VIRTUAL TABLE")
                    && !step.contains("CONSTANT ROW")
                    && !step.contains("VALUES CLAUSE")
                    // One row; and what a statement has named itself.
                    && step != "SCAN sequence";
                let wide =
                    step.starts_with("SEARCH") && step.ends_with("(queue=?)") && step.contains("message");
                if scans || wide || step.contains("TEMP B-TREE FOR ORDER") {
                    writeln!(faults, "{request}: {step}\n    in {sql}").unwrap();
                }
            }
        }
    }
    faults
}
