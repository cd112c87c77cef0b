//! The limits of the service, with today's values as defaults (the guide's values of 2020 where they
//! have not moved). Sizes are in bytes unless the name says otherwise.

/// Largest request or response payload of a synchronous invocation: 6 MB (CORE-082).
pub const SYNC_PAYLOAD: usize = 6 * 1024 * 1024;
/// Largest response of a function that streams it: 200 MB.
pub const STREAMED_RESPONSE: u64 = 200 * 1024 * 1024;
/// Largest payload of an asynchronous invocation: 1 MB today, 256 KB in the guide (API-631).
pub const ASYNC_PAYLOAD: usize = 1024 * 1024;
/// Largest payload of `InvokeAsync`: 256 KB (API-631).
pub const INVOKE_ASYNC_PAYLOAD: usize = 256 * 1024;
/// Largest deployment package uploaded directly: 50 MB zipped (CORE-083).
pub const CODE_SIZE_ZIPPED: u64 = 50 * 1024 * 1024;
/// Largest deployment package unpacked, layers included: 250 MB (CORE-083).
pub const CODE_SIZE_UNZIPPED: u64 = 250 * 1024 * 1024;
/// Storage for all packages of an account: 75 GB (CORE-072).
pub const TOTAL_CODE_SIZE: u64 = 75 * 1024 * 1024 * 1024;
/// Environment variables of a function, measured as compact JSON: 4 KB (CORE-076, LANG2-192).
pub const ENVIRONMENT: usize = 4096;
/// Instances that may run at once in an account and region (CORE-071).
pub const CONCURRENT_EXECUTIONS: usize = 1000;
/// Requests in a second that each of them counts for (CORE-080, CORE-081).
pub const REQUESTS_PER_EXECUTION: u32 = 10;
/// Executions of an account and region that functions cannot reserve (CORE-167).
pub const UNRESERVED_CONCURRENCY: u64 = 100;
/// Most of a log that `LogType=Tail` returns: the last 4 KB (CORE-057).
pub const LOG_TAIL: usize = 4096;
/// Items in one page of `ListFunctions`, whatever `MaxItems` says (API-008).
pub const LIST_FUNCTIONS_PAGE: usize = 50;
/// Layers of a function (CORE-078).
pub const LAYERS: usize = 5;
/// Items in one page of `ListLayers` and `ListLayerVersions` (API-131, API-132).
pub const LIST_LAYERS_PAGE: usize = 50;
/// Bytes of a resource policy (CORE-077).
pub const POLICY: usize = 20 * 1024;
/// Items in one page of `ListEventSourceMappings`, whatever `MaxItems` says (API-628).
pub const LIST_MAPPINGS_PAGE: usize = 100;
/// Items in one page of `ListProvisionedConcurrencyConfigs` (API-007).
pub const LIST_PROVISIONED_PAGE: usize = 50;
/// Seconds that a download link from `GetFunction` stays valid: 10 minutes (API-116).
pub const DOWNLOAD_LINK_SECONDS: u64 = 600;
/// Seconds that an instance may take to initialise before the init phase is cut (RT-50).
pub const INIT_SECONDS: u64 = 10;
/// The same of a provisioned instance, which no event waits for; where the function's timeout is longer, that.
pub const PROVISIONED_INIT_SECONDS: u64 = 130;
/// Milliseconds that the process of an instance may take to end by itself when the instance is retired. The
/// service gives them to functions with an internal extension, and none to those without any extension.
pub const SHUTDOWN_MILLIS: u64 = 500;
/// The same where external extensions are to be told of the end as well: for the runtime and them together.
pub const SHUTDOWN_WITH_EXTENSIONS_MILLIS: u64 = 2000;
/// Data in `X-Amz-Client-Context`, after decoding (API-125.5).
pub const CLIENT_CONTEXT: usize = 3583;
/// Files and directories in one deployment package; a guard of ours against archives made of names.
pub const CODE_ENTRIES: usize = 100_000;
