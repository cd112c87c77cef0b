//! The durable queue of asynchronous events.

use bytes::Bytes;
use lambd_types::invocation::Event;
use lambd_types::{AccountId, FunctionName, FunctionTarget, Qualifier, Region, RequestId, Scope, UnixMillis};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::group_commit::Write;
use crate::{Store, StoreError};

/// An accepted event.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// What to invoke.
    pub target: FunctionTarget,
    /// The event; its request id is the row's identity.
    pub event: Event,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// When it is to be tried (again).
    pub due_at: UnixMillis,
    /// Attempts that ended in a function error.
    pub function_errors: u32,
    /// Attempts that ended in throttling or a fault.
    pub system_errors: u32,
}

impl Store {
    /// Adds an event; it is on disk when this resolves.
    pub async fn push_event(&self, row: &EventRow) -> Result<(), StoreError> {
        self.events.write(EventWrite::Push(row.clone())).await
    }

    /// Up to `limit` events due at `now`, longest due first; neither those with one of the ids in
    /// `events`, nor those of `functions`.
    pub async fn due_events(
        &self,
        now: UnixMillis,
        limit: usize,
        events: &[RequestId],
        functions: &[(Scope, FunctionName)],
    ) -> Result<Vec<EventRow>, StoreError> {
        let list = |texts: Vec<String>| serde_json::Value::from(texts).to_string();
        let events = list(events.iter().map(ToString::to_string).collect());
        let name =
            |(scope, name): &(Scope, FunctionName)| format!("{}/{}/{name}", scope.account, scope.region);
        let functions = list(functions.iter().map(name).collect());
        let rows = sqlx::query(
            "SELECT * FROM async_event WHERE due_at <= ?
             AND request_id NOT IN (SELECT value FROM json_each(?))
             AND account || '/' || region || '/' || name NOT IN (SELECT value FROM json_each(?))
             ORDER BY due_at LIMIT ?",
        )
        .bind(now.0)
        .bind(events)
        .bind(functions)
        .bind(limit as i64)
        .fetch_all(&self.main)
        .await?;
        rows.iter().map(decode).collect()
    }

    /// When the next event after `now` is due.
    pub async fn next_event_due(&self, now: UnixMillis) -> Result<Option<UnixMillis>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar("SELECT MIN(due_at) FROM async_event WHERE due_at > ?")
            .bind(now.0)
            .fetch_one(&self.main)
            .await?;
        Ok(at.map(UnixMillis))
    }

    /// Records the counts of an event and when it is due again.
    pub async fn postpone_event(&self, row: &EventRow) -> Result<(), StoreError> {
        self.events.write(EventWrite::Postpone(row.clone())).await
    }

    /// Removes an event after its outcome.
    pub async fn remove_event(&self, id: &RequestId) -> Result<(), StoreError> {
        self.events.write(EventWrite::Remove(id.clone())).await
    }
}

/// A change of the queue.
#[derive(Debug)]
pub(crate) enum EventWrite {
    Push(EventRow),
    Postpone(EventRow),
    Remove(RequestId),
}

impl Write for EventWrite {
    type Output = ();

    async fn apply(batch: Vec<Self>, connection: &mut SqliteConnection) -> Result<Vec<()>, StoreError> {
        let outputs = vec![(); batch.len()];
        for write in batch {
            match write {
                Self::Push(row) => push(&row, connection).await?,
                Self::Postpone(row) => postpone(&row, connection).await?,
                Self::Remove(id) => remove(&id, connection).await?,
            }
        }
        Ok(outputs)
    }
}

async fn push(row: &EventRow, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO async_event VALUES (?,?,?,?,?,?,?,?,?,?,?,?)")
        .bind(row.event.request_id.as_str())
        .bind(row.target.scope.account.as_str())
        .bind(row.target.scope.region.as_str())
        .bind(row.target.name.as_str())
        .bind(row.target.qualifier.to_string())
        .bind(&row.event.invoked_arn)
        .bind(&row.event.trace_id)
        .bind(row.event.payload.as_ref())
        .bind(row.accepted_at.0)
        .bind(row.due_at.0)
        .bind(row.function_errors)
        .bind(row.system_errors)
        .execute(connection)
        .await?;
    Ok(())
}

