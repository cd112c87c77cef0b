use super::*;
use crate::DataDir;

fn target(name: &str) -> FunctionTarget {
    FunctionTarget {
        scope: Scope { account: AccountId::default_local(), region: Region::default_local() },
        name: FunctionName::parse(name).unwrap(),
        qualifier: Qualifier::parse("PROD").unwrap(),
    }
}

fn new(name: &str, id: &str, at: i64) -> NewEventRow {
    NewEventRow {
        target: target(name),
        event: Event {
            request_id: RequestId::from_stored(id.into()),
            payload: Bytes::from_static(b"{\"a\":1}"),
            invoked_arn: "arn".into(),
            trace_id: "Root=1".into(),
            client_context: Some("{}".into()),
        },
        caller: "key".into(),
        on_failure: Some("arn:queue".into()),
        dead_letter: None,
        accepted_at: UnixMillis(at),
    }
}

fn state(stage: EventStage, due: i64) -> EventState {
    EventState {
        stage,
        due_at: UnixMillis(due),
        function_errors: 1,
        system_errors: 2,
        last_error: Some("x".repeat(2000)),
        outcome: Some(b"outcome".to_vec()),
    }
}

async fn open(dir: &std::path::Path) -> Store {
    Store::open(DataDir::open(dir).unwrap()).await.unwrap()
}

async fn first(store: &Store, queue: i64, stage: EventStage) -> Vec<i64> {
    store.first_events(queue, stage, 10).await.unwrap().into_iter().map(|(seq, _)| seq).collect()
}

/// CORE-253: an accepted event outlives the daemon until it is removed, with all that it came with.
#[tokio::test]
async fn events_wait_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (queue, late) = store.push_event(new("f", "late", 50)).await.unwrap();
    let (_, early) = store.push_event(new("f", "early", 10)).await.unwrap();
    let (other, foreign) = store.push_event(new("g", "foreign", 0)).await.unwrap();
    store.pause_events(&target("g").scope, &target("g").name, true).await.unwrap();
    store.close().await;
    drop(store);

    let store = open(dir.path()).await;
    let queues = store.event_queues().await.unwrap();
    assert_eq!(queues.iter().map(|q| (q.id, q.paused)).collect::<Vec<_>>(), [(queue, false), (other, true)]);
    assert_eq!(first(&store, queue, EventStage::Invoke).await, [early, late]);
    assert_eq!(first(&store, other, EventStage::Invoke).await, [foreign]);

    let row = store.load_events(&queues[0], &[late, early]).await.unwrap().remove(1);
    assert_eq!((row.seq, &row.new.event.payload[..]), (early, &b"{\"a\":1}"[..]));
    assert_eq!(row.new.target, target("f"), "the alias is kept");
    assert_eq!(row.new.event.client_context.as_deref(), Some("{}"));
    assert_eq!((row.new.caller.as_str(), row.new.on_failure.as_deref()), ("key", Some("arn:queue")));

    store.change_event(early, state(EventStage::Deliver, 70)).await.unwrap();
    store.remove_event(late).await.unwrap();
    assert_eq!(first(&store, queue, EventStage::Invoke).await, [] as [i64; 0]);
    let row = store.load_events(&queues[0], &[early, late]).await.unwrap().remove(0);
    assert_eq!((row.state.function_errors, row.state.system_errors), (1, 2));
    assert_eq!(row.state.outcome.as_deref(), Some(&b"outcome"[..]));
    assert_eq!(row.state.last_error.map(|text| text.len()), Some(1000));
    let (_, next) = store.push_event(new("f", "next", 80)).await.unwrap();
    assert!(next > foreign, "identities are not used again");
}

/// An event that cannot be read is set aside; those beside it are read.
#[tokio::test]
async fn a_damaged_event_stops_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (queue, bad) = store.push_event(new("f", "bad", 1)).await.unwrap();
    let (_, good) = store.push_event(new("f", "good", 2)).await.unwrap();
    for damage in ["qualifier = '!'", "payload = 'text', request_id = x'ff'"] {
        let sql = sqlx::AssertSqlSafe(format!("UPDATE event SET stage = 0, {damage} WHERE seq = {bad}"));
        sqlx::raw_sql(sql).execute(&store.events.pool).await.unwrap();
        let queues = store.event_queues().await.unwrap();
        let read = store.load_events(&queues[0], &[bad, good]).await.unwrap();
        assert_eq!(read.iter().map(|row| row.seq).collect::<Vec<_>>(), [good], "{damage}");
        assert_eq!(first(&store, queue, EventStage::Invoke).await, [good]);
        assert_eq!(first(&store, queue, EventStage::Unreadable).await, [bad]);
    }
}

