//! The statements that a database executes, as its driver tells them.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

/// A statement that was executed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Executed {
    /// Its text.
    pub(crate) sql: String,
    /// Rows that it returned.
    pub(crate) rows: u64,
}

static EXECUTED: Mutex<Vec<Executed>> = Mutex::new(Vec::new());

/// What was executed since this was emptied last.
pub(crate) fn executed() -> MutexGuard<'static, Vec<Executed>> {
    EXECUTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to collect statements, of all threads.
pub(crate) fn collect() {
    tracing::subscriber::set_global_default(Statements).unwrap();
}

/// Collects what the database's driver tells about statements.
struct Statements;

impl Subscriber for Statements {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn event(&self, event: &Event<'_>) {
        let mut found = Executed::default();
        event.record(&mut found);
        executed().push(found);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Visit for Executed {
    fn record_str(&mut self, field: &Field, value: &str) {
        // A short statement is told in the summary alone.
        match field.name() {
            "summary" if self.sql.is_empty() => self.sql = value.to_owned(),
            "db.statement" if !value.is_empty() => self.sql = value.trim().to_owned(),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            self.rows = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
