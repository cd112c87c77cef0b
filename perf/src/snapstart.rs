//! New instances of published versions with SnapStart, of a function whose initialisation takes a second.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::invoke::{self, PAYLOAD};
use crate::lambda::{self, Function, Runtime};
use crate::options::Plan;
use crate::packages;
use crate::report::values;
use crate::stats::median;

const FUNCTION: Function =
    Function { name: "bench-snapstart", runtime: Runtime::PythonWithSnapStart, handler: "slow.handler" };
/// Between the publication and the first invoke: what is to be made of a version has been made.
const REST: Duration = Duration::from_millis(500);

/// Milliseconds of first invokes, each of a version of its own.
#[derive(Debug, Default)]
pub(crate) struct SnapStart(Vec<f64>);

impl SnapStart {
    /// Makes the function.
    pub(crate) fn create(api: &mut Client) -> Result<Self, Error> {
        let zip = packages::file("slow.py", include_bytes!("../functions/slow.py"))?;
        let settings = json!({ "SnapStart": { "ApplyOn": "PublishedVersions" } });
        lambda::create_with(api, FUNCTION, &zip, &settings)?;
        Ok(Self::default())
    }

    /// Publishes a few versions and invokes each.
    pub(crate) fn round(&mut self, daemon: &Daemon, round: usize, plan: Plan) -> Result<(), Error> {
        let mut api = Client::connect(daemon.address())?;
        for number in 0..plan.cold_starts {
            lambda::renew(&mut api, FUNCTION.name, round * plan.cold_starts + number)?;
            let version = lambda::publish(&mut api, FUNCTION.name)?;
            std::thread::sleep(REST);
            let path = format!("{}?Qualifier={version}", lambda::invocations(FUNCTION.name));
            let request = api.request("POST", &path, PAYLOAD);
            self.0.push(invoke::echoed(&mut api, &request)?.as_secs_f64() * 1e3);
        }
        Ok(())
    }

    pub(crate) fn table(&self) -> String {
        format!(
            "SnapStart, Python with an init of 1 s: first invoke of a version {:.1} ms\n",
            median(&self.0)
        )
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "cold_ms": values(&self.0) })
    }
}
