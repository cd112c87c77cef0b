//! The operations that lambd offers.

use http::Method;

/// Whether an operation leaves things as they are. Changes run to their end even if the client hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It only looks.
    Read,
    /// It changes something.
    Change,
    /// It runs a function.
    Invoke,
}

/// What is known of an operation.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) effect: Effect,
    pub(super) method: Method,
    /// The path, with labels in braces and perhaps a pair of the query that belongs to it.
    pub(super) path: &'static str,
    /// What a user should know, for docs/compatibility.md.
    pub(super) state: &'static str,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident: $effect:ident $method:ident $path:literal, $state:literal;)+) => {
        /// Every operation of the Lambda API that lambd offers. Adding one: a line in `operation/offered.rs`
        /// instead of the one in `operation/unoffered.rs`, its shapes in `requests` and `responses`, a file
        /// in `control/actions`, and `cargo xtask generate`; the compiler names the rest.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $($(#[$doc])* $name,)+
        }

        impl Operation {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            pub(super) fn row(self) -> Row {
                match self {
                    $(Self::$name => Row {
                        name: stringify!($name),
                        effect: Effect::$effect,
                        method: Method::$method,
                        path: $path,
                        state: $state,
                    },)+
                }
            }
        }
    };
}

operations! {
    /// API-101.
    AddLayerVersionPermission: Change POST "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy", "with `OrganizationId`, `RevisionId`";
    /// API-102.
    AddPermission: Change POST "/2015-03-31/functions/{FunctionName}/policy", "on functions, versions and aliases; policies are kept, not enforced";
    /// API-103.
    CreateAlias: Change POST "/2015-03-31/functions/{FunctionName}/aliases", "with weighted routing";
    /// API-104.
    CreateEventSourceMapping: Change POST "/2015-03-31/event-source-mappings",
        "stored and validated for every kind of source; nothing is polled yet: see below";
    /// API-401.
    CreateCodeSigningConfig: Change POST "/2020-04-22/code-signing-configs", "with tags; signatures are not verified, see below";
    /// API-105.
    CreateFunction: Change POST "/2015-03-31/functions", "zip uploads, `Publish`; see the settings below";
    /// API-410.
    CreateFunctionUrlConfig: Change POST "/2021-10-31/functions/{FunctionName}/url", "kept; the URL is not served yet";
    /// API-106.
    DeleteAlias: Change DELETE "/2015-03-31/functions/{FunctionName}/aliases/{Name}", "yes";
    /// API-107.
    DeleteEventSourceMapping: Change DELETE "/2015-03-31/event-source-mappings/{UUID}", "yes";
    /// API-402.
    DeleteCodeSigningConfig: Change DELETE "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", "of those that no function uses";
    /// API-108.
    DeleteFunction: Change DELETE "/2015-03-31/functions/{FunctionName}", "whole functions and single versions";
    /// API-111.
    DeleteLayerVersion: Change DELETE "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", "functions that use it keep it";
    /// API-403.
    DeleteFunctionCodeSigningConfig: Change DELETE "/2020-06-30/functions/{FunctionName}/code-signing-config", "yes";
    /// API-109.
    DeleteFunctionConcurrency: Change DELETE "/2017-10-31/functions/{FunctionName}/concurrency", "yes";
    /// API-110.
    DeleteFunctionEventInvokeConfig: Change DELETE "/2019-09-25/functions/{FunctionName}/event-invoke-config", "yes";
    /// API-112.
    DeleteProvisionedConcurrencyConfig: Change DELETE "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", "its instances end at once, busy ones after their event";
    /// API-411.
    DeleteFunctionUrlConfig: Change DELETE "/2021-10-31/functions/{FunctionName}/url", "yes";
    /// API-113.
    GetAccountSettings: Read GET "/2016-08-19/account-settings", "limits in force and real usage";
    /// API-114.
    GetAlias: Read GET "/2015-03-31/functions/{FunctionName}/aliases/{Name}", "yes";
    /// API-115.
    GetEventSourceMapping: Read GET "/2015-03-31/event-source-mappings/{UUID}", "yes";
    /// API-404.
    GetCodeSigningConfig: Read GET "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", "yes";
    /// API-116.
    GetFunction: Read GET "/2015-03-31/functions/{FunctionName}", "with a download link valid for ten minutes";
    /// API-405.
    GetFunctionCodeSigningConfig: Read GET "/2020-06-30/functions/{FunctionName}/code-signing-config", "yes";
    /// API-117.
    GetFunctionConcurrency: Read GET "/2019-09-30/functions/{FunctionName}/concurrency", "yes";
    /// API-118.
    GetFunctionConfiguration: Read GET "/2015-03-31/functions/{FunctionName}/configuration", "yes";
    /// API-120.
    GetLayerVersion: Read GET "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", "with a download link valid for ten minutes";
    /// API-121.
    GetLayerVersionByArn: Read GET "/2018-10-31/layers?find=LayerVersion", "with a download link valid for ten minutes";
    /// API-122.
    GetLayerVersionPolicy: Read GET "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy", "yes";
    /// API-119.
    GetFunctionEventInvokeConfig: Read GET "/2019-09-25/functions/{FunctionName}/event-invoke-config", "yes";
    /// API-418.
    GetFunctionRecursionConfig: Read GET "/2024-08-31/functions/{FunctionName}/recursion-config", "yes";
    /// API-412.
    GetFunctionUrlConfig: Read GET "/2021-10-31/functions/{FunctionName}/url", "yes";
    /// API-124.
    GetProvisionedConcurrencyConfig: Read GET "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", "counts real instances";
    /// API-123.
    GetPolicy: Read GET "/2015-03-31/functions/{FunctionName}/policy", "with the `RevisionId` of what it hangs on";
    /// API-416.
    GetRuntimeManagementConfig: Read GET "/2021-07-20/functions/{FunctionName}/runtime-management-config", "yes";
    /// API-125.
    Invoke: Invoke POST "/2015-03-31/functions/{FunctionName}/invocations",
        "`RequestResponse`, `Event`, `DryRun`, `LogType=Tail`, client context; versions and aliases";
    /// API-126.
    InvokeAsync: Invoke POST "/2014-11-13/functions/{FunctionName}/invoke-async",
        "deprecated: as `Invoke` with `InvocationType` `Event`, up to 256 KB";
    /// API-415.
    InvokeWithResponseStream: Invoke POST "/2021-11-15/functions/{FunctionName}/response-streaming-invocations",
        "`RequestResponse`, `DryRun`, `LogType=Tail`; without the service's limit of bandwidth";
    /// API-127.
    ListAliases: Read GET "/2015-03-31/functions/{FunctionName}/aliases", "of one version too, with paging";
    /// API-128.
    ListEventSourceMappings: Read GET "/2015-03-31/event-source-mappings",
        "by source, by function, with paging";
    /// API-406.
    ListCodeSigningConfigs: Read GET "/2020-04-22/code-signing-configs", "with paging";
    /// API-129.
    ListFunctionEventInvokeConfigs: Read GET "/2019-09-25/functions/{FunctionName}/event-invoke-config/list", "with paging";
    /// API-413.
    ListFunctionUrlConfigs: Read GET "/2021-10-31/functions/{FunctionName}/urls", "with paging";
    /// API-130.
    ListFunctions: Read GET "/2015-03-31/functions", "with paging, `FunctionVersion=ALL`";
    /// API-132.
    ListLayerVersions: Read GET "/2018-10-31/layers/{LayerName}/versions", "filters, with paging";
    /// API-131.
    ListLayers: Read GET "/2018-10-31/layers", "filters, with paging";
    /// API-407.
    ListFunctionsByCodeSigningConfig: Read GET "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}/functions", "with paging";
    /// API-133.
    ListProvisionedConcurrencyConfigs: Read GET "/2019-09-30/functions/{FunctionName}/provisioned-concurrency?List=ALL", "with paging";
    /// API-134.
    ListTags: Read GET "/2017-03-31/tags/{Resource}", "of functions, event source mappings and code signing configurations";
    /// API-135.
    ListVersionsByFunction: Read GET "/2015-03-31/functions/{FunctionName}/versions", "with paging";
    /// API-136.
    PublishLayerVersion: Change POST "/2018-10-31/layers/{LayerName}/versions", "see layers below";
    /// API-137.
    PublishVersion: Change POST "/2015-03-31/functions/{FunctionName}/versions",
        "with `CodeSha256`, `RevisionId`, `Description`";
    /// API-141.
    RemoveLayerVersionPermission: Change DELETE "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy/{StatementId}", "with `RevisionId`";
    /// API-408.
    PutFunctionCodeSigningConfig: Change PUT "/2020-06-30/functions/{FunctionName}/code-signing-config", "`Enforce` refuses every deployment";
    /// API-138.
    PutFunctionConcurrency: Change PUT "/2017-10-31/functions/{FunctionName}/concurrency", "reserved concurrency is in force at once";
    /// API-139.
    PutFunctionEventInvokeConfig: Change PUT "/2019-09-25/functions/{FunctionName}/event-invoke-config", "yes; see [Asynchronous events](async.md)";
    /// API-140.
    PutProvisionedConcurrencyConfig: Change PUT "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", "real instances on versions and aliases; see below";
    /// API-419.
    PutFunctionRecursionConfig: Change PUT "/2024-08-31/functions/{FunctionName}/recursion-config", "yes";
    /// API-417.
    PutRuntimeManagementConfig: Change PUT "/2021-07-20/functions/{FunctionName}/runtime-management-config", "kept; runtimes are those of the machine, whose updates lambd does not control";
    /// API-142.
    RemovePermission: Change DELETE "/2015-03-31/functions/{FunctionName}/policy/{StatementId}", "with `RevisionId`";
    /// API-143.
    TagResource: Change POST "/2017-03-31/tags/{Resource}", "see `ListTags`";
    /// API-144.
    UntagResource: Change DELETE "/2017-03-31/tags/{Resource}", "see `ListTags`";
    /// API-145.
    UpdateAlias: Change PUT "/2015-03-31/functions/{FunctionName}/aliases/{Name}", "with `RevisionId`";
    /// API-146.
    UpdateEventSourceMapping: Change PUT "/2015-03-31/event-source-mappings/{UUID}", "in force at once";
    /// API-409.
    UpdateCodeSigningConfig: Change PUT "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", "yes";
    /// API-147.
    UpdateFunctionCode: Change PUT "/2015-03-31/functions/{FunctionName}/code",
        "zip uploads, `DryRun`, `Publish`, `RevisionId`";
    /// API-148.
    UpdateFunctionConfiguration: Change PUT "/2015-03-31/functions/{FunctionName}/configuration",
        "with `RevisionId`; see the settings below";
    /// API-149.
    UpdateFunctionEventInvokeConfig: Change POST "/2019-09-25/functions/{FunctionName}/event-invoke-config", "see `PutFunctionEventInvokeConfig`";
    /// API-414.
    UpdateFunctionUrlConfig: Change PUT "/2021-10-31/functions/{FunctionName}/url", "see `CreateFunctionUrlConfig`";
}
