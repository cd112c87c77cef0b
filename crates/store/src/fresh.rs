//! Making a database that is not there yet.
//!
//! A database begins its life under another name, without any sync, is then synced once as a whole, and takes its name:
//! whoever finds it finds all of it, whenever the process was killed or the power failed. Migrating an empty file step
//! by step would be as safe and wait for the disk some twenty times.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::StoreError;
use crate::datadir::prepare_database;
use crate::packages::blocking;

/// What a database that is being made is called after its name, and what SQLite may put beside it.
const INCOMING: &str = ".incoming";
const BESIDE: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Makes the database at `path` with all of `migrations`, unless there is a file already. Says whether it did: then its
/// directory is still to be synced.
pub(crate) async fn make(path: &Path, migrations: &[&'static str]) -> Result<bool, StoreError> {
    if path.try_exists().map_err(failed(path))? {
        return Ok(false);
    }
    let incoming = with(path, INCOMING);
    // Of a process that was killed; or of a database that somebody has removed, whose log is not this one's.
    let beside =
        [path, incoming.as_path()].into_iter().flat_map(|path| BESIDE.map(|suffix| with(path, suffix)));
    for name in beside.chain([incoming.clone()]) {
        remove(&name).map_err(failed(&name))?;
    }
    prepare_database(&incoming).map_err(failed(&incoming))?;
    fill(&incoming, migrations).await?;
    let (from, to) = (incoming.clone(), path.to_owned());
    blocking(move || {
        File::open(&from).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&from, &to))
    })
    .await
    .map_err(failed(&incoming))?;
    Ok(true)
}

/// Makes the names in a directory survive a power cut.
pub(crate) async fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    let path = directory.to_owned();
    blocking(move || File::open(path).and_then(|file| file.sync_all())).await.map_err(failed(directory))
}

/// Everything in one transaction. The log comes with the last step, because one for a file that is thrown away if
/// anything goes wrong would be work for nothing.
async fn fill(path: &Path, migrations: &[&'static str]) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off);
    let mut connection = options.connect().await?;
    let scripts = migrations.join("\n");
    let known = migrations.len();
    let script =
        format!("BEGIN;\n{scripts}\nPRAGMA user_version = {known};\nCOMMIT;\nPRAGMA journal_mode = WAL;");
    sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataDir, Store};

    /// All that a schema consists of, as SQLite keeps it.
    async fn schema(store: &Store) -> Vec<(String, Vec<String>, i64, String)> {
        let mut found = Vec::new();
        for (name, pool) in store.databases() {
            let texts = sqlx::query_scalar(
                "SELECT type || ' ' || name || ': ' || COALESCE(sql, '') FROM sqlite_master ORDER BY 1",
            )
            .fetch_all(pool)
            .await
            .unwrap();
            let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(pool).await.unwrap();
            let journal = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(pool).await.unwrap();
            found.push((name.to_owned(), texts, version, journal));
        }
        found
    }

    async fn open(directory: &Path) -> Store {
        Store::open(DataDir::open(directory).unwrap()).await.unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn the_log_of_a_database_that_was_removed_is_not_the_next_ones() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        sqlx::raw_sql("CREATE TABLE of_the_old_one (value)").execute(&store.main).await.unwrap();
        let log = fs::read(dir.path().join("lambd.db-wal")).unwrap();
        assert!(!log.is_empty());
        store.close().await;
        drop(store);
        fs::remove_file(dir.path().join("lambd.db")).unwrap();
        fs::write(dir.path().join("lambd.db-wal"), log).unwrap();
        let store = open(dir.path()).await;
        assert!(schema(&store).await.iter().all(|(_, texts, ..)| !texts.join("").contains("of_the_old_one")));
        store.close().await;
    }

    #[tokio::test]
    async fn a_database_made_at_once_is_the_one_that_is_migrated_step_by_step() {
        let (made, migrated) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let made = open(made.path()).await;
        for (name, _) in made.databases() {
            // Whatever is there is migrated, an empty file too.
            File::create(migrated.path().join(name)).unwrap();
        }
        let migrated = open(migrated.path()).await;
        assert_eq!(schema(&made).await, schema(&migrated).await);
        assert!(schema(&made).await.iter().all(|(.., journal)| journal == "wal"));
        made.close().await;
        migrated.close().await;
    }

    /// Whatever of a first start had happened: every set of databases that have their names, and every remainder of one
    /// that has not.
    #[tokio::test]
    async fn a_first_start_that_was_cut_short_is_finished_by_the_next() {
        let whole = tempfile::tempdir().unwrap();
        let store = open(whole.path()).await;
        let expected = schema(&store).await;
        let databases: Vec<String> = store.databases().iter().map(|(name, _)| (*name).to_owned()).collect();
        store.close().await;
        drop(store);
        let expected_names = names(whole.path());
        let remainders: [&[(&str, &[u8])]; 4] = [
            &[("", b"")],
            &[("", b"SQLite format 3\0 and then the power failed")],
            &[("", b"half"), ("-journal", b"of another file")],
            &[("", b"half"), ("-wal", b"of another file"), ("-shm", b"")],
        ];
        for there in 0..databases.len() {
            for remainder in remainders {
                let dir = tempfile::tempdir().unwrap();
                for name in &databases[..there] {
                    fs::copy(whole.path().join(name), dir.path().join(name)).unwrap();
                }
                for name in &databases[there..] {
                    for (suffix, content) in remainder {
                        let name = format!("{name}{INCOMING}{suffix}");
                        fs::write(dir.path().join(name), content).unwrap();
                    }
                }
                let store = open(dir.path()).await;
                assert_eq!(schema(&store).await, expected, "{there} {remainder:?}");
                store.close().await;
                drop(store);
                assert_eq!(names(dir.path()), expected_names, "{there} {remainder:?}");
            }
        }
    }
}
