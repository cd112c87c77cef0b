//! How asynchronous events are treated, in memory: each event asks for it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lambd_store::StoreError;
use lambd_store::attached::{EventInvoke, Holder, Recursion};
use lambd_types::FunctionTarget;

use crate::Control;

/// Settings of asynchronous events for a function, a version or an alias.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventSettings {
    /// What was configured for them.
    pub invoke: EventInvoke,
    /// Whether the function may cause itself again and again.
    pub may_recurse: bool,
}

/// Those that were asked for, until any changes: changes are rare.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    settings: HashMap<FunctionTarget, EventSettings>,
    /// Counts changes, so that what was read before one is not remembered after it.
    generation: u64,
}

impl Remembered {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has changed.
    pub(crate) fn forget(&self) {
        let mut inner = self.inner();
        inner.generation += 1;
        inner.settings.clear();
    }
}

impl Control {
    /// How asynchronous events for a target are treated now.
    ///
    /// # Errors
    /// The database failed.
    pub async fn event_settings(&self, target: &FunctionTarget) -> Result<EventSettings, StoreError> {
        let generation = {
            let inner = self.remembered_event_settings().inner();
            if let Some(found) = inner.settings.get(target) {
                return Ok(found.clone());
            }
            inner.generation
        };
        let FunctionTarget { scope, name, qualifier } = target.clone();
        let holder = Holder { scope, name, qualifier: Some(qualifier) };
        let invoke: Option<EventInvoke> = self.store().attached(&holder).await?;
        let function = Holder { qualifier: None, ..holder };
        let recursion: Option<Recursion> = self.store().attached(&function).await?;
        let found = EventSettings {
            invoke: invoke.unwrap_or_default(),
            may_recurse: recursion.is_some_and(|recursion| recursion.0 == "Allow"),
        };
        let mut inner = self.remembered_event_settings().inner();
        if inner.generation == generation {
            inner.settings.insert(target.clone(), found.clone());
        }
        Ok(found)
    }
}
