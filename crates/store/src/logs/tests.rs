use std::ops::ControlFlow;

use lambd_types::invocation::LogEvent;
use lambd_types::{AccountId, Region};

use super::*;
use crate::DataDir;

async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap();
    (dir, store)
}

fn scope() -> Scope {
    Scope { account: AccountId::default_local(), region: Region::default_local() }
}

fn events(times: impl IntoIterator<Item = i64>) -> Vec<LogEvent> {
    times.into_iter().map(|t| LogEvent { timestamp: UnixMillis(t), message: format!("at {t}") }).collect()
}

async fn append(store: &Store, group: &str, stream: &str, times: impl IntoIterator<Item = i64>) {
    let (scope, events) = (scope(), events(times));
    let stream = StreamName { scope: &scope, group, stream };
    store.logs().append(&[AppendBatch { stream, events: &events }], UnixMillis(9000)).await.unwrap();
}

const ALL: EventRange = EventRange {
    after: EventPosition { timestamp: -1, id: 0 },
    before: EventPosition { timestamp: i64::MAX, id: 0 },
};

async fn read(
    store: &Store,
    stream: &StreamRow,
    range: EventRange,
    direction: Direction,
    limit: u32,
) -> Vec<i64> {
    let mut seen = Vec::new();
    let visit = |e: EventRow| {
        seen.push(e.position.timestamp);
        ControlFlow::Continue(())
    };
    store.logs().read_stream(stream, range, direction, limit, visit).await.unwrap();
    seen
}

async fn read_group(
    store: &Store,
    group: &GroupRow,
    selection: Selection<'_>,
    range: EventRange,
) -> Vec<(String, i64)> {
    let mut seen = Vec::new();
    let visit = |stream: &str, e: EventRow| {
        seen.push((stream.to_owned(), e.position.timestamp));
        ControlFlow::Continue(())
    };
    store.logs().read_group(group, selection, range, visit).await.unwrap();
    seen
}

#[tokio::test]
async fn appending_makes_group_and_stream_and_counts() {
    let (_dir, store) = store().await;
    append(&store, "g", "s", [30, 10, 20]).await;
    append(&store, "g", "s", 100..400).await;
    let group = store.logs().group(&scope(), "g").await.unwrap().unwrap();
    let stream = store.logs().stream(&group, "s").await.unwrap().unwrap();
    let activity = stream.activity.unwrap();
    assert_eq!((activity.first_event.0, activity.last_event.0, activity.last_ingestion.0), (10, 399, 9000));
    assert_eq!(group.stored_bytes, 3 * (5 + 26) + 300 * (6 + 26));
    assert_eq!(read(&store, &stream, ALL, Direction::Ascending, 4).await, [10, 20, 30, 100]);
    assert_eq!(read(&store, &stream, ALL, Direction::Descending, 2).await, [399, 398]);
    let range = EventRange { after: EventPosition::at(20), before: EventPosition::at(101) };
    assert_eq!(read(&store, &stream, range, Direction::Ascending, 9).await, [20, 30, 100]);
}

#[tokio::test]
async fn events_of_one_millisecond_keep_their_order_across_pages() {
    let (_dir, store) = store().await;
    append(&store, "g", "s", [7, 7, 7]).await;
    let group = store.logs().group(&scope(), "g").await.unwrap().unwrap();
    let stream = store.logs().stream(&group, "s").await.unwrap().unwrap();
    let mut first = None;
    let visit = |e: EventRow| {
        first = Some(e.position);
        ControlFlow::Break(())
    };
    store.logs().read_stream(&stream, ALL, Direction::Ascending, 9, visit).await.unwrap();
    let rest = EventRange { after: first.unwrap(), ..ALL };
    assert_eq!(read(&store, &stream, rest, Direction::Ascending, 9).await, [7, 7]);
    let before = EventRange { before: first.unwrap(), ..ALL };
    assert!(read(&store, &stream, before, Direction::Ascending, 9).await.is_empty());
}

