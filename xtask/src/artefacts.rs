//! What is built before the suites run: the daemon and the packages of the test functions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;

use crate::error::Error;
use crate::process;
use crate::workspace::Workspace;

/// How to build.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Profile {
    Debug,
    Release,
}

impl Profile {
    /// The profile's folder in the build directory.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// The programs and packages that black-box tests and the benchmark use.
#[derive(Debug)]
pub(crate) struct Artefacts {
    /// The daemon.
    pub(crate) lambd: PathBuf,
    /// A deployment package whose `bootstrap` is the Rust echo function.
    pub(crate) rust_echo: PathBuf,
    /// A layer with an extension on the `lambda-extension` crate.
    pub(crate) rust_extension: PathBuf,
    /// A program that is the `bootstrap` of the function on the `lambda_http` crate.
    pub(crate) rust_http: PathBuf,
    /// The test function in C++, a program.
    pub(crate) cpp_function: PathBuf,
    /// The test functions in Go, a program.
    pub(crate) go_functions: PathBuf,
    /// What Maven makes of `tests/java`: the test functions in Java, their libraries, and the client that runs them.
    pub(crate) java_functions: PathBuf,
}

/// Builds the daemon and the test functions in compiled languages.
pub(crate) fn build(workspace: &Workspace, profile: Profile) -> Result<Artefacts, Error> {
    let mut cargo = process::cargo();
    cargo.current_dir(workspace.root()).args(["build", "--quiet"]);
    cargo.args([
        "--package",
        "lambd-server",
        "--bin",
        "lambd",
        "--package",
        "lambd-rust-echo",
        "--bin",
        "rust-echo",
        "--bin",
        "rust-extension",
        "--package",
        "lambd-rust-http",
        "--bin",
        "rust-http",
    ]);
    if matches!(profile, Profile::Release) {
        cargo.arg("--release");
    }
    process::must(&mut cargo)?;
    let folder = workspace.test_env().join(profile.folder());
    fs::create_dir_all(&folder).map_err(|e| Error::file(&folder, e))?;
    let bootstrap = folder.join("bootstrap");
    let built = workspace.program(profile.folder(), "rust-echo");
    fs::copy(&built, &bootstrap).map_err(|e| Error::file(&built, e))?;
    let _without_strip_the_package_is_only_larger = process::quietly(Command::new("strip").arg(&bootstrap));
    let rust_echo = package(&folder.join("rust-echo.zip"), &bootstrap)?;
    let rust_extension = rust_extension(workspace, profile, &folder)?;
    let rust_http = workspace.program(profile.folder(), "rust-http");
    let cpp_function = cpp_function(workspace, &folder)?;
    let go_functions = go_functions(workspace, &folder)?;
    let java_functions = java_functions(workspace)?;
    let lambd = workspace.program(profile.folder(), "lambd");
    Ok(Artefacts { lambd, rust_echo, rust_extension, rust_http, cpp_function, go_functions, java_functions })
}

/// Layers have their extensions in a folder.
fn rust_extension(workspace: &Workspace, profile: Profile, folder: &Path) -> Result<PathBuf, Error> {
    let extensions = folder.join("extensions");
    fs::create_dir_all(&extensions).map_err(|e| Error::file(&extensions, e))?;
    let built = workspace.program(profile.folder(), "rust-extension");
    let program = extensions.join("rust-extension");
    fs::copy(&built, &program).map_err(|e| Error::file(&built, e))?;
    let _without_strip_the_layer_is_only_larger = process::quietly(Command::new("strip").arg(&program));
    package(&folder.join("rust-extension.zip"), &extensions)
}

fn cpp_function(workspace: &Workspace, folder: &Path) -> Result<PathBuf, Error> {
    let program = folder.join("cpp-function");
    let source = workspace.root().join("tests/functions/cpp/main.cpp");
    let is_newer = |meta: &fs::Metadata, than: &fs::Metadata| meta.modified().ok() > than.modified().ok();
    let about = fs::metadata(&source).map_err(|e| Error::file(&source, e))?;
    if !fs::metadata(&program).is_ok_and(|built| is_newer(&built, &about)) {
        let mut compiler = Command::new("g++");
        compiler
            .args(["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-s", "-o"])
            .arg(&program)
            .arg(&source);
        process::must(&mut compiler)?;
    }
    Ok(program)
}

fn go_functions(workspace: &Workspace, folder: &Path) -> Result<PathBuf, Error> {
    let program = folder.join("go-functions");
    let mut go = Command::new("go");
    go.current_dir(workspace.root().join("tests/go")).env("CGO_ENABLED", "0");
    go.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&program).arg(".");
    process::must(&mut go)?;
    Ok(program)
}

/// Maven takes seconds to find out that it has nothing to do, so it is asked only after a change; and it
/// looks into its repositories only if it has not got everything from the last time.
pub(crate) fn java_functions(workspace: &Workspace) -> Result<PathBuf, Error> {
    let sources = workspace.root().join("tests/java");
    let target = workspace.test_env().join("java");
    let built = target.join("shaded.jar");
    let changed = newest(&sources)?;
    let is_current = |built: &Path| fs::metadata(built).and_then(|meta| meta.modified()).ok() > Some(changed);
    if is_current(&built) {
        return Ok(target);
    }
    let maven = |offline: bool| {
        let mut maven = Command::new("mvn");
        maven.current_dir(&sources).args(["--batch-mode", "--quiet", "package"]);
        maven.arg(format!("-Dtarget={}", target.display()));
        if offline {
            maven.arg("--offline");
        }
        maven
    };
    // What an earlier list of libraries had is not there any more.
    match fs::remove_dir_all(&target) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::file(&target, error));
        }
        _ => {}
    }
    if !process::quietly(&mut maven(true)) {
        process::must(&mut maven(false))?;
    }
    Ok(target)
}

/// When a folder's files were last changed.
fn newest(folder: &Path) -> Result<SystemTime, Error> {
    let mut latest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder).map_err(|e| Error::file(folder, e))? {
        let path = entry.map_err(|e| Error::file(folder, e))?.path();
        let changed = if path.is_dir() {
            newest(&path)?
        } else {
            fs::metadata(&path).and_then(|meta| meta.modified()).map_err(|e| Error::file(&path, e))?
        };
        latest = latest.max(changed);
    }
    Ok(latest)
}

/// Builds the integration test `name` of a package, and says where its program is.
pub(crate) fn test_program(workspace: &Workspace, package: &str, name: &str) -> Result<PathBuf, Error> {
    let mut cargo = process::cargo();
    cargo.current_dir(workspace.root()).args(["test", "--quiet", "--no-run", "--message-format", "json"]);
    let messages = process::text(cargo.args(["--package", package, "--test", name]))?;
    let program = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let of_test = message.pointer("/target/name")? == name && message.pointer("/profile/test")? == true;
        of_test.then(|| message.get("executable")?.as_str().map(PathBuf::from))?
    });
    program.ok_or_else(|| Error::Output(format!("{} named no test program", process::shown(&cargo))))
}

/// Packs a file or a folder, with modes, into a deployment package.
pub(crate) fn package(zip: &Path, file: &Path) -> Result<PathBuf, Error> {
    match fs::remove_file(zip) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::file(zip, error)),
        _ => {}
    }
    process::must(Command::new("python3").args(["-m", "zipfile", "-c"]).arg(zip).arg(file))?;
    Ok(zip.to_path_buf())
}
