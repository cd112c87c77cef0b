//! The environment variables of a function (CORE-154, CORE-155).

use lambd_types::{FunctionSnapshot, random};

use crate::layout::Layout;
use crate::ports::Addresses;

/// The whole environment of a function's process: what the platform sets, what the language adds, and
/// the user's own variables, which may change all but the reserved ones.
pub(crate) fn variables(
    function: &FunctionSnapshot,
    log_stream: &str,
    language: &[(String, String)],
    addresses: &Addresses,
    layout: &Layout,
) -> Vec<(String, String)> {
    let Layout { task_root, runtime_dir, lang_dir, opt, tmp } = layout;
    let key = &function.key;
    let region = key.scope.region.as_str();
    let mut all = vec![
        ("PATH", format!("{lang_dir}/bin:/usr/local/bin:/usr/bin/:/bin:{opt}/bin")),
        (
            "LD_LIBRARY_PATH",
            format!(
                "{lang_dir}/lib:/lib64:/usr/lib64:{runtime_dir}:{runtime_dir}/lib:{task_root}:{task_root}/lib:{opt}/lib"
            ),
        ),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR".to_owned()),
        ("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:2000".to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://{}", addresses.aws)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect::<Vec<_>>();
    for name in ["TMPDIR", "TMP", "TEMP"] {
        all.extend(tmp.iter().map(|path| (name.to_owned(), path.clone())));
    }
    all.extend(language.iter().cloned());
    all.extend(function.environment.iter().cloned());
    let reserved = [
        ("_HANDLER", function.handler.clone()),
        ("AWS_REGION", region.to_owned()),
        ("AWS_DEFAULT_REGION", region.to_owned()),
        ("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", function.runtime)),
        ("AWS_LAMBDA_FUNCTION_NAME", key.name.to_string()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory.get().to_string()),
        ("AWS_LAMBDA_FUNCTION_VERSION", key.version.to_string()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", function.log_group.clone()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", log_stream.to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        // An account number is an access key of its own account: SDK calls from inside land in the
        // function's account. The secret means nothing to lambd, and is fresh all the same.
        ("AWS_ACCESS_KEY_ID", key.scope.account.to_string()),
        ("AWS_SECRET_ACCESS_KEY", random::hex(&random::bytes::<20>())),
        ("AWS_SESSION_TOKEN", random::hex(&random::bytes::<32>())),
        ("AWS_LAMBDA_RUNTIME_API", addresses.runtime_api.to_string()),
        ("LAMBDA_TASK_ROOT", task_root.clone()),
        ("LAMBDA_RUNTIME_DIR", runtime_dir.clone()),
    ];
    all.extend(reserved.map(|(name, value)| (name.to_owned(), value)));
    last_of_each(all)
}

/// A later variable replaces an earlier one of the same name.
fn last_of_each(all: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::with_capacity(all.len());
    for (name, value) in all {
        match out.iter_mut().find(|(n, _)| *n == name) {
            Some(slot) => slot.1 = value,
            None => out.push((name, value)),
        }
    }
    out
}
