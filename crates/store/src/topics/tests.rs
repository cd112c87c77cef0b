use lambd_types::{AccountId, Region, Scope, UnixMillis};

use super::*;
use crate::DataDir;

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap();
    Fixture { dir, store }
}

fn scope() -> Scope {
    Scope { account: AccountId::default_local(), region: Region::default_local() }
}

async fn topic(store: &Store, name: &str) -> TopicRow {
    store.topics().insert_topic(&scope(), name, &Texts::new(), &Texts::new()).await.unwrap().unwrap()
}

async fn subscription(store: &Store, topic: i64, uuid: &str) -> SubscriptionRow {
    let new = NewSubscription {
        topic,
        uuid,
        owner: &AccountId::default_local(),
        protocol: "http",
        endpoint: &format!("http://{uuid}"),
        attributes: &Texts::new(),
        pending_until: None,
        token: uuid,
        host: "localhost",
    };
    assert!(store.topics().insert_subscription(&new).await.unwrap());
    store.topics().subscription(uuid).await.unwrap().unwrap()
}

fn message(topic: i64, uuid: &str, to: &[i64], lane: Option<&str>) -> NewMessage {
    NewMessage {
        topic,
        uuid: uuid.into(),
        document: format!("{{\"of\":\"{uuid}\"}}"),
        once: lane.map(|_| Once {
            lane: String::new(),
            token: uuid.into(),
            now: UnixMillis(100),
            until: UnixMillis(200),
        }),
        deliveries: to
            .iter()
            .map(|&subscription| NewDelivery { subscription, lane: lane.map(Into::into) })
            .collect(),
        due: UnixMillis(100),
    }
}

async fn due(store: &Store, subscription: i64, now: i64) -> Vec<DeliveryRow> {
    store.topics().due_deliveries(subscription, UnixMillis(now), 10).await.unwrap()
}

async fn in_order(store: &Store, subscription: i64, now: i64) -> Vec<DeliveryRow> {
    store.topics().due_deliveries_in_order(subscription, UnixMillis(now), 10).await.unwrap()
}

async fn left(store: &Store, subscription: i64, now: i64) -> DeliveriesLeft {
    store.topics().deliveries_left(subscription, UnixMillis(now)).await.unwrap()
}

fn uuids(rows: &[DeliveryRow]) -> Vec<&str> {
    rows.iter().map(|row| row.uuid.as_str()).collect()
}

async fn messages(store: &Store) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM message").fetch_one(&store.topics).await.unwrap()
}

#[tokio::test]
async fn what_was_published_waits_across_a_restart_until_it_is_delivered() {
    let Fixture { dir, store } = fixture().await;
    let topic = topic(&store, "t").await;
    let (a, b) = (subscription(&store, topic.id, "a").await, subscription(&store, topic.id, "b").await);
    store.topics().publish(message(topic.id, "m", &[a.id, b.id], None)).await.unwrap();
    drop(store);

    let store = Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap();
    assert_eq!(store.topics().subscriptions_with_deliveries().await.unwrap(), [a.id, b.id]);
    assert!(due(&store, a.id, 99).await.is_empty());
    let rows = due(&store, a.id, 100).await;
    assert_eq!((uuids(&rows), rows[0].document.as_str()), (vec!["m"], "{\"of\":\"m\"}"));
    let why = Some("gone".to_owned());
    store.topics().postpone_delivery(rows[0].id, UnixMillis(150), 2, why.clone()).await.unwrap();
    assert!(due(&store, a.id, 149).await.is_empty());
    assert_eq!(left(&store, a.id, 149).await, DeliveriesLeft::DueAt(UnixMillis(150)));
    assert_eq!(left(&store, a.id, 150).await, DeliveriesLeft::Due);
    let again = &due(&store, a.id, 150).await[0];
    assert_eq!((again.attempts, &again.failure), (2, &why));

    store.topics().delivered(again.id).await.unwrap();
    assert_eq!((due(&store, b.id, 100).await.len(), messages(&store).await), (1, 1));
    store.topics().delete_subscription(b.id).await.unwrap();
    assert_eq!(messages(&store).await, 0, "the message goes with its last delivery");
    assert_eq!(left(&store, b.id, 100).await, DeliveriesLeft::None);
}

#[tokio::test]
async fn a_group_waits_for_its_first_message_and_no_other_group_does() {
    let Fixture { store, dir: _dir } = fixture().await;
    let topic = topic(&store, "t.fifo").await;
    let a = subscription(&store, topic.id, "a").await;
    for (uuid, lane) in [("1", "x"), ("2", "x"), ("3", "y"), ("4", "x")] {
        let done = store.topics().publish(message(topic.id, uuid, &[a.id], Some(lane))).await.unwrap();
        assert_eq!(done, Published { uuid: uuid.into(), sequence: Some(uuid.parse().unwrap()) });
    }
    let rows = in_order(&store, a.id, 100).await;
    assert_eq!(uuids(&rows), ["1", "2", "3", "4"]);
    store.topics().postpone_delivery(rows[0].id, UnixMillis(150), 1, None).await.unwrap();
    assert_eq!(uuids(&in_order(&store, a.id, 100).await), ["3"]);
    assert_eq!(
        uuids(&in_order(&store, a.id, 150).await),
        ["1", "2", "3", "4"],
        "the order is that of publication"
    );
}

