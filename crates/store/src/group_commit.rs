//! Writes of many callers in one transaction, with one sync of the disk.
//!
//! A commit costs a sync, some tenths of a millisecond to several milliseconds, whatever is in it. While one is on its
//! way, further writes gather, and the next takes all of them: nobody waits longer than for two commits, and
//! the more callers there are, the less each costs.

use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;

/// Most writes in one transaction: the first of them is not to wait for a flood behind it.
const BATCH: usize = 512;
/// Writes that may wait in all before callers wait to hand theirs over.
const WAITING: usize = 2 * BATCH;

/// One write of a kind that is committed in groups.
pub(crate) trait Write: Send + Sized + 'static {
    /// What its caller gets back.
    type Output: Send + 'static;

    /// Applies the writes in their order, in a transaction that is open, and returns one output for each.
    ///
    /// # Errors
    /// The transaction is rolled back, and each caller gets the error: it must be one of the database, not of one write.
    fn apply(
        batch: Vec<Self>,
        connection: &mut SqliteConnection,
    ) -> impl Future<Output = Result<Vec<Self::Output>, StoreError>> + Send;
}

struct Waiting<W: Write> {
    write: W,
    done: oneshot::Sender<Result<W::Output, StoreError>>,
}

/// Commits writes of one kind. Dropping it ends its task after what was handed over.
#[derive(Debug)]
pub(crate) struct GroupCommit<W: Write> {
    waiting: mpsc::Sender<Waiting<W>>,
}

impl<W: Write> GroupCommit<W> {
    /// Starts the task that commits into the database of `pool`.
    pub(crate) fn start(pool: SqlitePool) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(commit_all(pool, receiver));
        Self { waiting: sender }
    }

    /// Commits one write; it is on disk when this resolves. A caller that goes away does not take it back.
    ///
    /// # Errors
    /// Nothing of it is stored.
    pub(crate) async fn write(&self, write: W) -> Result<W::Output, StoreError> {
        let (done, committed) = oneshot::channel();
        let closed = || StoreError::Database(sqlx::Error::PoolClosed);
        self.waiting.send(Waiting { write, done }).await.map_err(|_| closed())?;
        committed.await.map_err(|_| closed())?
    }
}

async fn commit_all<W: Write>(pool: SqlitePool, mut receiver: mpsc::Receiver<Waiting<W>>) {
    let mut gathered = Vec::new();
    while receiver.recv_many(&mut gathered, BATCH).await > 0 {
        let (writes, callers): (Vec<_>, Vec<_>) =
            gathered.drain(..).map(|Waiting { write, done }| (write, done)).unzip();
        match commit(&pool, writes).await {
            Ok(outputs) => {
                debug_assert_eq!(outputs.len(), callers.len(), "one output for each write");
                for (caller, output) in callers.into_iter().zip(outputs) {
                    let _ = caller.send(Ok(output));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for caller in callers {
                    let _ = caller.send(Err(StoreError::Group(error.clone())));
                }
            }
        }
    }
}

async fn commit<W: Write>(pool: &SqlitePool, writes: Vec<W>) -> Result<Vec<W::Output>, StoreError> {
    // At once: a transaction that begins by reading can find that another one has written meanwhile.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let outputs = W::apply(writes, &mut transaction).await?;
    transaction.commit().await?;
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

    use super::*;

    static GROUPS: AtomicUsize = AtomicUsize::new(0);

    struct Add(i64);

    impl Write for Add {
        type Output = i64;

        async fn apply(batch: Vec<Self>, connection: &mut SqliteConnection) -> Result<Vec<i64>, StoreError> {
            GROUPS.fetch_add(1, Ordering::Relaxed);
            let mut outputs = Vec::new();
            for Add(number) in batch {
                sqlx::query("INSERT INTO number VALUES (?)").bind(number).execute(&mut *connection).await?;
                outputs.push(number);
            }
            Ok(outputs)
        }
    }

    #[tokio::test]
    async fn writes_of_many_share_a_transaction_and_fail_together() {
        let dir = tempfile::tempdir().unwrap();
        let options =
            SqliteConnectOptions::new().filename(dir.path().join("numbers.db")).create_if_missing(true);
        let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
        sqlx::raw_sql("CREATE TABLE number (value INTEGER PRIMARY KEY)").execute(&pool).await.unwrap();
        let numbers = GroupCommit::start(pool.clone());

        let written =
            futures_util::future::join_all((0..1000).map(|number| numbers.write(Add(number)))).await;
        let written: Vec<_> = written.into_iter().map(Result::unwrap).collect();
        assert_eq!(written, (0..1000).collect::<Vec<_>>(), "each caller has the output of its own write");
        assert!(GROUPS.load(Ordering::Relaxed) < 20, "{GROUPS:?} transactions for 1000 writes");

        // 7 is there already: the group fails, and nothing of it is stored.
        let (new, again) = tokio::join!(numbers.write(Add(5000)), numbers.write(Add(7)));
        assert!(matches!((new, again), (Err(StoreError::Group(_)), Err(StoreError::Group(_)))));
        assert_eq!(numbers.write(Add(5001)).await.unwrap(), 5001, "the next group is not concerned");
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM number").fetch_one(&pool).await.unwrap();
        assert_eq!(count, 1001);

        pool.close().await;
        assert!(numbers.write(Add(1)).await.is_err());
    }
}
