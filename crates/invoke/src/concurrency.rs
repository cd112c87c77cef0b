//! How many events an account and region may have in progress.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lambd_types::Scope;

use crate::InvokeError;

/// Counts events in progress.
#[derive(Debug, Clone)]
pub(crate) struct Concurrency {
    in_use: Arc<Mutex<HashMap<Scope, usize>>>,
    limit: usize,
}

/// The right to process one event; it gives itself back.
#[derive(Debug)]
pub(crate) struct Permit {
    concurrency: Concurrency,
    scope: Scope,
}

impl Concurrency {
    pub(crate) fn new(limit: usize) -> Self {
        Self { in_use: Arc::default(), limit }
    }

    /// A permit, or the error of a full account (CORE-305).
    pub(crate) fn acquire(&self, scope: &Scope) -> Result<Permit, InvokeError> {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        match in_use.get_mut(scope) {
            Some(count) if *count >= self.limit => return Err(InvokeError::Throttled { limit: self.limit }),
            Some(count) => *count += 1,
            None if self.limit == 0 => return Err(InvokeError::Throttled { limit: 0 }),
            None => {
                in_use.insert(scope.clone(), 1);
            }
        }
        Ok(Permit { concurrency: self.clone(), scope: scope.clone() })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut in_use = self.concurrency.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = in_use.get_mut(&self.scope) {
            *count -= 1;
            if *count == 0 {
                in_use.remove(&self.scope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lambd_types::{AccountId, Region};

    use super::*;

    #[test]
    fn permits_come_back_and_scopes_are_apart() {
        let scope = |region: &str| Scope {
            account: AccountId::default_local(),
            region: Region::parse(region).unwrap(),
        };
        let concurrency = Concurrency::new(1);
        let held = concurrency.acquire(&scope("us-east-1")).unwrap();
        assert_eq!(
            concurrency.acquire(&scope("us-east-1")).unwrap_err(),
            InvokeError::Throttled { limit: 1 }
        );
        concurrency.acquire(&scope("us-east-2")).unwrap();
        drop(held);
        concurrency.acquire(&scope("us-east-1")).unwrap();
    }
}
