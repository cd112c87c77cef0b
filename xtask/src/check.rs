//! `cargo xtask check`: everything that is wrong without running lambd.

use std::fs;

use crate::error::Error;
use crate::workspace::Workspace;
use crate::{edges, generate, house, licences, metadata, process, requirements};

/// Runs every check, also after one has failed. True if all passed.
pub(crate) fn run(workspace: &Workspace) -> Result<bool, Error> {
    let mut good = true;
    let mut report = |name: &str, passed: bool| {
        println!("{} {name}", if passed { "ok    " } else { "FAILED" });
        good &= passed;
    };

    report("formatting (cargo fmt)", cargo(workspace, &["fmt", "--all", "--check", "--", "-l"])?);
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    report("lints (cargo clippy)", cargo(workspace, &clippy)?);

    let mut documentation = process::cargo();
    documentation.current_dir(workspace.root()).env("RUSTDOCFLAGS", "-D warnings");
    documentation.args(["doc", "--workspace", "--no-deps", "--quiet"]);
    report("documentation (cargo doc)", process::passes(&mut documentation)?);

    report("generated documents", none(&generate::stale(workspace)?));
    report("requirements", none(&requirements::breaches(workspace)?));
    let packages = metadata::packages(workspace)?;
    report("crate edges", none(&edges::breaches(workspace.root(), &packages)));
    let deny = workspace.root().join("deny.toml");
    let policy = fs::read_to_string(&deny).map_err(|e| Error::file(&deny, e))?;
    report("licences", none(&licences::breaches(&policy, &packages)));
    report("house rules", none(&house::breaches(workspace.root(), &packages)?));
    if process::on_path("cargo-deny").is_some() {
        report("advisories and sources (cargo deny)", cargo(workspace, &["deny", "check"])?);
    } else {
        println!("left out: advisories and sources, for which `cargo install --locked cargo-deny` is needed");
    }
    Ok(good)
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Result<bool, Error> {
    process::passes(process::cargo().current_dir(workspace.root()).args(arguments))
}

fn none(breaches: &[String]) -> bool {
    for breach in breaches {
        println!("  {breach}");
    }
    breaches.is_empty()
}
