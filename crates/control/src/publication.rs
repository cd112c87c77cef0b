//! Making a version of `$LATEST` (CORE-188..192).

use lambd_store::functions::FunctionRow;
use lambd_types::{Condition, RevisionId, State, Version};

use crate::condition;

/// The version that a publication answers with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Published {
    /// Nothing has changed since this one was published.
    Existing(FunctionRow),
    /// A new one, to be stored together with `$LATEST`.
    New(FunctionRow),
}

impl Published {
    /// The version.
    pub(crate) fn row(self) -> FunctionRow {
        match self {
            Self::Existing(row) | Self::New(row) => row,
        }
    }
}

/// Publishes `latest`, of which `last` is the version with the highest number, if that still exists. A new version
/// takes the next number, which no other version has had, and waits for what `latest` waits for, and for what its
/// instances are to begin with.
pub(crate) fn publish(
    latest: &mut FunctionRow,
    last: Option<FunctionRow>,
    description: Option<&str>,
) -> Published {
    if let Some(last) = last
        && last.code == latest.code
        && last.configuration == latest.configuration
        && last.condition.state != State::Failed
    {
        return Published::Existing(last);
    }
    latest.last_version += 1;
    let mut version = latest.clone();
    version.key.version = Version::Published(latest.last_version);
    version.revision = RevisionId::random();
    version.published_description = description.map(str::to_owned);
    // With SnapStart, its image is still to be made.
    let waits = latest.condition.is_unsettled() || latest.configuration.snap_start;
    version.condition = if waits { condition::created() } else { Condition::active() };
    version.in_force = None;
    version.last_version = 0;
    Published::New(version)
}

#[cfg(test)]
mod tests {
    use lambd_store::functions::{Configuration, machine_architecture};
    use lambd_types::{AccountId, FunctionKey, FunctionName, Region, Scope, Sha256Digest, UnixMillis};

    use super::*;

    fn latest() -> FunctionRow {
        FunctionRow {
            key: FunctionKey {
                scope: Scope { account: AccountId::default_local(), region: Region::default_local() },
                name: FunctionName::parse("f").unwrap(),
                version: Version::Latest,
            },
            revision: RevisionId::random(),
            build: RevisionId::random(),
            code: Sha256Digest::of(b"code"),
            code_size: 4,
            last_modified: UnixMillis(7),
            configuration: Configuration {
                runtime: "python3.12".into(),
                handler: "a.b".into(),
                role: "r".into(),
                description: "latest's".into(),
                memory_size: 128,
                timeout: 3,
                ephemeral_storage: 512,
                snap_start: false,
                environment: None,
                log_group: "g".into(),
                json_log: None,
                architecture: machine_architecture(),
                layers: Vec::new(),
                dead_letter: None,
            },
            published_description: None,
            condition: Condition::active(),
            in_force: None,
            last_version: 0,
        }
    }

    fn number(published: &Published) -> (bool, Version) {
        match published {
            Published::Existing(row) => (false, row.key.version),
            Published::New(row) => (true, row.key.version),
        }
    }

    /// CORE-191, API-137.6: nothing new without a change of code or configuration; a description is none.
    #[test]
    fn only_changes_are_published() {
        let mut latest = latest();
        let first = publish(&mut latest, None, Some("first"));
        assert_eq!(number(&first), (true, Version::Published(1)));
        let again = publish(&mut latest, Some(first.clone().row()), Some("other"));
        assert_eq!(again, Published::Existing(first.clone().row()));
        latest.configuration.timeout = 4;
        let second = publish(&mut latest, Some(first.row()), None);
        assert_eq!(number(&second), (true, Version::Published(2)));
        latest.code = Sha256Digest::of(b"other");
        let third = publish(&mut latest, Some(second.row()), None);
        assert_eq!(number(&third), (true, Version::Published(3)));
    }

    #[test]
    fn numbers_of_deleted_versions_are_not_used_again() {
        let mut latest = latest();
        publish(&mut latest, None, None);
        assert_eq!(number(&publish(&mut latest, None, None)), (true, Version::Published(2)));
    }

    #[test]
    fn a_version_waits_for_what_latest_waits_for() {
        let mut latest = latest();
        latest.condition = condition::updating(&latest.condition);
        let version = publish(&mut latest, None, None).row();
        assert_eq!(version.condition, condition::created());
        assert_eq!((version.build, version.last_modified), (latest.build, UnixMillis(7)));
    }

    /// Of a function with SnapStart: `$LATEST` does not have it, and is as it was.
    #[test]
    fn a_version_waits_for_what_its_instances_begin_with() {
        let mut latest = latest();
        latest.configuration.snap_start = true;
        let version = publish(&mut latest, None, None).row();
        assert_eq!((version.condition, latest.condition), (condition::created(), Condition::active()));
    }

    /// A version that failed is no version to give out again.
    #[test]
    fn a_failed_version_is_published_anew() {
        let mut latest = latest();
        let mut failed = publish(&mut latest, None, None).row();
        failed.condition.state = State::Failed;
        assert_eq!(number(&publish(&mut latest, Some(failed), None)), (true, Version::Published(2)));
    }
}
