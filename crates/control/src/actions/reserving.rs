//! What the actions on reserved concurrency share.

use lambd_api::ApiError;
use lambd_api::responses::attached::Concurrency;
use lambd_store::attached::ReservedConcurrency;
use lambd_types::{FunctionName, Scope};

use crate::Control;
use crate::context::store_error;
use crate::functions::Target;

/// The reservation of a function, in the client's form.
pub(super) async fn reserved(control: &Control, function: &Target) -> Result<Concurrency, ApiError> {
    let holder = function.unqualified_holder();
    let found = control.store().attached::<ReservedConcurrency>(&holder).await.map_err(store_error)?;
    Ok(Concurrency { reserved_concurrent_executions: found.map(|reserved| reserved.0) })
}

/// Executions of an account and region that no function has for itself, `except` aside.
pub(super) async fn unreserved(
    control: &Control,
    scope: &Scope,
    except: Option<&FunctionName>,
) -> Result<u64, ApiError> {
    let claimed = control.store().claimed_concurrency(scope, except).await.map_err(store_error)?;
    Ok((control.options().concurrent_executions as u64).saturating_sub(claimed))
}
