//! Which network functions see.

use lambd_cli::{NetworkChoice, StartError};
use lambd_sandbox::{
    Base, CgroupMode, Isolation, NatOptions, Network, SandboxError, Spawner, SpawnerOptions,
};
use lambd_types::NetworkPolicy::{self, Host, Nat, None as Nothing};
use lambd_types::{Cidr, NetworkRules};

/// What nat needs, and how to have it.
const INSTALL: &str = "install pasta, in Debian, Ubuntu and Fedora the package passt";
const EXAMINE: &str = "run `lambd doctor` to see whether that has changed";

/// Why something does not work, and what can be done about it.
#[derive(Debug, Clone)]
pub(crate) struct Obstacle {
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

/// How sandboxes are to be connected, as far as the machine has what it takes.
pub(crate) fn nat(isolation: &Isolation, denied: Vec<Cidr>) -> Result<NatOptions, Obstacle> {
    if !isolation.has_network_of_its_own() {
        return Err(Obstacle {
            reason: format!("the isolation level {isolation} has no network of its own"),
            remedy: "use another isolation level".to_owned(),
        });
    }
    let program = lambd_sandbox::find_pasta();
    let program = program.ok_or_else(|| Obstacle {
        reason: "pasta is not installed".to_owned(),
        remedy: INSTALL.to_owned(),
    })?;
    Ok(NatOptions { program, denied })
}

/// Connects an empty sandbox. It is not kept: others are connected only when they need it.
pub(crate) async fn try_nat(spawner: &Spawner) -> Result<(), Obstacle> {
    let obstacle = |error: SandboxError| {
        let reason = match error {
            SandboxError::Uplink { reason } => reason,
            other => other.to_string(),
        };
        Obstacle { reason, remedy: EXAMINE.to_owned() }
    };
    let base = Base { network: Network::Nat, ..Base::default() };
    spawner.prepare(base).await.map_err(obstacle)?.connect().await.map_err(obstacle)
}

/// The same without a daemon.
pub(crate) async fn probe(isolation: &Isolation) -> Result<NatOptions, Obstacle> {
    let options = nat(isolation, Vec::new())?;
    let with = SpawnerOptions {
        isolation: isolation.clone(),
        cgroup: CgroupMode::Off,
        nat: Some(options.clone()),
        ..SpawnerOptions::default()
    };
    let failed = |error: SandboxError| Obstacle { reason: error.to_string(), remedy: EXAMINE.to_owned() };
    let spawner = Spawner::start(with).map_err(failed)?;
    let tried = try_nat(&spawner).await;
    spawner.shutdown().await;
    tried.map(|()| options)
}

/// What was decided.
pub(crate) struct Chosen {
    /// For each function.
    pub(crate) rules: NetworkRules,
    /// For the operator.
    pub(crate) description: String,
}

/// Refuses to go on without what the operator demands.
pub(crate) fn demand(choice: NetworkChoice, nat: &Result<(), Obstacle>) -> Result<(), StartError> {
    match (choice, nat) {
        (NetworkChoice::Only(Nat), Err(Obstacle { reason, remedy })) => {
            let (reason, remedy) = (reason.clone(), remedy.clone());
            Err(StartError::NetworkUnavailable { policy: Nat, reason, remedy })
        }
        _ => Ok(()),
    }
}

/// Decides by what the operator asks for and by whether `nat` works.
pub(crate) fn choose(choice: NetworkChoice, allow_host: bool, nat: &Result<(), Obstacle>) -> Chosen {
    let (default, description) = match (choice, nat) {
        (NetworkChoice::Only(policy), _) => (policy, policy.to_string()),
        (NetworkChoice::Auto, Ok(_)) => (Nat, Nat.to_string()),
        (NetworkChoice::Auto, Err(Obstacle { reason, remedy })) => {
            (Nothing, format!("none (nat does not work here: {reason}; {remedy})"))
        }
    };
    let mut rules = NetworkRules::new(default);
    if let Err(Obstacle { reason, .. }) = nat {
        rules = rules.refuse(Nat, reason);
    }
    if !allow_host {
        rules = rules.refuse(Host, "the operator has not started lambd with --allow-host-network");
    }
    Chosen { rules, description }
}

/// What `sandbox` calls a policy.
pub(crate) fn of_sandbox(policy: NetworkPolicy) -> Network {
    match policy {
        Nothing => Network::None,
        Nat => Network::Nat,
        Host => Network::Host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obstacle() -> Result<(), Obstacle> {
        Err(Obstacle { reason: "no pasta".into(), remedy: "install it".into() })
    }

    fn chosen(choice: NetworkChoice, nat: Result<(), Obstacle>) -> Result<(NetworkPolicy, String), String> {
        demand(choice, &nat).map_err(|error| error.to_string())?;
        let chosen = choose(choice, false, &nat);
        Ok((chosen.rules.default_policy(), chosen.description))
    }

    #[test]
    fn auto_is_nat_where_that_works() {
        use NetworkChoice::{Auto, Only};
        assert_eq!(chosen(Auto, Ok(())), Ok((NetworkPolicy::Nat, "nat".into())));
        let (policy, description) = chosen(Auto, obstacle()).unwrap();
        assert_eq!(policy, NetworkPolicy::None);
        assert_eq!(description, "none (nat does not work here: no pasta; install it)");
        assert_eq!(chosen(Only(NetworkPolicy::None), Ok(())), Ok((NetworkPolicy::None, "none".into())));
        let error = chosen(Only(NetworkPolicy::Nat), obstacle()).unwrap_err();
        assert_eq!(error, "the network policy nat does not work here: no pasta");
    }

    #[test]
    fn functions_get_the_hosts_network_only_if_the_operator_allows_it() {
        let rules = |choice, allow| choose(choice, allow, &Ok(())).rules;
        assert!(
            rules(NetworkChoice::Auto, false)
                .decide(Some(Host))
                .unwrap_err()
                .contains("--allow-host-network")
        );
        assert_eq!(rules(NetworkChoice::Auto, true).decide(Some(Host)), Ok(Host));
        assert_eq!(rules(NetworkChoice::Only(Host), false).decide(None), Ok(Host));
    }

    #[test]
    fn a_level_without_a_network_of_its_own_says_so() {
        let obstacle = nat(&Isolation::Process, Vec::new()).unwrap_err();
        assert_eq!(obstacle.reason, "the isolation level process has no network of its own");
    }
}