#[tokio::test]
async fn streams_of_a_group_are_interleaved() {
    let (_dir, store) = store().await;
    append(&store, "g", "a", [1, 4]).await;
    append(&store, "g", "b", [2, 5]).await;
    append(&store, "g", "c", [3, 6]).await;
    append(&store, "other", "a", [1]).await;
    let group = store.logs().group(&scope(), "g").await.unwrap().unwrap();
    let times = |v: Vec<(String, i64)>| v.into_iter().map(|(_, t)| t).collect::<Vec<_>>();
    assert_eq!(times(read_group(&store, &group, Selection::All, ALL).await), [1, 2, 3, 4, 5, 6]);
    let a = store.logs().stream(&group, "a").await.unwrap().unwrap();
    let c = store.logs().stream(&group, "c").await.unwrap().unwrap();
    let seen = read_group(&store, &group, Selection::Streams(&[a, c]), ALL).await;
    assert_eq!(seen[1], ("c".to_owned(), 3));
    assert_eq!(times(seen), [1, 3, 4, 6]);
    assert!(read_group(&store, &group, Selection::Streams(&[]), ALL).await.is_empty());
}

#[tokio::test]
async fn listings_page_in_both_orders() {
    let (_dir, store) = store().await;
    for (stream, time) in [("s1", 30), ("s2", 10), ("s3", 20), ("t", 5)] {
        append(&store, "g", stream, [time]).await;
    }
    let logs = store.logs();
    let group = logs.group(&scope(), "g").await.unwrap().unwrap();
    assert!(logs.create_stream(&group, "empty", UnixMillis(1)).await.unwrap());
    assert!(!logs.create_stream(&group, "empty", UnixMillis(1)).await.unwrap());
    let names = |rows: Vec<StreamRow>| rows.into_iter().map(|s| s.name).collect::<Vec<_>>();
    let by_name = StreamOrder::Name { after: Some("s1".into()) };
    assert_eq!(
        names(logs.streams(&group, Some("s"), &by_name, Direction::Ascending, 9).await.unwrap()),
        ["s2", "s3"]
    );
    let by_time = StreamOrder::LastEvent { after: Some((20, "s3".into())) };
    let page = logs.streams(&group, None, &by_time, Direction::Descending, 9).await.unwrap();
    assert_eq!(names(page), ["s2", "t", "empty"]);
    let filter = GroupFilter { contains: Some("g".into()), ..GroupFilter::default() };
    assert_eq!(logs.groups(&scope(), &filter, None, 9).await.unwrap().len(), 1);
    assert!(logs.groups(&scope(), &filter, Some("g"), 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn deleted_streams_are_gone_at_once_and_swept_later() {
    let (_dir, store) = store().await;
    append(&store, "g", "a", 0..1500).await;
    append(&store, "g", "b", [1]).await;
    let logs = store.logs();
    let group = logs.group(&scope(), "g").await.unwrap().unwrap();
    let stream = logs.stream(&group, "a").await.unwrap().unwrap();
    assert!(logs.delete_stream(&stream).await.unwrap());
    assert_eq!(read_group(&store, &group, Selection::All, ALL).await, [("b".to_owned(), 1)]);
    while logs.sweep_step(UnixMillis(0)).await.unwrap() > 0 {}
    assert_eq!(logs.group(&scope(), "g").await.unwrap().unwrap().stored_bytes, 4 + 26);
    // A group made anew does not see events of its predecessor.
    assert!(logs.delete_group(&group).await.unwrap());
    append(&store, "g", "b", [2]).await;
    let group = logs.group(&scope(), "g").await.unwrap().unwrap();
    assert_eq!(read_group(&store, &group, Selection::All, ALL).await, [("b".to_owned(), 2)]);
}

#[tokio::test]
async fn retention_takes_old_events_only() {
    let (_dir, store) = store().await;
    let day = 86_400_000;
    append(&store, "g", "s", [0, day - 1, day, 2 * day]).await;
    let logs = store.logs();
    let group = logs.group(&scope(), "g").await.unwrap().unwrap();
    logs.set_retention(&group, Some(1)).await.unwrap();
    while logs.sweep_step(UnixMillis(2 * day)).await.unwrap() > 0 {}
    let left = read_group(&store, &group, Selection::All, ALL).await;
    assert_eq!(left.iter().map(|(_, t)| *t).collect::<Vec<_>>(), [day, 2 * day]);
}
