//! What changes leave to do behind their answer: unpacking the package, merging the layers; for a version with SnapStart,
//! making what its instances begin with.
//!
//! The row says that work is left, and what runs meanwhile. So whatever happens to the daemon, the work is done
//! by it or by the next one, and a version ends up active or failed.

use std::sync::Arc;
use std::time::Duration;

use lambd_store::StoreError;
use lambd_store::functions::{FunctionRow, RowChange, Updated};
use lambd_store::packages::PackageError;
use lambd_types::{FunctionKey, Reason, ReasonCode, RevisionId, Sha256Digest};

use crate::{Control, condition, functions};

/// Wait after the store failed.
const AFTER_FAULT: Duration = Duration::from_secs(1);

/// The work that one change left: a package to unpack for `$LATEST`, for a version, or for both.
#[derive(Debug, Clone)]
struct Work {
    /// Any version of the function.
    function: FunctionKey,
    build: RevisionId,
    code: Sha256Digest,
    layers: Vec<Sha256Digest>,
}

impl Work {
    fn of(row: &FunctionRow) -> Self {
        let layers = row.configuration.layers.iter().map(|layer| layer.code).collect();
        Self { function: row.key.clone(), build: row.build.clone(), code: row.code, layers }
    }

    /// Whether a version of the function waits for it.
    fn includes(&self, row: &FunctionRow) -> bool {
        row.build == self.build
    }
}

impl Control {
    /// Does the work that the change of `row`, and of versions published with it, left.
    pub(crate) fn prepare(&self, row: &FunctionRow) {
        tokio::spawn(finish(self.clone(), Work::of(row)));
    }

    /// Does what an earlier daemon left. Returns how many versions wait for it.
    pub async fn resume(&self) -> Result<usize, StoreError> {
        let rows = self.store().unsettled_functions().await?;
        for row in &rows {
            self.prepare(row);
        }
        Ok(rows.len())
    }
}

async fn finish(control: Control, work: Work) {
    // The semaphore is never closed.
    let room = control.unpacking().acquire().await;
    let outcome = unpack(&control, &work).await.map_err(reason);
    drop(room);
    if let Err(reason) = &outcome {
        tracing::warn!(function = %work.function.name, reason = %reason.text, "a package cannot be unpacked");
    }
    // A version that failed begins with nothing.
    let optimised = |row: &FunctionRow| outcome.is_ok() && is_optimised(row);
    record(&control, &work, &outcome, |row| !optimised(row)).await;
    if outcome.is_ok() {
        // No others: a version that was published meanwhile waits for work of its own.
        let done = optimise(&control, &work).await;
        record(&control, &work, &outcome, |row| done.contains(&row.key)).await;
    }
}

/// Whether instances of this version are to begin with more than their program.
fn is_optimised(row: &FunctionRow) -> bool {
    functions::has_snap_start(row.key.version, &row.configuration)
}

/// Makes what instances of versions begin with that wait for it. Whatever comes of it, they can run.
async fn optimise(control: &Control, work: &Work) -> Vec<FunctionKey> {
    let (scope, name) = (&work.function.scope, &work.function.name);
    let waiting = control.store().unsettled_versions(scope, name).await.unwrap_or_else(|error| {
        tracing::error!(function = %name, %error, "cannot look for versions with SnapStart");
        Vec::new()
    });
    for row in waiting.iter().filter(|row| work.includes(row) && is_optimised(row)) {
        match (control.load_as(row, &functions::as_it_is(row)).await, control.engine()) {
            (Ok(function), Ok(engine)) => {
                engine.optimise(Arc::new(function)).await;
                if let Ok(None) = control.store().function(&row.key).await {
                    // Deleted meanwhile: the engine may have forgotten it before it made something.
                    engine.remove_version(&row.key);
                }
            }
            (Err(error), _) => {
                tracing::warn!(function = %name, %error, "cannot load a version with SnapStart");
            }
            // It makes up for it when the first instance is needed.
            (_, Err(_)) => {}
        }
    }
    waiting.into_iter().filter(|row| work.includes(row) && is_optimised(row)).map(|row| row.key).collect()
}

/// Settles those versions, whatever happens to the database meanwhile.
async fn record(
    control: &Control,
    work: &Work,
    outcome: &Result<(), Reason>,
    which: impl Fn(&FunctionRow) -> bool,
) {
    while let Err(error) = settle(control, work, outcome, &which).await {
        tracing::error!(function = %work.function.name, %error, "cannot record the state of a function; trying again");
        tokio::time::sleep(AFTER_FAULT).await;
    }
}

async fn unpack(control: &Control, work: &Work) -> Result<(), PackageError> {
    let packages = control.store().packages();
    packages.prepare(work.code, control.options().unpack).await?;
    packages.layers(work.layers.clone()).await.map(drop)
}

/// Records the outcome with those versions that waited for it, and makes them what runs.
async fn settle(
    control: &Control,
    work: &Work,
    outcome: &Result<(), Reason>,
    which: impl Fn(&FunctionRow) -> bool,
) -> Result<(), StoreError> {
    let _changes = control.changes().await;
    loop {
        let waiting = control.store().unsettled_versions(&work.function.scope, &work.function.name).await?;
        let before: Vec<FunctionRow> =
            waiting.into_iter().filter(|row| work.includes(row) && which(row)).collect();
        let after: Vec<FunctionRow> = before.iter().map(|row| settled(row, outcome)).collect();
        let changes: Vec<RowChange<'_>> =
            after.iter().zip(&before).map(|(row, old)| RowChange::Update(row, &old.revision)).collect();
        if changes.is_empty() {
            // Deleted meanwhile.
            return Ok(());
        }
        let _unsure = control.unsure(&after);
        if control.store().change_functions(&changes).await? == Updated::Yes {
            let rows: Vec<&FunctionRow> = after.iter().collect();
            // It tells its failure itself; the versions are then loaded when they are needed.
            let _ = control.publish_change(&rows).await;
            control.publish_provisioned(&work.function.scope, &work.function.name).await;
            return Ok(());
        }
    }
}

/// A row after its work. What could not be replaced is again what the row says.
fn settled(row: &FunctionRow, outcome: &Result<(), Reason>) -> FunctionRow {
    let mut after = row.clone();
    after.revision = RevisionId::random();
    after.condition = condition::settled(&row.condition, outcome.clone());
    if let Some(before) = after.in_force.take()
        && outcome.is_err()
    {
        (after.build, after.code, after.code_size) = (before.build, before.code, before.code_size);
        after.configuration = before.configuration;
    }
    after
}

fn reason(error: PackageError) -> Reason {
    let code = if error.is_bad_package() {
        ReasonCode::InvalidZipFileException
    } else {
        tracing::error!(%error, "a package cannot be unpacked");
        ReasonCode::InternalError
    };
    Reason { code, text: format!("The package cannot be unpacked: {error}.") }
}
