//! Functions of `go1.x`: the handler is the name of an executable in the package (LANG2-006).

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use lambd_types::FunctionSnapshot;
use memchr::memmem;

use super::plan::{LaunchPlan, Launcher};
use super::roots::RuntimeRoot;
use crate::layout::TASK_ROOT;

/// What a program asks the environment for that speaks the Runtime API, and what one asks for that was built
/// before there was one.
const RUNTIME_API: &[u8] = b"AWS_LAMBDA_RUNTIME_API";
const RPC_PORT: &[u8] = b"_LAMBDA_SERVER_PORT";

impl LaunchPlan {
    /// The program that is the handler.
    pub(super) fn executable(function: &FunctionSnapshot, root: Option<&RuntimeRoot>) -> Self {
        Self {
            launcher: find(&function.code_dir, &function.handler),
            binds: Vec::new(),
            root: root.map(|root| root.directory.clone()),
            symlinks: Vec::new(),
            init_is_billed: false,
            notice: None,
        }
    }
}

fn find(code: &Path, handler: &str) -> Result<Launcher, String> {
    let failed = |reason: &str| format!("fork/exec {TASK_ROOT}/{handler}: {reason}");
    let name: PathBuf = handler.into();
    let inside = name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let program = code.join(&name);
    let meta = if inside { std::fs::metadata(&program).ok() } else { None };
    match meta {
        None => Err(failed("no such file or directory")),
        Some(meta) if meta.is_dir() || meta.permissions().mode() & 0o111 == 0 => {
            Err(failed("permission denied"))
        }
        Some(_) if speaks_rpc_only(&program) => Err(failed(
            "this program waits for calls over net/rpc, which lambd does not make; build it with version 1.18 of \
             aws-lambda-go or a later one, which speaks the Runtime API",
        )),
        Some(_) => Ok(Launcher::Executable { name }),
    }
}

/// Such a program would wait for ever, and nobody would know for what.
fn speaks_rpc_only(program: &Path) -> bool {
    let mut content = Vec::new();
    let read = File::open(program).and_then(|mut file| file.read_to_end(&mut content));
    read.is_ok()
        && memmem::find(&content, RPC_PORT).is_some()
        && memmem::find(&content, RUNTIME_API).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(content: &str, mode: u32, handler: &str) -> Result<Launcher, String> {
        let code = tempfile::tempdir().unwrap();
        let program = code.path().join("main");
        std::fs::write(&program, content).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
        find(code.path(), handler)
    }

    /// LANG2-006, LANG2-190.
    #[test]
    fn the_handler_is_an_executable_of_the_package() {
        assert_eq!(found("", 0o755, "main"), Ok(Launcher::Executable { name: "main".into() }));
        let error = |mode, handler| found("", mode, handler).unwrap_err();
        assert_eq!(error(0o755, "other"), "fork/exec /var/task/other: no such file or directory");
        assert_eq!(error(0o644, "main"), "fork/exec /var/task/main: permission denied");
        for outside in ["../main", "/bin/true", "a/../../main"] {
            assert!(error(0o755, outside).ends_with(": no such file or directory"), "{outside}");
        }
        assert!(error(0o755, ".").ends_with(": permission denied"));
    }

    #[test]
    fn a_program_from_before_the_runtime_api_is_told_of() {
        let old = found("..._LAMBDA_SERVER_PORT...", 0o755, "main").unwrap_err();
        assert!(old.contains("aws-lambda-go"), "{old}");
        assert!(found("_LAMBDA_SERVER_PORTAWS_LAMBDA_RUNTIME_API", 0o755, "main").is_ok());
    }
}
