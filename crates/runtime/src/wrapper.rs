//! `AWS_LAMBDA_EXEC_WRAPPER`: a program of a function or a layer that starts the managed runtime in its own way.

use std::path::Path;

use crate::catalogue::Start;
use crate::layout::{Layout, OPT, TASK_ROOT};

const VARIABLE: &str = "AWS_LAMBDA_EXEC_WRAPPER";

/// As in the bootstraps of the service, whose errors are lines in the log and exit statuses.
const SCRIPT: &str = r#"if [ ! -f "$0" ]; then echo "$0: does not exist"; exit 127; fi
if [ ! -x "$0" ]; then echo "$0: is not an executable"; exit 126; fi
exec "$0" "$@""#;

/// The start of a managed runtime by way of the wrapper, if the function's variables name one: it gets the
/// command line of the runtime as its arguments.
pub(crate) fn wrapped(start: Start, environment: &[(String, String)], layout: &Layout) -> Start {
    let named = environment.iter().find(|(name, value)| name == VARIABLE && !value.is_empty());
    let Some((_, wrapper)) = named else { return start };
    let program = start.command.display().to_string();
    let mut args = vec!["-c".to_owned(), SCRIPT.to_owned(), place(wrapper, layout), program];
    args.extend(start.args);
    Start { command: "/bin/sh".into(), args, env: start.env }
}

/// Where a file is that the function knows by its path on the service.
fn place(path: &str, layout: &Layout) -> String {
    let below = |directory: &str, at: &str| {
        let rest = Path::new(path).strip_prefix(directory).ok()?;
        Some(Path::new(at).join(rest).display().to_string())
    };
    below(OPT, &layout.opt).or_else(|| below(TASK_ROOT, &layout.task_root)).unwrap_or_else(|| path.to_owned())
}
