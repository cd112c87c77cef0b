//! The environment variables of a function (CORE-154, CORE-155).

use lambd_types::invocation::InitializationType;
use lambd_types::{FunctionSnapshot, LogFormat, random};

use crate::layout::Layout;
use crate::ports::Addresses;

/// The environment of a function's process: what the platform sets, what the language adds, and the user's
/// own variables, which may change all but the reserved ones. [`with_addresses`] adds the rest.
pub(crate) fn variables(
    function: &FunctionSnapshot,
    log_stream: &str,
    initialization: InitializationType,
    language: &[(String, String)],
    layout: &Layout,
) -> Vec<(String, String)> {
    let key = &function.key;
    let region = key.scope.region.as_str();
    let mut all = of_system(layout);
    all.push(("AWS_XRAY_CONTEXT_MISSING".to_owned(), "LOG_ERROR".to_owned()));
    // Without mounts a function's user has no entry in the list of users, so nothing else says where its home is.
    for name in ["TMPDIR", "TMP", "TEMP", "HOME"] {
        all.extend(layout.tmp.iter().map(|path| (name.to_owned(), path.clone())));
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
        ("AWS_LAMBDA_INITIALIZATION_TYPE", initialization.as_str().to_owned()),
        // An account number is an access key of its own account: SDK calls from inside land in the
        // function's account. The secret means nothing to lambd, and is fresh all the same.
        ("AWS_ACCESS_KEY_ID", key.scope.account.to_string()),
        ("AWS_SECRET_ACCESS_KEY", random::hex(&random::bytes::<20>())),
        ("AWS_SESSION_TOKEN", random::hex(&random::bytes::<32>())),
        ("LAMBDA_TASK_ROOT", layout.task_root.clone()),
        ("LAMBDA_RUNTIME_DIR", layout.runtime_dir.clone()),
    ];
    // Not defined where AWS provides the operating system alone.
    let os_only = matches!(function.runtime.as_str(), "provided.al2" | "provided.al2023");
    let defined = reserved.into_iter().filter(|(name, _)| *name != "AWS_EXECUTION_ENV" || !os_only);
    all.extend(defined.map(|(name, value)| (name.to_owned(), value)));
    if let LogFormat::Json { application, .. } = function.log_format {
        let logging = [("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("AWS_LAMBDA_LOG_LEVEL", application.as_str())];
        all.extend(logging.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    last_of_each(all)
}

/// What is the same for all functions of a language.
pub(crate) fn of_language(language: &[(String, String)], layout: &Layout) -> Vec<(String, String)> {
    last_of_each(of_system(layout).into_iter().chain(language.iter().cloned()).collect())
}

fn of_system(layout: &Layout) -> Vec<(String, String)> {
    let mut all = Vec::from(search_paths(layout));
    let platform = [("LANG", "en_US.UTF-8"), ("TZ", ":UTC")];
    all.extend(platform.map(|(name, value)| (name.to_owned(), value.to_owned())));
    all
}

/// Adds where the endpoints of a sandbox are. The user's own variables stay but for the reserved ones.
pub(crate) fn with_addresses(variables: &[(String, String)], addresses: &Addresses) -> Vec<(String, String)> {
    let owned = |(name, value): (&str, String)| (name.to_owned(), value);
    let Addresses { runtime_api, aws, xray_udp, .. } = addresses;
    let changeable =
        [("AWS_ENDPOINT_URL", format!("http://{aws}")), ("AWS_XRAY_DAEMON_ADDRESS", xray_daemon(addresses))];
    let reserved = [
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string()),
        ("_AWS_XRAY_DAEMON_ADDRESS", xray_udp.ip().to_string()),
        ("_AWS_XRAY_DAEMON_PORT", xray_udp.port().to_string()),
    ];
    let given = variables.iter().cloned();
    last_of_each(changeable.map(owned).into_iter().chain(given).chain(reserved.map(owned)).collect())
}

/// Where programs and libraries are looked for.
pub(crate) fn search_paths(layout: &Layout) -> [(String, String); 2] {
    let Layout { task_root, runtime_dir, lang_dir, opt, .. } = layout;
    [
        ("PATH".to_owned(), format!("{lang_dir}/bin:/usr/local/bin:/usr/bin/:/bin:{opt}/bin")),
        (
            "LD_LIBRARY_PATH".to_owned(),
            format!(
                "{lang_dir}/lib:/lib64:/usr/lib64:{runtime_dir}:{runtime_dir}/lib:{task_root}:{task_root}/lib:{opt}/lib"
            ),
        ),
    ]
}

/// In the form of the X-Ray SDKs: one address for both, or one for each.
fn xray_daemon(addresses: &Addresses) -> String {
    let Addresses { xray_udp, xray_tcp, .. } = addresses;
    if xray_udp == xray_tcp { xray_udp.to_string() } else { format!("tcp:{xray_tcp} udp:{xray_udp}") }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_xray_daemon_has_one_address_or_two() {
        let addresses = |udp: &str, tcp: &str| {
            let any = "127.0.0.1:1".parse().unwrap();
            Addresses {
                runtime_api: any,
                aws: any,
                xray_udp: udp.parse().unwrap(),
                xray_tcp: tcp.parse().unwrap(),
            }
        };
        assert_eq!(xray_daemon(&addresses("127.0.0.1:2000", "127.0.0.1:2000")), "127.0.0.1:2000");
        assert_eq!(
            xray_daemon(&addresses("127.0.0.1:41000", "127.0.0.1:42000")),
            "tcp:127.0.0.1:42000 udp:127.0.0.1:41000"
        );
    }
}
