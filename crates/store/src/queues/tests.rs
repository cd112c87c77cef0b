use std::collections::BTreeMap;

use lambd_types::{AccountId, Region, Scope, UnixMillis};

use super::*;
use crate::DataDir;

struct Fixture {
    store: Store,
    dir: tempfile::TempDir,
}

async fn open() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap();
    Fixture { store, dir }
}

impl Fixture {
    fn queues(&self) -> Queues<'_> {
        self.store.queues()
    }

    async fn reopen(self) -> Self {
        self.store.close().await;
        let Self { store, dir } = self;
        drop(store);
        let store = Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap();
        Self { store, dir }
    }

    async fn queue(&self, name: &str) -> QueueRow {
        let row = row(name);
        let id = self.queues().create(row.clone()).await.unwrap();
        QueueRow { id, ..row }
    }

    /// Sends texts at a time, in a group if the queue keeps the order.
    async fn send(&self, queue: &QueueRow, at: i64, group: Option<&str>, texts: &[&str]) {
        let messages = texts.iter().map(|text| message(at, group, text)).collect();
        let put = Put { queue: queue.id, at: UnixMillis(at), messages };
        assert_eq!(self.queues().put(put).await.unwrap().unwrap().len(), texts.len());
    }

    async fn take(&self, take: Take) -> Taken {
        self.queues().take(take).await.unwrap().unwrap()
    }

    async fn total(&self, queue: &QueueRow) -> i64 {
        self.queues().counts(queue.id, UnixMillis(0)).await.unwrap().messages
    }
}

fn row(name: &str) -> QueueRow {
    QueueRow {
        id: QueueId(0),
        scope: Scope { account: AccountId::default_local(), region: Region::default_local() },
        name: name.to_owned(),
        fifo: name.ends_with(".fifo"),
        created: UnixMillis(1),
        modified: UnixMillis(2),
        purged: None,
        attributes: BTreeMap::from([("DelaySeconds".to_owned(), "3".to_owned())]),
        tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
    }
}

fn message(at: i64, group: Option<&str>, text: &str) -> NewMessage {
    NewMessage {
        uuid: format!("id of {text}"),
        visible_at: UnixMillis(at),
        lane: group.map(str::to_owned),
        dedup: None,
        details: b"{}".to_vec(),
        body: text.as_bytes().to_vec(),
    }
}

/// Ten messages of a queue at a time, invisible for 100.
fn wish(queue: &QueueRow, at: i64) -> Take {
    Take {
        queue: queue.id,
        fifo: queue.fifo,
        at: UnixMillis(at),
        until: UnixMillis(at + 100),
        most: 10,
        expired_at: UnixMillis(-1),
        burial: None,
        attempt: None,
        waits: true,
    }
}

fn texts(taken: &Taken) -> Vec<String> {
    taken.messages.iter().map(|m| String::from_utf8(m.body.clone()).unwrap()).collect()
}

#[tokio::test]
async fn what_is_stored_is_there_again() {
    let fixture = open().await;
    let queue = fixture.queue("q").await;
    fixture.send(&queue, 10, None, &["a", "b"]).await;
    let taken = fixture.take(Take { most: 1, ..wish(&queue, 20) }).await;
    assert_eq!(texts(&taken), ["a"]);

    let fixture = fixture.reopen().await;
    assert_eq!(fixture.queues().all().await.unwrap(), std::slice::from_ref(&queue));
    let counts = fixture.queues().counts(queue.id, UnixMillis(20)).await.unwrap();
    assert_eq!(counts, Counts { messages: 2, in_flight: 1, delayed: 0 });
    let taken = fixture.take(wish(&queue, 119)).await;
    assert_eq!(texts(&taken), ["b"]);
    let taken = fixture.take(wish(&queue, 119)).await;
    assert_eq!(
        (taken.messages.len(), taken.next),
        (0, Some(UnixMillis(120))),
        "when the first is visible again"
    );
    let taken = fixture.take(wish(&queue, 120)).await;
    let message = &taken.messages[0];
    assert_eq!(
        (message.receives, message.first_received, message.sent_at),
        (2, UnixMillis(20), UnixMillis(10))
    );
}