#[tokio::test]
async fn queues_are_counted_listed_trimmed_and_purged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut seqs = Vec::new();
    for number in 0..5 {
        let (_, seq) = store.push_event(new("f", &format!("id{number}"), number)).await.unwrap();
        seqs.push(seq);
    }
    let (queue, _) = store.push_event(new("f", "waits", 9)).await.unwrap();
    for (number, seq) in seqs.iter().enumerate() {
        store.change_event(*seq, state(EventStage::Failed, 100 + number as i64)).await.unwrap();
    }
    let count = store.count_events(queue).await.unwrap();
    assert_eq!((count[&EventStage::Invoke], count[&EventStage::Failed]), (1, 5));
    store.trim_failed_events(queue, UnixMillis(100), 3).await.unwrap();
    let failed = store.list_events(queue, EventStage::Failed, 10).await.unwrap();
    assert_eq!(failed.iter().map(|e| e.request_id.as_str()).collect::<Vec<_>>(), ["id2", "id3", "id4"]);
    assert_eq!((failed[0].bytes, failed[0].qualifier.as_str()), (7, "PROD"));
    assert_eq!(store.purge_events(queue, EventStage::Failed).await.unwrap(), 3);
    assert_eq!(store.count_events(queue).await.unwrap().len(), 1, "what waits is not concerned");
}

/// What a lambd before had in its main database is there once, also if the daemon was killed between the two writes.
#[tokio::test]
async fn events_of_an_older_lambd_are_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let old = "INSERT INTO async_event VALUES
               ('one', '000000000000', 'us-east-1', 'f', '$LATEST', 'arn', 'Root=1', x'7b7d', 5, 65, 1, 2),
               ('two', '000000000000', 'us-east-1', 'f', 'live', 'arn', 'Root=1', x'7b7d', 6, 6, 0, 0)";
    sqlx::raw_sql(old).execute(&store.main).await.unwrap();
    adopt(&store.main, &store.events.pool).await.unwrap();
    sqlx::raw_sql(old).execute(&store.main).await.unwrap();
    store.close().await;
    drop(store);

    let store = open(dir.path()).await;
    let queues = store.event_queues().await.unwrap();
    let seqs = first(&store, queues[0].id, EventStage::Invoke).await;
    let rows = store.load_events(&queues[0], &seqs).await.unwrap();
    let shown: Vec<_> = rows.iter().map(|r| (r.new.event.request_id.as_str(), r.state.due_at.0)).collect();
    assert_eq!(shown, [("two", 6), ("one", 65)]);
    assert_eq!((rows[1].state.function_errors, rows[1].new.accepted_at.0), (1, 5));
    let left: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM async_event").fetch_one(&store.main).await.unwrap();
    assert_eq!(left, 0);
}

/// The first events of a queue cost the same, however many wait: a range of an index and no sorting.
#[tokio::test]
async fn the_first_events_are_a_range_of_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for sql in [
        "SELECT seq, due_at FROM event WHERE queue = 1 AND stage = 0 ORDER BY due_at, seq LIMIT 5",
        "DELETE FROM event WHERE seq IN (1, 2, 3)",
    ] {
        let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let plan = sqlx::raw_sql(plan).fetch_all(&store.events.pool).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        assert!(plan.iter().all(|step| step.starts_with("SEARCH")), "{plan:?}");
    }
}

/// A disk that is full refuses what is new, and keeps what is there; with room again it goes on.
#[tokio::test]
async fn a_full_disk_refuses_events_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let limit = async |pages: u32| {
        let (mut a, mut b) =
            (store.events.pool.acquire().await.unwrap(), store.events.pool.acquire().await.unwrap());
        for connection in [&mut a, &mut b] {
            let sql = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
            sqlx::raw_sql(sql).execute(&mut **connection).await.unwrap();
        }
    };
    let (queue, kept) = store.push_event(new("f", "kept", 1)).await.unwrap();
    limit(40).await;
    let mut large = new("f", "large", 2);
    large.event.payload = vec![b'1'; 1 << 20].into();
    // By each of the connections, however many there are.
    for _ in 0..4 {
        let refused = store.push_event(large.clone()).await.unwrap_err();
        assert!(refused.is_disk_full(), "{refused:?}");
        limit(40).await;
    }
    assert_eq!(first(&store, queue, EventStage::Invoke).await, [kept]);
    limit(100_000).await;
    let (_, next) = store.push_event(large).await.unwrap();
    assert_eq!(first(&store, queue, EventStage::Invoke).await, [kept, next]);
}
