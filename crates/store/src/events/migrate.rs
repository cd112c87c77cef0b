//! Events of a lambd that kept them in its main database.

use std::collections::HashSet;

use sqlx::Row as _;
use sqlx::sqlite::SqlitePool;

use crate::StoreError;

/// Moves the events of `main` into `events`. They are written there before they are removed here; those that were
/// written by a daemon that was killed in between are known by their request ids.
pub(crate) async fn adopt(main: &SqlitePool, events: &SqlitePool) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT * FROM async_event ORDER BY accepted_at").fetch_all(main).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let there = sqlx::query_scalar("SELECT request_id FROM event").fetch_all(events).await?;
    let there: HashSet<String> = there.into_iter().collect();
    let mut transaction = events.begin().await?;
    for row in &rows {
        let text = |column: &str| row.get::<String, _>(column);
        if there.contains(&text("request_id")) {
            continue;
        }
        sqlx::query("INSERT INTO queue (account, region, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(text("account"))
            .bind(text("region"))
            .bind(text("name"))
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO event (queue, stage, due_at, function_errors, system_errors, accepted_at, request_id,
             qualifier, caller, invoked_arn, trace_id, payload)
             SELECT id, 0, ?, ?, ?, ?, ?, ?, '', ?, ?, ? FROM queue WHERE account = ? AND region = ? AND name = ?",
        )
        .bind(row.get::<i64, _>("due_at"))
        .bind(row.get::<i64, _>("function_errors"))
        .bind(row.get::<i64, _>("system_errors"))
        .bind(row.get::<i64, _>("accepted_at"))
        .bind(text("request_id"))
        .bind(text("qualifier"))
        .bind(text("invoked_arn"))
        .bind(text("trace_id"))
        .bind(row.get::<Vec<u8>, _>("payload"))
        .bind(text("account"))
        .bind(text("region"))
        .bind(text("name"))
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    sqlx::query("DELETE FROM async_event").execute(main).await?;
    tracing::info!(events = rows.len(), "asynchronous events have moved into a database of their own");
    Ok(())
}
