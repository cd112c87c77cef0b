//! Options that choose what keeps functions apart from the machine.

use clap::Args;

use super::value::IsolationChoice;

/// Options that `lambd serve`, `lambd dev` and `lambd doctor` share.
#[derive(Debug, Clone, Args)]
pub(crate) struct IsolationFlags {
    /// What keeps functions apart from the machine: auto, namespaces, process or oci
    ///
    /// auto takes the stronger of namespaces and process that works here, never oci. One that is named and does
    /// not work stops the start with the reason; `lambd doctor` shows what each would need.
    #[arg(long, value_name = "LEVEL", env = "LAMBD_ISOLATION", default_value_t)]
    isolation: IsolationChoice,

    /// With --isolation oci: the OCI runtime, by name or path [default: crun, else runc]
    #[arg(long, value_name = "NAME|PATH", env = "LAMBD_OCI_RUNTIME")]
    oci_runtime: Option<String>,

    /// With --isolation oci: a further option for the runtime, before its `run`; may be repeated
    #[arg(long = "oci-runtime-arg", value_name = "OPTION", allow_hyphen_values = true)]
    oci_runtime_args: Vec<String>,
}

impl IsolationFlags {
    /// What was chosen.
    pub(crate) fn choice(&self) -> IsolationChoice {
        match &self.isolation {
            IsolationChoice::Oci { .. } => IsolationChoice::Oci {
                runtime: self.oci_runtime.clone(),
                args: self.oci_runtime_args.clone(),
            },
            other => other.clone(),
        }
    }

    /// What is wrong with them together.
    pub(super) fn mistake(&self) -> Option<String> {
        let given = self.oci_runtime.is_some() || !self.oci_runtime_args.is_empty();
        match &self.isolation {
            IsolationChoice::Oci { .. } => None,
            other => given.then(|| {
                format!("--oci-runtime and --oci-runtime-arg need --isolation oci; here it is {other}")
            }),
        }
    }
}
