//! What the machine offers, found out while the daemon answers already.
//!
//! Interpreters are asked for their versions and an empty sandbox is connected, which takes longer than all else at the
//! start. No request but one for an instance, or about networks, depends on it; those wait.

use std::path::Path;
use std::sync::Arc;

use lambd_cli::ServeArgs;
use lambd_runtime::{Catalogue, Instances, LiveCatalogue};
use lambd_sandbox::{Base, BaseRoot, Isolation, Spawner};
use lambd_types::{NetworkPolicy, NetworkRules};
use tokio::sync::SetOnce;

use crate::isolation::{self, Interpreters};
use crate::network::{self, Obstacle};
use crate::toolchains;
use crate::wiring::instances::RuntimeInstances;

/// Empty sandboxes kept ready: enough that a few functions called at once find one, few enough to cost
/// nothing while nobody calls. A connected one has a process of some twenty megabytes.
fn prepared_sandboxes(policy: NetworkPolicy) -> usize {
    match policy {
        NetworkPolicy::None | NetworkPolicy::Host => 4,
        NetworkPolicy::Nat => 2,
    }
}

/// Whether `nat` works.
pub(crate) enum Trial {
    /// This came of it.
    Made(Result<(), Obstacle>),
    /// It is still to be tried.
    Due,
}

/// What others wait for.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) rules: Arc<SetOnce<NetworkRules>>,
    pub(crate) catalogue: Arc<SetOnce<Arc<LiveCatalogue>>>,
    pub(crate) instances: RuntimeInstances,
}

/// The machine, as far as it is known.
pub(crate) struct Machine<'a> {
    pub(crate) args: &'a ServeArgs,
    pub(crate) isolation: &'a Isolation,
    pub(crate) spawner: &'a Spawner,
    pub(crate) nat: Trial,
}

/// For the operator, and the catalogue.
pub(crate) struct Told {
    pub(crate) isolation: String,
    pub(crate) network: String,
    pub(crate) catalogue: Arc<LiveCatalogue>,
}

impl Machine<'_> {
    /// Finds out the rest: adds the machine's interpreters to `catalogue`, which has none, and sets all of `found`.
    /// `shared` is the directory that functions see, if it is beside the data directory.
    pub(crate) async fn examine(
        self,
        catalogue: Catalogue,
        shared: Option<&Path>,
        found: &Found,
        instances: impl FnOnce(NetworkRules, Arc<LiveCatalogue>) -> Instances,
    ) -> Told {
        let Self { args, isolation, spawner, nat } = self;
        let tried = spawner.clone();
        let nat = tokio::spawn(async move {
            match nat {
                Trial::Made(nat) => nat,
                Trial::Due => network::try_nat(&tried).await,
            }
        });
        let interpreters = Arc::new(Interpreters::of(isolation));
        let catalogue = catalogue.with_interpreters(|found| interpreters.are_usable(found)).await;
        let java = args.java_runtime_client.as_deref();
        let live = toolchains::Live::new(&args.toolchains, java, interpreters.clone(), shared);
        let live = Arc::new(LiveCatalogue::new(catalogue, Arc::new(live)));
        // What it needs is on disk after this.
        live.current();
        interpreters.tell_unusable();
        // Nothing waits for a value that was set already, and nobody else sets one.
        let _ = found.catalogue.set(live.clone());

        let nat = nat.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let network = network::choose(args.network, args.allow_host_network, &nat);
        let default = network.rules.default_policy();
        let base = Base { network: network::of_sandbox(default), root: BaseRoot::Host };
        spawner.keep_ready(base, prepared_sandboxes(default));
        let _ = found.rules.set(network.rules.clone());
        let _ = found.instances.0.set(instances(network.rules, live.clone()));

        spawner.decided().await;
        let isolation = isolation::describe(isolation, &spawner.limits());
        Told { isolation, network: network.description, catalogue: live }
    }
}
