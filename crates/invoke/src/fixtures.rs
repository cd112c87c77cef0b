//! Fixtures of the tests.

use std::sync::Arc;

use bytes::Bytes;
use lambd_types::invocation::Event;
use lambd_types::{
    AccountId, EphemeralStorage, FunctionKey, FunctionName, FunctionSnapshot, FunctionTarget, LogFormat,
    MemorySize, Qualifier, Region, RequestId, RevisionId, Scope, Sha256Digest, Timeout, Version,
};

/// The unpublished version of a function in the default account and region.
pub(crate) fn key(name: &str) -> FunctionKey {
    FunctionKey {
        scope: Scope { account: AccountId::default_local(), region: Region::default_local() },
        name: FunctionName::parse(name).unwrap(),
        version: Version::Latest,
    }
}

/// A snapshot of it with a revision of its own.
pub(crate) fn target(name: &str) -> FunctionTarget {
    let FunctionKey { scope, name, version } = key(name);
    FunctionTarget { scope, name, qualifier: Qualifier::Version(version) }
}

pub(crate) fn function(key: FunctionKey) -> Arc<FunctionSnapshot> {
    Arc::new(FunctionSnapshot {
        key,
        revision: RevisionId::random(),
        arn: String::new(),
        runtime: "provided".into(),
        handler: String::new(),
        memory: MemorySize::default(),
        timeout: Timeout::default(),
        ephemeral_storage: EphemeralStorage::default(),
        snap_start: false,
        network: None,
        environment: Vec::new().into(),
        code: Sha256Digest::of(b""),
        code_dir: "/".into(),
        layers_dir: None,
        log_group: String::new(),
        log_format: LogFormat::Text,
        dead_letter: None,
    })
}

/// An event with a request id of its own.
pub(crate) fn event(payload: &'static str) -> Event {
    Event {
        request_id: RequestId::random(),
        payload: Bytes::from_static(payload.as_bytes()),
        invoked_arn: String::new(),
        trace_id: String::new(),
        client_context: None,
    }
}