/// Many takes at once share statements, and no message.
#[tokio::test]
async fn takes_at_once_get_different_messages() {
    let fixture = open().await;
    let (queue, ordered) = (fixture.queue("q").await, fixture.queue("q.fifo").await);
    let names: Vec<String> = (0..95).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    fixture.send(&queue, 10, None, &names).await;
    for name in &names {
        fixture.send(&ordered, 10, Some(&format!("group {}", name.len())), &[name]).await;
    }
    let all = futures_util::future::join_all((0..12).map(|_| fixture.take(wish(&queue, 20)))).await;
    let mut got: Vec<String> = all.iter().flat_map(texts).collect();
    assert_eq!(all.iter().filter(|taken| taken.messages.len() == 10).count(), 9);
    got.sort();
    got.dedup();
    assert_eq!(got.len(), 95);
    let all = futures_util::future::join_all((0..3).map(|_| fixture.take(wish(&ordered, 20)))).await;
    let mut lengths: Vec<usize> = all.iter().map(|taken| taken.messages.len()).collect();
    lengths.sort();
    assert_eq!(lengths, [0, 10, 10], "one for each group, the third has none");
}

#[tokio::test]
async fn a_deleted_queue_takes_nothing_and_is_swept() {
    let fixture = open().await;
    let (queue, kept) = (fixture.queue("q.fifo").await, fixture.queue("kept").await);
    let mut messages = Vec::new();
    for n in 0..1200 {
        let dedup = Some(Dedup { key: n.to_string(), until: UnixMillis(1_000) });
        messages.push(NewMessage { dedup, ..message(10, Some(&n.to_string()), "x") });
    }
    let put = |messages| Put { queue: queue.id, at: UnixMillis(10), messages };
    fixture.queues().put(put(messages)).await.unwrap().unwrap();
    fixture.send(&kept, 10, None, &["kept"]).await;
    fixture.queues().delete(queue.id, UnixMillis(50)).await.unwrap();
    assert_eq!(fixture.queues().put(put(vec![message(60, None, "late")])).await.unwrap(), None);
    assert!(fixture.queues().take(wish(&queue, 60)).await.unwrap().is_none());
    for (since, expected) in [(49, Some(UnixMillis(50))), (50, None)] {
        let found = fixture.queues().deleted_since(&queue.scope, "q.fifo", UnixMillis(since)).await;
        assert_eq!(found.unwrap(), expected);
    }

    while fixture.queues().sweep_removed().await.unwrap() {}
    for table in ["message", "lane", "dedup", "removed"] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let left: i64 = sqlx::query_scalar(sql).fetch_one(&fixture.store.queues).await.unwrap();
        assert_eq!(left, i64::from(table == "message"), "{table}");
    }
    assert_eq!(texts(&fixture.take(wish(&kept, 60)).await), ["kept"]);
}

#[tokio::test]
async fn a_purged_queue_is_empty_and_goes_on() {
    let fixture = open().await;
    let queue = fixture.queue("q").await;
    fixture.send(&queue, 10, None, &["old"]).await;
    let id = fixture.queues().purge(queue.clone(), UnixMillis(20)).await.unwrap();
    let new = QueueRow { id, purged: Some(UnixMillis(20)), ..queue.clone() };
    assert_ne!(id, queue.id);
    assert_eq!(fixture.queues().all().await.unwrap(), std::slice::from_ref(&new));
    assert!(fixture.queues().take(wish(&queue, 30)).await.unwrap().is_none(), "by its old id it is gone");
    fixture.send(&new, 30, None, &["new"]).await;
    assert_eq!(texts(&fixture.take(wish(&new, 30)).await), ["new"]);
}

/// Dead letters in front of living messages, more of them than one round looks at.
#[tokio::test]
async fn many_dead_letters_do_not_hide_a_living_one() {
    let fixture = open().await;
    let (queue, dead) = (fixture.queue("q").await, fixture.queue("dead").await);
    let many = vec!["x"; 700];
    fixture.send(&queue, 10, None, &many).await;
    let mut at = 20;
    while !fixture.take(wish(&queue, 20)).await.messages.is_empty() {
        at += 1;
    }
    assert_eq!(at, 90);
    fixture.send(&queue, 200, None, &["alive"]).await;
    let burial = Some(Burial { after: 1, queue: dead.id, origin: "origin".into() });
    let taken = fixture.take(Take { burial, ..wish(&queue, 200) }).await;
    assert_eq!((texts(&taken), taken.buried), (vec!["alive".to_owned()], 700));
    assert_eq!((fixture.total(&queue).await, fixture.total(&dead).await), (1, 700));
    let taken = fixture.take(wish(&dead, 200)).await;
    assert_eq!(taken.messages[0].origin.as_deref(), Some("origin"));
    assert_eq!((taken.messages[0].receives, taken.messages[0].sent_at), (2, UnixMillis(10)));
}

