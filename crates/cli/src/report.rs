//! What `lambd doctor` can say about a machine.

use std::path::PathBuf;

use serde::Serialize;

use crate::ports::RuntimeFound;

/// The state of the machine as far as lambd depends on it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DoctorReport {
    /// The kernel's release, such as `6.8.0-45-generic`.
    pub kernel_release: String,
    /// Kernel features that sandboxes use.
    pub kernel: Vec<Check>,
    /// Isolation levels, strongest first.
    pub isolation: Vec<IsolationLevel>,
    /// The level that functions would get now; `None` when none is available, or not the one that was asked for.
    pub isolation_in_force: Option<String>,
    /// Limits that can be enforced: memory, CPU, processes, freezing.
    pub limits: Vec<Check>,
    /// Which networks functions can have.
    pub network: Vec<Check>,
    /// Managed runtimes that can run.
    pub runtimes: Vec<RuntimeFound>,
    /// Managed runtimes that cannot.
    pub missing_runtimes: Vec<RuntimeMissing>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Its health: writable, space left, not locked, database sound.
    pub data: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What, in a few words: `user namespaces`.
    pub name: String,
    /// What was found: `enabled, 62987 left`.
    pub detail: String,
    /// Whether that is good.
    pub verdict: Verdict,
}

/// The result of a [`Check`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "status")]
pub enum Verdict {
    /// Good.
    Ok,
    /// lambd works without, less well.
    Degraded {
        /// How to have it.
        remedy: String,
    },
    /// lambd does not work without.
    Missing {
        /// How to have it.
        remedy: String,
    },
}

/// One way of keeping functions apart.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IsolationLevel {
    /// Such as `namespaces` or `process`.
    pub name: String,
    /// How far it goes on this machine, where that depends on the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether it works here.
    #[serde(flatten)]
    pub status: IsolationStatus,
}

/// Whether an isolation level works here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "status")]
pub enum IsolationStatus {
    /// It does.
    Available,
    /// It does not.
    Unavailable {
        /// Why not.
        reason: String,
        /// How to have it.
        remedy: String,
    },
}

/// A managed runtime family without an interpreter on this machine.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeMissing {
    /// The family or identifier: `nodejs`, `python3.13`.
    pub id: String,
    /// How to have it.
    pub remedy: String,
}

/// What runs the functions of one runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeStatus {
    /// Lambda's identifier, such as `python3.12`.
    pub id: String,
    /// Whether it can run.
    pub state: RuntimeState,
    /// The language's version as the interpreter tells it, such as `3.12.4`, where it is known.
    pub version: Option<String>,
    /// What runs the function: `None` when nothing does.
    pub runs: Option<RuntimeProgram>,
    /// The root file system that functions see: `None` when nothing runs them.
    pub root: Option<RootStatus>,
    /// The name of the installed toolchain that runs it, if one does.
    pub toolchain: Option<String>,
    /// The name of the installed AWS SDK that its functions have without packaging it, if there is one.
    pub sdk: Option<String>,
    /// The day on which AWS deprecated it or will, `YYYY-MM-DD`, if that is announced.
    pub deprecation: Option<String>,
    /// Whether that day has come.
    pub deprecated: bool,
    /// What to do to have it, or to have it in the right version.
    pub remedy: Option<String>,
}

/// Whether a runtime can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RuntimeState {
    /// In the version asked for.
    Available,
    /// In the nearest version that there is.
    Substituted,
    /// Not.
    Missing,
}

/// What runs a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum RuntimeProgram {
    /// lambd's bootstrap on an interpreter of the root file system.
    Interpreter {
        /// Its path there.
        path: PathBuf,
    },
    /// The runtime that the root file system brings along.
    Root,
    /// The function's own `bootstrap`.
    Function,
}

/// Where a root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum RootStatus {
    /// This machine's programs and libraries.
    Host,
    /// A directory.
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// An unpacked image.
    Image {
        /// The image layout or archive.
        path: PathBuf,
        /// Digest of the image.
        digest: String,
    },
}

impl Check {
    /// A check that came out well.
    pub fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), detail: detail.into(), verdict: Verdict::Ok }
    }

    /// A check that shows something lambd can do without.
    pub fn degraded(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            detail: detail.into(),
            verdict: Verdict::Degraded { remedy: remedy.into() },
        }
    }

    /// A check that shows something lambd cannot do without.
    pub fn missing(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), detail: detail.into(), verdict: Verdict::Missing { remedy: remedy.into() } }
    }
}

impl DoctorReport {
    /// Whether everything that lambd cannot do without is there.
    pub fn is_healthy(&self) -> bool {
        let checks = self.kernel.iter().chain(&self.limits).chain(&self.data);
        let missing = checks.filter(|c| matches!(c.verdict, Verdict::Missing { .. })).count();
        missing == 0 && self.isolation_in_force.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(status: IsolationStatus, data: Check) -> DoctorReport {
        DoctorReport {
            kernel_release: "6.8.0".into(),
            kernel: vec![Check::degraded("landlock", "absent", "boot a newer kernel")],
            isolation_in_force: (status == IsolationStatus::Available).then(|| "namespaces".into()),
            isolation: vec![IsolationLevel { name: "namespaces".into(), detail: None, status }],
            limits: vec![],
            network: vec![],
            runtimes: vec![],
            missing_runtimes: vec![RuntimeMissing {
                id: "nodejs".into(),
                remedy: "apt install nodejs".into(),
            }],
            data_dir: "/data".into(),
            data: vec![data],
        }
    }

    #[test]
    fn only_what_is_required_makes_a_machine_unhealthy() {
        let unavailable = IsolationStatus::Unavailable { reason: "r".into(), remedy: "m".into() };
        assert!(report(IsolationStatus::Available, Check::ok("writable", "yes")).is_healthy());
        assert!(!report(unavailable, Check::ok("writable", "yes")).is_healthy());
        assert!(!report(IsolationStatus::Available, Check::missing("writable", "no", "chmod")).is_healthy());
    }

    #[test]
    fn json_has_one_status_per_item() {
        let json =
            serde_json::to_value(report(IsolationStatus::Available, Check::ok("writable", "yes"))).unwrap();
        assert_eq!(json["isolation"][0], serde_json::json!({"name": "namespaces", "status": "available"}));
        assert_eq!(json["kernel"][0]["verdict"]["status"], "degraded");
    }
}
