//! How many events an account and region, and a function that has executions of its own, may have in progress.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lambd_types::{FunctionName, Scope};

use crate::InvokeError;

/// Counts events in progress.
#[derive(Debug, Clone)]
pub(crate) struct Concurrency {
    accounts: Arc<Mutex<HashMap<Scope, Account>>>,
    limit: usize,
}

/// One account and region.
#[derive(Debug, Default)]
struct Account {
    /// Those with events in progress or with a reservation.
    functions: HashMap<FunctionName, Function>,
    /// Events in progress of functions without a reservation.
    shared: usize,
    /// The sum of all reservations.
    reserved: usize,
}

#[derive(Debug, Default)]
struct Function {
    in_use: usize,
    reserved: Option<usize>,
}

/// The right to process one event; it gives itself back.
#[derive(Debug)]
pub(crate) struct Permit {
    concurrency: Concurrency,
    scope: Scope,
    name: FunctionName,
}

impl Concurrency {
    pub(crate) fn new(limit: usize) -> Self {
        Self { accounts: Arc::default(), limit }
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Scope, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit, or the error of a full function (CORE-166) or a full account (CORE-305).
    pub(crate) fn acquire(&self, scope: &Scope, name: &FunctionName) -> Result<Permit, InvokeError> {
        let mut accounts = self.accounts();
        if !accounts.contains_key(scope) {
            accounts.insert(scope.clone(), Account::default());
        }
        if let Some(account) = accounts.get_mut(scope) {
            account.enter(name, self.limit)?;
        }
        Ok(Permit { concurrency: self.clone(), scope: scope.clone(), name: name.clone() })
    }

    /// Gives a function executions of its own, or takes them back with `None`. Events in progress count at once
    /// where they belong now.
    pub(crate) fn reserve(&self, scope: &Scope, name: &FunctionName, executions: Option<usize>) {
        let mut accounts = self.accounts();
        let account = accounts.entry(scope.clone()).or_default();
        let function = account.functions.entry(name.clone()).or_default();
        match std::mem::replace(&mut function.reserved, executions) {
            Some(before) => account.reserved -= before,
            None => account.shared -= function.in_use,
        }
        match executions {
            Some(now) => account.reserved += now,
            None => account.shared += function.in_use,
        }
        account.forget_idle(name);
    }
}

impl Account {
    fn enter(&mut self, name: &FunctionName, limit: usize) -> Result<(), InvokeError> {
        let shared = limit.saturating_sub(self.reserved);
        match self.functions.get_mut(name) {
            Some(Function { in_use, reserved: Some(reserved) }) => {
                if *in_use >= *reserved {
                    return Err(InvokeError::Reserved { limit: *reserved });
                }
                *in_use += 1;
                return Ok(());
            }
            _ if self.shared >= shared => return Err(InvokeError::Throttled { limit: shared }),
            Some(function) => function.in_use += 1,
            None => {
                self.functions.insert(name.clone(), Function { in_use: 1, reserved: None });
            }
        }
        self.shared += 1;
        Ok(())
    }

    fn leave(&mut self, name: &FunctionName) {
        let Some(function) = self.functions.get_mut(name) else { return };
        function.in_use -= 1;
        if function.reserved.is_none() {
            self.shared -= 1;
        }
        self.forget_idle(name);
    }

    fn forget_idle(&mut self, name: &FunctionName) {
        if self.functions.get(name).is_some_and(|f| f.in_use == 0 && f.reserved.is_none()) {
            self.functions.remove(name);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut accounts = self.concurrency.accounts();
        if let Some(account) = accounts.get_mut(&self.scope) {
            account.leave(&self.name);
            if account.functions.is_empty() {
                accounts.remove(&self.scope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lambd_types::{AccountId, Region};

    use super::*;

    fn scope(region: &str) -> Scope {
        Scope { account: AccountId::default_local(), region: Region::parse(region).unwrap() }
    }

    fn name(text: &str) -> FunctionName {
        FunctionName::parse(text).unwrap()
    }

    fn account_is_full(limit: usize) -> InvokeError {
        InvokeError::Throttled { limit }
    }

    #[test]
    fn permits_come_back_and_scopes_are_apart() {
        let (here, there, f) = (scope("us-east-1"), scope("us-east-2"), name("f"));
        let concurrency = Concurrency::new(1);
        let held = concurrency.acquire(&here, &f).unwrap();
        assert_eq!(concurrency.acquire(&here, &name("g")).unwrap_err(), account_is_full(1));
        concurrency.acquire(&there, &f).unwrap();
        drop(held);
        concurrency.acquire(&here, &f).unwrap();
        assert!(concurrency.accounts().is_empty(), "nothing is left of functions at rest");
    }

    /// CORE-166, CORE-168, CORE-169: others cannot use what is reserved, nor the function more than that.
    #[test]
    fn reserved_executions_are_for_one_function_alone() {
        let (here, f, g) = (scope("us-east-1"), name("f"), name("g"));
        let concurrency = Concurrency::new(3);
        concurrency.reserve(&here, &f, Some(2));
        let _other = concurrency.acquire(&here, &g).unwrap();
        assert_eq!(concurrency.acquire(&here, &g).unwrap_err(), account_is_full(1));
        let held = [concurrency.acquire(&here, &f).unwrap(), concurrency.acquire(&here, &f).unwrap()];
        assert_eq!(concurrency.acquire(&here, &f).unwrap_err(), InvokeError::Reserved { limit: 2 });
        drop(held);
        concurrency.reserve(&here, &f, Some(0));
        assert_eq!(concurrency.acquire(&here, &f).unwrap_err(), InvokeError::Reserved { limit: 0 });
        let _more = [concurrency.acquire(&here, &g).unwrap(), concurrency.acquire(&here, &g).unwrap()];
        concurrency.reserve(&here, &f, None);
        assert_eq!(concurrency.acquire(&here, &f).unwrap_err(), account_is_full(3));
    }

    #[test]
    fn events_in_progress_count_where_they_belong_now() {
        let (here, f, g) = (scope("us-east-1"), name("f"), name("g"));
        let concurrency = Concurrency::new(3);
        let held = concurrency.acquire(&here, &f).unwrap();
        concurrency.reserve(&here, &f, Some(1));
        assert_eq!(concurrency.acquire(&here, &f).unwrap_err(), InvokeError::Reserved { limit: 1 });
        let others = [concurrency.acquire(&here, &g).unwrap(), concurrency.acquire(&here, &g).unwrap()];
        concurrency.reserve(&here, &f, None);
        assert_eq!(concurrency.acquire(&here, &g).unwrap_err(), account_is_full(3));
        drop((held, others));
        assert!(concurrency.accounts().is_empty());
    }
}
