//! `config.json` of a container, see the OCI runtime specification.
//!
//! The container is small, because most of a sandbox is made before the runtime starts: it keeps the
//! namespaces, the cgroup and the network of the runtime, and its root is a directory that is complete but
//! for what each runtime provides in its own way (`/proc`, `/dev`).

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::seccomp;
use crate::error::{Step, StepError};
use crate::filter::Filter;
use crate::identity::{FUNCTION_GID, FUNCTION_UID, Lease};
use crate::mounts::proc;
use crate::protocol::{JailSpec, OciRuntime};
use crate::rlimits;

const VERSION: &str = "1.0.2";

/// An annotation of crun: a compiled filter, which it uses instead of the policy in the configuration.
/// Compiling that takes crun longer than all the rest of its work.
const COMPILED_FILTER: &str = "run.oci.seccomp_bpf_data";

/// The parts of the configuration that are the same for all sandboxes, made once by the spawner.
pub(crate) struct Policy {
    seccomp: Box<RawValue>,
    compiled: String,
}

impl Policy {
    pub(crate) fn new(filter: &Filter) -> Self {
        let seccomp = serde_json::value::to_raw_value(&seccomp::policy());
        Self {
            seccomp: seccomp.expect("a JSON value can be written as JSON"),
            compiled: STANDARD.encode(filter.bytes()),
        }
    }
}

/// The configuration of a container whose root is the directory `root`.
pub(super) fn text(
    spec: &JailSpec,
    runtime: &OciRuntime,
    lease: Lease,
    policy: &Policy,
    root: &Path,
) -> Result<Vec<u8>, StepError> {
    let annotations =
        if runtime.takes_compiled_filter { json!({ COMPILED_FILTER: policy.compiled }) } else { json!({}) };
    let linux = Linux {
        namespaces: namespaces(lease),
        uid_mappings: mapping(lease, FUNCTION_UID),
        gid_mappings: mapping(lease, FUNCTION_GID),
        masked_paths: proc::MASKED.iter().chain(proc::HIDDEN).copied().collect(),
        readonly_paths: proc::READ_ONLY_ENTRIES,
        seccomp: &policy.seccomp,
    };
    let config = Config {
        oci_version: VERSION,
        process: process(spec)?,
        root: json!({ "path": root, "readonly": true }),
        mounts: mounts(lease, root),
        annotations,
        linux,
    };
    serde_json::to_vec(&config).map_err(std::io::Error::from).step("write configuration of the container")
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    oci_version: &'static str,
    process: Value,
    root: Value,
    mounts: Value,
    annotations: Value,
    linux: Linux<'a>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux<'a> {
    namespaces: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    uid_mappings: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    gid_mappings: Value,
    masked_paths: Vec<&'static str>,
    readonly_paths: &'static [&'static str],
    seccomp: &'a RawValue,
}

fn process(spec: &JailSpec) -> Result<Value, StepError> {
    let command = spec.command.to_str().ok_or(StepError::new("path of command", rustix::io::Errno::ILSEQ))?;
    let args: Vec<&str> = std::iter::once(command).chain(spec.args.iter().map(String::as_str)).collect();
    let env: Vec<String> = spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let limits = rlimits::limits(spec.data_limit_bytes)
        .map(|(limit, bytes)| json!({ "type": limit.name, "soft": bytes, "hard": bytes }));
    Ok(json!({
        "terminal": false,
        "user": { "uid": FUNCTION_UID, "gid": FUNCTION_GID },
        "args": args,
        "env": env,
        "cwd": spec.cwd,
        "capabilities": { "bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": [] },
        "noNewPrivileges": true,
        "rlimits": limits.collect::<Vec<_>>(),
    }))
}

/// The namespaces that the runtime makes. It is in those of the sandbox, and the container stays there; no
/// pid namespace most of all, because process 1 of one does not die of its own signals.
fn namespaces(lease: Lease) -> Value {
    match lease {
        Lease::Pair { .. } => json!([{ "type": "mount" }]),
        // The one id there is belongs to the runtime. The function's is the same, under another name in a
        // user namespace of its own, which is also what keeps the runtime's memory and files from it.
        Lease::Own | Lease::OwnAsRoot => json!([{ "type": "mount" }, { "type": "user" }]),
    }
}

fn mapping(lease: Lease, id: u32) -> Value {
    match lease {
        Lease::Pair { .. } => Value::Null,
        Lease::Own | Lease::OwnAsRoot => json!([{ "containerID": id, "hostID": 0, "size": 1 }]),
    }
}

fn mounts(lease: Lease, root: &Path) -> Value {
    let proc = match lease {
        Lease::Pair { .. } => json!({ "destination": "/proc", "type": "proc", "source": "proc",
            "options": ["nosuid", "nodev", "noexec"] }),
        // Only the owner of the pid namespace may mount one; the init has, see `oci`.
        Lease::Own | Lease::OwnAsRoot => json!({ "destination": "/proc", "type": "bind", "source": "/proc",
            "options": ["rbind", "nosuid", "nodev", "noexec"] }),
    };
    json!([
        proc,
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "noexec", "ro", "mode=755", "size=64k"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "nodev", "noexec", "ro", "mode=755", "size=4k"] },
        // It is there already, with all that is mounted below it; a runtime that serves the root by other
        // means than mounts learns from this that it can be written to.
        { "destination": "/tmp", "type": "bind", "source": root.join("tmp"),
            "options": ["rbind", "nosuid", "nodev"] },
    ])
}