#[tokio::test]
async fn expired_messages_are_swept_in_steps() {
    let fixture = open().await;
    let (queue, ordered) = (fixture.queue("q").await, fixture.queue("q.fifo").await);
    fixture.send(&queue, 10, None, &["x"; 600]).await;
    fixture.send(&queue, 30, None, &["young"]).await;
    fixture.send(&ordered, 10, Some("g"), &["old"]).await;
    fixture.send(&ordered, 30, Some("g"), &["young"]).await;
    let oldest = fixture.queues().oldest().await.unwrap();
    assert_eq!(oldest, [(queue.id, UnixMillis(10)), (ordered.id, UnixMillis(10))]);
    assert!(fixture.queues().sweep_expired(queue.id, UnixMillis(20)).await.unwrap());
    assert!(!fixture.queues().sweep_expired(queue.id, UnixMillis(20)).await.unwrap());
    assert_eq!(fixture.total(&queue).await, 1);
    fixture.queues().sweep_expired(ordered.id, UnixMillis(20)).await.unwrap();
    assert_eq!(
        fixture.take(wish(&ordered, 20)).await.next,
        Some(UnixMillis(30)),
        "the next of its group is first"
    );
    assert_eq!(texts(&fixture.take(wish(&ordered, 30)).await), ["young"]);
}

/// Bodies that are large together are received in turns.
#[tokio::test]
async fn large_messages_are_read_a_few_at_a_time() {
    let fixture = open().await;
    let queue = fixture.queue("q").await;
    let large = "x".repeat(1024 * 1024);
    for _ in 0..20 {
        fixture.send(&queue, 10, None, &[&large]).await;
    }
    let (mut got, mut cut) = (0, 0);
    for _ in 0..5 {
        let takes = (0..4).map(|_| fixture.take(Take { most: 5, ..wish(&queue, 20) }));
        for taken in futures_util::future::join_all(takes).await {
            got += taken.messages.len();
            cut += usize::from(taken.cut_short);
        }
    }
    assert_eq!(got, 20);
    assert!(cut <= 4, "who was cut short comes again, and then has its turn");
}

/// A lane's time is that of its first message, whatever happens to it. Held against the obvious way to compute it.
#[tokio::test]
async fn lanes_follow_their_messages() {
    let fixture = open().await;
    let queue = fixture.queue("q.fifo").await;
    let mut at = 0;
    // A fixed walk through sends, takes, changes and deletions of three groups.
    let mut state = 7_u64;
    let mut held: Vec<Receipt> = Vec::new();
    for _ in 0..120 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let choice = state >> 33;
        at += 1 + (choice % 40) as i64;
        match choice % 5 {
            0 | 1 => {
                let group = ["a", "b", "c"][(choice / 5 % 3) as usize];
                fixture.send(&queue, at, Some(group), &["x", "y"]).await;
            }
            2 => {
                let taken = fixture.take(Take { most: 3, ..wish(&queue, at) }).await;
                let receipt = |m: &Message| Receipt { queue: queue.id, id: m.id, receives: m.receives };
                held.extend(taken.messages.iter().map(receipt));
            }
            3 => {
                let receipts = held.drain(..held.len() / 2).collect();
                let remove = Remove { at: UnixMillis(at), strict: true, receipts };
                fixture.queues().remove(remove).await.unwrap();
            }
            _ => {
                let receipts = held.iter().map(|receipt| (*receipt, UnixMillis(at + 7))).collect();
                let change = Change { at: UnixMillis(at), strict: true, longest: 10_000, receipts };
                fixture.queues().change(change).await.unwrap();
            }
        }
        let wrong: i64 = sqlx::query_scalar(
            "WITH right AS (SELECT lane, visible_at FROM message AS m WHERE id =
               (SELECT MIN(id) FROM message WHERE lane = m.lane))
             SELECT (SELECT COUNT(*) FROM (SELECT name, ready_at FROM lane EXCEPT SELECT * FROM right))
               + (SELECT COUNT(*) FROM (SELECT * FROM right EXCEPT SELECT name, ready_at FROM lane))",
        )
        .fetch_one(&fixture.store.queues)
        .await
        .unwrap();
        assert_eq!(wrong, 0, "at {at}");
        let counted: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM message")
            .fetch_one(&fixture.store.queues)
            .await
            .unwrap();
        assert_eq!(fixture.total(&queue).await, counted, "at {at}");
    }
}
