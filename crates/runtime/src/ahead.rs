//! Which functions' processes can be started before it is known for which function.
//!
//! An interpreter loads our bootstrap, waits at its standard input for the environment of a function, and goes on as if it
//! had been started with it. What it cannot make up for is what interpreters look at once, when they start.

use std::path::PathBuf;

use lambd_types::FunctionSnapshot;

use crate::catalogue::Launcher;
use crate::environment;
use crate::layout::{self, Layout, OPT, TASK_ROOT};
use crate::ports::{Ahead, View};

/// Tells a bootstrap that it is started ahead of demand.
const VARIABLE: &str = "_LAMBD_AHEAD";

/// Beginnings of the names of variables that interpreters, or the libraries below them, look at when they start.
const EARLY: &[&str] = &[
    "AWS_LAMBDA_EXEC_WRAPPER",
    "BUNDLE",
    "GCONV_PATH",
    "GEM_",
    "GLIBC_",
    "LANG",
    "LC_",
    "LD_",
    "LOCPATH",
    "MALLOC_",
    "NODE_",
    "OPENSSL_",
    "PYTHON",
    "RUBY",
    "SSL_CERT_",
    "UV_",
    "V8_",
];

/// One of them that programs look at later.
const LATE: &str = "NODE_ENV";

/// What of a plan a program that is started ahead depends on.
pub(crate) struct Plan<'a> {
    pub(crate) launcher: &'a Launcher,
    pub(crate) root: Option<&'a PathBuf>,
    pub(crate) binds: &'a [(PathBuf, PathBuf)],
    pub(crate) symlinks: &'a [(PathBuf, PathBuf)],
}

/// The program that can be started ahead for a function; `None` where its process must be started with all that it is.
pub(crate) fn of(function: &FunctionSnapshot, plan: &Plan<'_>) -> Option<Ahead> {
    let own = |name: &str| name != LATE && EARLY.iter().any(|early| name.starts_with(early));
    if plan.root.is_some() || !plan.launcher.waits() || function.environment.iter().any(|(name, _)| own(name))
    {
        return None;
    }
    let binds: Vec<_> = plan.binds.iter().filter(|bind| !is_of_function(bind)).cloned().collect();
    // Layers are then shown piece by piece around it.
    if binds.iter().any(|(_, target)| target.starts_with(OPT)) {
        return None;
    }
    let layout = Layout::new(&View::OwnRoot, &binds, plan.symlinks);
    let start = plan.launcher.start(&layout);
    let mut env = environment::of_language(&start.env, &layout);
    env.push((VARIABLE.to_owned(), "1".to_owned()));
    Some(Ahead {
        command: start.command,
        args: start.args,
        env,
        binds,
        symlinks: plan.symlinks.to_vec(),
        tmp_bytes: function.ephemeral_storage.bytes(),
        directories: layout::libraries(&layout),
        can_be_captured: plan.launcher.has_one_thread(),
    })
}

/// Whether it is code or layers.
fn is_of_function((_, target): &(PathBuf, PathBuf)) -> bool {
    [TASK_ROOT, OPT].iter().any(|place| target.as_os_str() == *place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Family, Found, LanguageVersion};

    fn ahead(environment: &[(&str, &str)], binds: &[(&str, &str)], family: Family) -> Option<Ahead> {
        let mut function = crate::catalogue::tests::function("python3.12");
        let variables = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        function.environment = std::sync::Arc::new(variables.collect());
        let version = LanguageVersion(3, 12);
        let interpreter = Found {
            family,
            version,
            exact: None,
            program: "/usr/bin/python3.12".into(),
            prefix: "/usr".into(),
        };
        let binds: Vec<_> = binds.iter().map(|(source, target)| (source.into(), target.into())).collect();
        let launcher = Launcher::Managed { interpreter, asked: version };
        let plan = Plan { launcher: &launcher, root: None, binds: &binds, symlinks: &[] };
        of(&function, &plan)
    }

    #[test]
    fn it_depends_on_nothing_of_the_function() {
        let binds = [("/code", "/var/task"), ("/layers", "/opt"), ("/runtime", "/var/runtime")];
        let ahead = |environment| ahead(environment, &binds, Family::Python).unwrap();
        let one = ahead(&[]);
        assert_eq!(one, ahead(&[("PATH", "/mine"), ("TZ", "Asia/Tokyo"), ("NODE_ENV", "x"), ("ANY", "x")]));
        assert_eq!(one.binds, [("/runtime".into(), "/var/runtime".into())]);
        assert!(one.env.contains(&(VARIABLE.to_owned(), "1".to_owned())), "{:?}", one.env);
        assert!(!one.env.iter().any(|(name, _)| name.starts_with("AWS_")), "{:?}", one.env);
    }

    #[test]
    fn what_is_looked_at_once_needs_a_start_of_its_own() {
        let binds = [("/runtime", "/var/runtime")];
        for name in ["PYTHONUTF8", "LD_PRELOAD", "LANG", "LC_ALL", "AWS_LAMBDA_EXEC_WRAPPER", "NODE_OPTIONS"]
        {
            assert_eq!(ahead(&[(name, "1")], &binds, Family::Python), None, "{name}");
        }
        assert!(ahead(&[], &binds, Family::NodeJs).is_some());
        assert_eq!(ahead(&[], &[("/opt/node", "/opt/node")], Family::NodeJs), None, "layers go around it");
        assert_eq!(ahead(&[], &binds, Family::DotNet), None);
    }
}
