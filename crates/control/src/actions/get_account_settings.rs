//! `GetAccountSettings` (API-113).

use http::StatusCode;
use lambd_api::ApiError;
use lambd_api::responses::attached::{AccountLimit, AccountSettings, AccountUsage};
use lambd_http::{AwsResponse, RequestHead};

use super::reserving;
use crate::Control;
use crate::context::store_error;
use crate::service::success;

pub(crate) async fn call(control: &Control, head: &RequestHead) -> Result<AwsResponse, ApiError> {
    let scope = &head.caller.scope;
    let options = control.options();
    let answer = AccountSettings {
        account_limit: AccountLimit {
            total_code_size: options.total_code_size,
            code_size_unzipped: options.unpack.bytes,
            code_size_zipped: options.code_size_zipped,
            concurrent_executions: options.concurrent_executions as u64,
            unreserved_concurrent_executions: reserving::unreserved(control, scope, None).await?,
        },
        account_usage: AccountUsage {
            total_code_size: control.store().code_size(scope).await.map_err(store_error)?,
            function_count: control.store().function_count(scope).await.map_err(store_error)?,
        },
    };
    success(StatusCode::OK, &answer)
}
