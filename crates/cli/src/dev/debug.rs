//! Which functions are debugged, and where.

use std::net::{Ipv4Addr, SocketAddr};

use lambd_types::FunctionName;

use crate::args::Debugged;
use crate::failure::Failure;
use crate::project::Project;

/// Languages with a debugger that lambd starts: the beginning of their runtimes' names, the debugger, its usual port.
const DEBUGGERS: [(&str, &str, u16); 4] = [
    ("python", "debugpy", 5678),
    ("nodejs", "the Node.js inspector", 9229),
    ("java", "JDWP", 5005),
    ("ruby", "rdbg", 12345),
];

/// The functions of the project that are to be debugged, with an address each.
///
/// # Errors
/// A name that the project has not, a language without a debugger, or two functions with one port.
pub(super) fn addresses(
    wanted: &[Debugged],
    project: &Project,
) -> Result<Vec<(FunctionName, SocketAddr)>, Failure> {
    let mut all: Vec<(FunctionName, SocketAddr)> = Vec::new();
    for Debugged { name, port } in wanted {
        let Some(spec) = project.functions.iter().find(|spec| spec.name.as_str() == name) else {
            let known = project.functions.iter().map(|spec| spec.name.to_string()).collect();
            return Err(Failure::UnknownFunction { name: name.clone(), known });
        };
        let Some((_, _, usual)) = debugger(&spec.runtime) else {
            return Err(Failure::NoDebugger { name: name.clone(), runtime: spec.runtime.clone() });
        };
        let port = port.unwrap_or(usual);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if all.iter().any(|(_, taken)| *taken == address) {
            return Err(Failure::DebugPortTwice { name: name.clone(), port });
        }
        all.push((spec.name.clone(), address));
    }
    Ok(all)
}

/// What is said of a function that is debugged.
pub(super) fn notice(name: &FunctionName, runtime: &str, address: SocketAddr) -> String {
    let debugger = debugger(runtime).map_or("a debugger", |(_, debugger, _)| debugger);
    format!("{name} runs under {debugger}: its instances wait for you to attach to {address}")
}

fn debugger(runtime: &str) -> Option<(&'static str, &'static str, u16)> {
    DEBUGGERS.into_iter().find(|(prefix, ..)| runtime.starts_with(prefix))
}