#[tokio::test]
async fn a_repetition_is_the_first_message_until_it_is_forgotten() {
    let Fixture { store, dir: _dir } = fixture().await;
    let topic = topic(&store, "t.fifo").await;
    let a = subscription(&store, topic.id, "a").await;
    let publish = async |uuid: &str, token: &str, now: i64| {
        let mut new = message(topic.id, uuid, &[a.id], Some("g"));
        let once = new.once.as_mut().unwrap();
        (once.token, once.now, once.until) = (token.into(), UnixMillis(now), UnixMillis(now + 10));
        let done = store.topics().publish(new).await.unwrap();
        (done.uuid, done.sequence.unwrap())
    };
    assert_eq!(publish("1", "t", 0).await, ("1".into(), 1));
    assert_eq!(publish("2", "t", 9).await, ("1".into(), 1));
    assert_eq!(publish("3", "u", 9).await, ("3".into(), 2));
    assert_eq!(publish("4", "t", 10).await, ("4".into(), 3));
    assert_eq!(uuids(&in_order(&store, a.id, 100).await), ["1", "3", "4"]);
}

#[tokio::test]
async fn what_is_gone_gets_nothing() {
    let Fixture { store, dir: _dir } = fixture().await;
    let topic = topic(&store, "t").await;
    let a = subscription(&store, topic.id, "a").await;
    store.topics().publish(message(topic.id, "1", &[a.id], None)).await.unwrap();
    store.topics().delete_topic(topic.id).await.unwrap();
    assert_eq!(messages(&store).await, 0);
    let late = message(topic.id, "2", &[a.id], None);
    assert_eq!(store.topics().publish(late).await.unwrap().uuid, "2");
    assert_eq!(messages(&store).await, 0);
}

#[tokio::test]
async fn an_ended_subscription_can_be_taken_back_until_it_is_forgotten() {
    let Fixture { store, dir: _dir } = fixture().await;
    let topic = topic(&store, "t").await;
    let a = subscription(&store, topic.id, "a").await;
    store.topics().publish(message(topic.id, "1", &[a.id], None)).await.unwrap();
    store.topics().end_subscription(a.id, "back", UnixMillis(50)).await.unwrap();
    assert!(due(&store, a.id, 100).await.is_empty());
    assert!(store.topics().subscriptions_of(topic.id, 0, 10).await.unwrap().is_empty());
    let counts = SubscriptionCounts { ended: 1, ..SubscriptionCounts::default() };
    assert_eq!(store.topics().subscription_counts(topic.id).await.unwrap(), counts);

    let found = store.topics().subscription_of_token(topic.id, "back").await.unwrap().unwrap();
    assert!(store.topics().confirm_subscription(found.id, false).await.unwrap());
    assert_eq!(store.topics().forget_expired(UnixMillis(50)).await.unwrap(), 0);
    assert_eq!(store.topics().subscriptions_of(topic.id, 0, 10).await.unwrap()[0].uuid, "a");

    store.topics().end_subscription(a.id, "again", UnixMillis(50)).await.unwrap();
    subscription(&store, topic.id, "b").await;
    assert_eq!(store.topics().forget_expired(UnixMillis(49)).await.unwrap(), 0);
    assert_eq!(store.topics().forget_expired(UnixMillis(50)).await.unwrap(), 1);
    assert_eq!(store.topics().subscription("a").await.unwrap(), None);
}

#[tokio::test]
async fn lanes_read_what_they_need_however_much_waits() {
    let Fixture { store, dir: _dir } = fixture().await;
    let plan = async |sql: &'static str| {
        let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(sql).fetch_all(&store.topics).await.unwrap();
        rows.into_iter().map(|row| row.3).collect::<Vec<_>>().join("; ")
    };
    for sql in [
        "EXPLAIN QUERY PLAN SELECT * FROM delivery d JOIN message m ON m.id = d.message \
         WHERE d.subscription = 1 AND d.due <= 1 ORDER BY d.due, d.id LIMIT 1",
        "EXPLAIN QUERY PLAN SELECT * FROM delivery d JOIN message m ON m.id = d.message \
         WHERE d.subscription = 1 AND d.lane IS NOT NULL AND NOT EXISTS (SELECT 1 FROM delivery o \
         WHERE o.subscription = d.subscription AND o.lane = d.lane AND o.due > 1) ORDER BY d.id LIMIT 1",
        "EXPLAIN QUERY PLAN SELECT EXISTS (SELECT 1 FROM delivery WHERE subscription = 1), \
         (SELECT MIN(due) FROM delivery WHERE subscription = 1 AND due > 1)",
    ] {
        let plan = plan(sql).await;
        assert!(!plan.contains("SCAN d") && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}