async fn postpone(row: &EventRow, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let sql =
        "UPDATE async_event SET due_at = ?, function_errors = ?, system_errors = ? WHERE request_id = ?";
    sqlx::query(sql)
        .bind(row.due_at.0)
        .bind(row.function_errors)
        .bind(row.system_errors)
        .bind(row.event.request_id.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn remove(id: &RequestId, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM async_event WHERE request_id = ?").bind(id.as_str()).execute(connection).await?;
    Ok(())
}

fn decode(row: &SqliteRow) -> Result<EventRow, StoreError> {
    let damaged = |detail: String| StoreError::Damaged { what: "asynchronous event", detail };
    let text = |column: &str| row.get::<String, _>(column);
    Ok(EventRow {
        target: FunctionTarget {
            scope: Scope {
                account: AccountId::parse(&text("account")).ok_or_else(|| damaged(text("account")))?,
                region: Region::parse(&text("region")).ok_or_else(|| damaged(text("region")))?,
            },
            name: FunctionName::parse(&text("name")).map_err(|e| damaged(e.to_string()))?,
            qualifier: Qualifier::parse(&text("qualifier")).map_err(|e| damaged(e.to_string()))?,
        },
        event: Event {
            request_id: RequestId::from_stored(text("request_id")),
            payload: Bytes::from(row.get::<Vec<u8>, _>("payload")),
            invoked_arn: text("invoked_arn"),
            trace_id: text("trace_id"),
            client_context: None,
        },
        accepted_at: UnixMillis(row.get("accepted_at")),
        due_at: UnixMillis(row.get("due_at")),
        function_errors: row.get("function_errors"),
        system_errors: row.get("system_errors"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataDir;

    fn row(id: &str, due: i64) -> EventRow {
        EventRow {
            target: FunctionTarget {
                scope: Scope { account: AccountId::default_local(), region: Region::default_local() },
                name: FunctionName::parse("f").unwrap(),
                qualifier: Qualifier::parse("PROD").unwrap(),
            },
            event: Event {
                request_id: RequestId::from_stored(id.into()),
                payload: Bytes::from_static(b"{\"a\":1}"),
                invoked_arn: "arn".into(),
                trace_id: "Root=1".into(),
                client_context: None,
            },
            accepted_at: UnixMillis(1),
            due_at: UnixMillis(due),
            function_errors: 0,
            system_errors: 0,
        }
    }

    /// CORE-253: an accepted event outlives the daemon until it is removed.
    #[tokio::test]
    async fn events_wait_across_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let open = || async { Store::open(DataDir::open(dir.path()).unwrap()).await.unwrap() };
        let store = open().await;
        for (id, due) in [("late", 50), ("early", 10), ("middle", 20)] {
            store.push_event(&row(id, due)).await.unwrap();
        }
        drop(store);

        let store = open().await;
        let ids = |rows: Vec<EventRow>| {
            rows.into_iter().map(|r| r.event.request_id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ids(store.due_events(UnixMillis(30), 10, &[], &[]).await.unwrap()), ["early", "middle"]);
        let busy = [RequestId::from_stored("early".into())];
        assert_eq!(ids(store.due_events(UnixMillis(30), 10, &busy, &[]).await.unwrap()), ["middle"]);
        let function = [(row("x", 0).target.scope, row("x", 0).target.name)];
        assert_eq!(ids(store.due_events(UnixMillis(30), 10, &[], &function).await.unwrap()), [] as [&str; 0]);
        assert_eq!(store.next_event_due(UnixMillis(30)).await.unwrap(), Some(UnixMillis(50)));
        let again = EventRow { function_errors: 1, ..row("early", 40) };
        store.postpone_event(&again).await.unwrap();
        store.remove_event(&RequestId::from_stored("middle".into())).await.unwrap();
        assert_eq!(ids(store.due_events(UnixMillis(30), 10, &[], &[]).await.unwrap()), [] as [&str; 0]);
        let due = store.due_events(UnixMillis(40), 10, &[], &[]).await.unwrap();
        assert_eq!(due[0].target, row("early", 0).target, "the alias is kept");
        assert_eq!((due[0].function_errors, &due[0].event.payload[..]), (1, &b"{\"a\":1}"[..]));
    }
}
