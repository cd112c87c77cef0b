//! Opening the databases and bringing their schema up to date.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};

use crate::datadir::prepare_database;
use crate::events::{self, Events};
use crate::group_commit::GroupCommit;
use crate::packages::{Packages, blocking};
use crate::queues::QueueWrite;
use crate::topics::OutboxWrite;
use crate::{DataDir, fresh};

/// The database said no.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A statement failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The schema was written by a newer lambd.
    #[error(
        "{path} was written by a newer lambd (schema {found}, this one knows {known}); update lambd or choose another data directory"
    )]
    TooNew {
        /// The database file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A row holds something that no lambd writes.
    #[error("a stored {what} is damaged: {detail}")]
    Damaged {
        /// What kind of row.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The file system said no.
    #[error("cannot write {path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The transaction that a write shared with others failed.
    #[error(transparent)]
    Group(Arc<StoreError>),
}

impl StoreError {
    /// Whether the disk is full, which callers report differently from a fault.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Group(error) => error.is_disk_full(),
            // SQLITE_FULL
            Self::Database(sqlx::Error::Database(error)) => error.code().as_deref() == Some("13"),
            Self::Io { source, .. } => {
                matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}

/// The data directory, opened.
#[derive(Debug)]
pub struct Store {
    pub(crate) main: SqlitePool,
    pub(crate) logs: SqlitePool,
    pub(crate) topics: SqlitePool,
    pub(crate) events: Events,
    pub(crate) queues: SqlitePool,
    pub(crate) queue_writes: GroupCommit<QueueWrite>,
    pub(crate) outbox: GroupCommit<OutboxWrite>,
    packages: Packages,
    dir: DataDir,
}

const MAIN: &str = "lambd.db";
const LOGS: &str = "logs.db";
const TOPICS: &str = "topics.db";
const EVENTS: &str = "events.db";
const QUEUES: &str = "queues.db";

const MAIN_MIGRATIONS: &[&str] = &[
    include_str!("../migrations/main/0001.sql"),
    include_str!("../migrations/main/0002.sql"),
    include_str!("../migrations/main/0003.sql"),
    include_str!("../migrations/main/0004.sql"),
    include_str!("../migrations/main/0005.sql"),
    include_str!("../migrations/main/0006.sql"),
    include_str!("../migrations/main/0007.sql"),
    include_str!("../migrations/main/0008.sql"),
];
const LOGS_MIGRATIONS: &[&str] = &[include_str!("../migrations/logs/0001.sql")];
const EVENTS_MIGRATIONS: &[&str] = &[include_str!("../migrations/events/0001.sql")];
const QUEUES_MIGRATIONS: &[&str] = &[include_str!("../migrations/queues/0001.sql")];
const TOPICS_MIGRATIONS: &[&str] = &[include_str!("../migrations/topics/0001.sql")];

impl Store {
    /// Opens (or creates) the databases in `dir` and migrates them, all at the same time: each waits for the disk.
    pub async fn open(dir: DataDir) -> Result<Self, StoreError> {
        use SqliteSynchronous::{Full, Normal};
        let database = |name: &str, synchronous, migrations| {
            let path = dir.path().join(name);
            async move { open_database(&path, synchronous, migrations).await }
        };
        let (code, shared) = (dir.path().join("code"), dir.shared_code());
        let packages = async { blocking(move || Packages::open(&code, &shared)).await };
        let (main, logs, topics, events, queues, packages) = tokio::try_join!(
            database(MAIN, Full, MAIN_MIGRATIONS),
            database(LOGS, Normal, LOGS_MIGRATIONS),
            database(TOPICS, Full, TOPICS_MIGRATIONS),
            database(EVENTS, Full, EVENTS_MIGRATIONS),
            database(QUEUES, Full, QUEUES_MIGRATIONS),
            packages
        )?;
        if [&main, &logs, &topics, &events, &queues].iter().any(|opened| opened.is_new) {
            // Before anything is promised to be kept.
            fresh::sync_directory(dir.path()).await?;
        }
        let [main, logs, topics, events, queues] = [main, logs, topics, events, queues].map(|one| one.pool);
        events::adopt(&main, &events).await?;
        let events = Events::start(events).await?;
        let queue_writes = GroupCommit::start(queues.clone());
        let outbox = GroupCommit::start(topics.clone());
        Ok(Self { main, logs, topics, events, queues, queue_writes, outbox, packages, dir })
    }

    /// The databases by the names of their files.
    pub(crate) fn databases(&self) -> [(&'static str, &SqlitePool); 5] {
        [
            (MAIN, &self.main),
            (LOGS, &self.logs),
            (TOPICS, &self.topics),
            (EVENTS, &self.events.pool),
            (QUEUES, &self.queues),
        ]
    }

    /// The code packages.
    pub fn packages(&self) -> &Packages {
        &self.packages
    }

    /// Where everything is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Finishes what is being written and closes the databases.
    pub async fn close(&self) {
        for (_, pool) in self.databases() {
            pool.close().await;
        }
    }
}

/// A database that is open and migrated.
struct Opened {
    pool: SqlitePool,
    is_new: bool,
}

async fn open_database(
    path: &Path,
    synchronous: SqliteSynchronous,
    migrations: &[&'static str],
) -> Result<Opened, StoreError> {
    let is_new = fresh::make(path, migrations).await?;
    prepare_database(path).map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10))
        .pragma("cache_size", "-1024")
        // A page of a list in one go: the thread of the connection need not wait for its reader.
        .row_buffer_size(128);
    // SQLite has one writer; a second connection lets reads go on beside it.
    let pool = SqlitePoolOptions::new()
        .min_connections(0)
        .max_connections(2)
        .idle_timeout(Duration::from_secs(300))
        // A connection to a file does not break while it is idle; asking it costs as much as a statement.
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(has_ended_its_transaction(connection)))
        .connect_with(options)
        .await?;
    migrate(&pool, path, migrations).await?;
    Ok(Opened { pool, is_new })
}

/// Whether a connection can be used again. When the disk is full SQLite rolls a transaction back by itself; sqlx does not
/// hear of that, fails to roll it back, takes it for open from then on and refuses to begin another one.
async fn has_ended_its_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // Or its end is on the way: the connection's thread answers after that.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// Runs the migrations that `PRAGMA user_version` says are missing, each in a transaction of its own.
async fn migrate(pool: &SqlitePool, path: &Path, migrations: &[&'static str]) -> Result<(), StoreError> {
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(pool).await?;
    let known = migrations.len() as i64;
    if found > known {
        return Err(StoreError::TooNew { path: path.to_owned(), found, known });
    }
    for (index, script) in migrations.iter().copied().enumerate().skip(found as usize) {
        let mut transaction = pool.begin().await?;
        sqlx::raw_sql(script).execute(&mut *transaction).await?;
        let version = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {}", index + 1));
        sqlx::raw_sql(version).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}
