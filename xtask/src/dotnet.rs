//! lambd's runtime for .NET, and test functions in C#, compiled with Mono's `mcs`.
//!
//! The runtime's assembly is part of the repository, so that a build of lambd needs no C# compiler. `mcs` makes the same
//! bytes of the same sources every time; a test compares them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::process;
use crate::python::Environment;
use crate::workspace::Workspace;

/// What the runtime is, and where it is in the repository.
const RUNTIME: &str = "runtimes/dotnet";
const ASSEMBLY: &str = "bootstrap.dll";

/// AWS's library, or what stands for it.
const CORE: &str = "Amazon.Lambda.Core.dll";

/// Assemblies of .NET that the test functions refer to.
const REFERENCES: &[&str] = &[
    "System.Private.CoreLib",
    "System.Runtime",
    "System.Runtime.Extensions",
    "System.Collections",
    "System.Console",
    "System.Core",
    "System.IO.FileSystem",
    "System.Linq",
    "System.Text.Json",
    "System.Threading",
    "System.Threading.Tasks",
    "mscorlib",
    "System",
];

/// Has the compiler refer to nothing but what it is told of.
const OWN_REFERENCES: &[&str] = &["-nostdlib", "-noconfig"];

/// What tests of .NET functions need.
#[derive(Debug)]
pub(crate) struct DotNet {
    /// The directory with `dotnet`.
    pub(crate) root: PathBuf,
    /// Assemblies of test functions and the runtime, compiled now.
    pub(crate) assemblies: PathBuf,
}

/// Compiles the runtime in its place in the repository.
pub(crate) fn write_runtime(workspace: &Workspace) -> Result<(), Error> {
    let folder = workspace.test_env().join("dotnet");
    let built = runtime(workspace, &folder)?;
    let place = workspace.root().join(RUNTIME).join(ASSEMBLY);
    let assembly = fs::read(&built).map_err(|e| Error::file(&built, e))?;
    fs::write(&place, assembly).map_err(|e| Error::file(&place, e))
}

/// Compiles the runtime and the test functions.
pub(crate) fn build(workspace: &Workspace, python: &Environment) -> Result<DotNet, Error> {
    let folder = workspace.test_env().join("dotnet");
    runtime(workspace, &folder)?;
    let (root, library) = installed(python)?;

    let later = folder.join("later");
    fs::create_dir_all(&later).map_err(|e| Error::file(&later, e))?;
    let references = references(&library);
    let own = OWN_REFERENCES.iter().map(|&argument| argument.to_owned());
    // What it has for .NET 8 names types that Mono has in other places.
    let of_later: Vec<String> =
        own.clone().chain(["-define:LATER".to_owned()]).chain(references.clone()).collect();
    core(workspace, &later, &of_later)?;
    let source = |name: &str| workspace.root().join("tests/dotnet").join(name);
    for (name, folder) in [("Functions", &folder), ("Plain", &folder), ("Later", &later)] {
        let mut mcs = mcs(&folder.join(format!("{name}.dll")));
        mcs.args(["-unsafe", "-target:library"]).args(own.clone()).args(&references);
        mcs.arg(format!("-r:{}", folder.join(CORE).display())).arg(source(&format!("{name}.cs")));
        process::must(&mut mcs)?;
    }
    Ok(DotNet { root, assemblies: folder })
}

/// The .NET of the tests: the directory with `dotnet`, and that of the framework, which is called by its version.
pub(crate) fn installed(python: &Environment) -> Result<(PathBuf, PathBuf), Error> {
    let where_it_is = "import dotnetcore2; print(*dotnetcore2.__path__)";
    let package = process::text(python.python().args(["-c", where_it_is]))?;
    let root = Path::new(package.trim()).join("bin");
    let runtimes = root.join("shared/Microsoft.NETCore.App");
    let mut versions = fs::read_dir(&runtimes).map_err(|e| Error::file(&runtimes, e))?.flatten();
    let library = versions.next().map(|entry| entry.path()).unwrap_or(runtimes);
    Ok((root, library))
}

/// Compiles the runtime into a folder.
fn runtime(workspace: &Workspace, folder: &Path) -> Result<PathBuf, Error> {
    fs::create_dir_all(folder).map_err(|e| Error::file(folder, e))?;
    let core = core(workspace, folder, &[])?;
    let sources = workspace.root().join(RUNTIME).join("src");
    let entries = fs::read_dir(&sources).map_err(|e| Error::file(&sources, e))?;
    let mut sources: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    sources.sort();
    let built = folder.join(ASSEMBLY);
    let mut mcs = mcs(&built);
    mcs.args(["-target:exe", "-debug-"]).arg(format!("-r:{}", core.display())).args(sources);
    process::must(&mut mcs)?;
    Ok(built)
}

/// The assemblies of .NET as the compiler wants to be told of them.
fn references(library: &Path) -> Vec<String> {
    REFERENCES.iter().map(|name| format!("-r:{}/{name}.dll", library.display())).collect()
}

fn core(workspace: &Workspace, folder: &Path, options: &[String]) -> Result<PathBuf, Error> {
    let built = folder.join(CORE);
    let source = workspace.root().join(RUNTIME).join("Amazon.Lambda.Core.cs");
    process::must(mcs(&built).arg("-target:library").args(options).arg(source))?;
    Ok(built)
}

/// The compiler, told where to put the assembly.
pub(crate) fn mcs(to: &Path) -> Command {
    let mut mcs = Command::new("mcs");
    mcs.args(["-optimize+", "-warnaserror"]).arg(format!("-out:{}", to.display()));
    mcs
}
