//! Which functions are debugged, and where.

use std::net::{Ipv4Addr, SocketAddr};

use lambd_types::FunctionName;

use crate::args::Debugged;
use crate::failure::Failure;
use crate::project::{Code, FunctionSpec, Project};

/// Languages with a debugger that lambd starts: the beginning of their runtimes' names, the debugger, its usual port.
const DEBUGGERS: [(&str, &str, u16); 4] = [
    ("python", "debugpy", 5678),
    ("nodejs", "the Node.js inspector", 9229),
    ("java", "JDWP", 5005),
    ("ruby", "rdbg", 12345),
];
/// The debugger of programs in Go, which lambd attaches to their process.
const OF_GO: (&str, u16) = ("Delve", 2345);
const DELVE: &str = "dlv";

/// The functions of the project that are to be debugged, with an address each.
///
/// # Errors
/// A name that the project has not, a language without a debugger, Delve that is not there, or two functions with one port.
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
        let Some((_, usual)) = debugger(spec) else {
            return Err(Failure::NoDebugger { name: name.clone(), runtime: spec.runtime.clone() });
        };
        if is_go(spec) && !is_installed(DELVE) {
            return Err(Failure::NoDelve { name: name.clone() });
        }
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
pub(super) fn notice(spec: &FunctionSpec, address: SocketAddr) -> String {
    let debugger = debugger(spec).map_or("a debugger", |(debugger, _)| debugger);
    format!("{} runs under {debugger}: its instances wait for you to attach to {address}", spec.name)
}

fn debugger(spec: &FunctionSpec) -> Option<(&'static str, u16)> {
    let of_runtime = DEBUGGERS.into_iter().find(|(prefix, ..)| spec.runtime.starts_with(prefix));
    of_runtime.map(|(_, debugger, port)| (debugger, port)).or_else(|| is_go(spec).then_some(OF_GO))
}

/// Whether a function is a program in Go: by its runtime, or by the module in its folder.
fn is_go(spec: &FunctionSpec) -> bool {
    let has_module = match &spec.code {
        Code::Folder { root, .. } => root.join("go.mod").is_file(),
        Code::Archive(_) | Code::Inline { .. } => false,
    };
    spec.runtime.starts_with("go") || (spec.runtime.starts_with("provided") && has_module)
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
