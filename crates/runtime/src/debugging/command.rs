//! How a runtime is started under its language's debugger, which waits on a port of the loopback interface.

use crate::catalogue::{Family, Start};
use crate::layout::Layout;

/// Runs debugpy, wherever the function or the interpreter has it, and by it the bootstrap.
const PYTHON: &str = r#"import runpy, sys
where = sys.argv.pop(1).split(":")
sys.path[:0] = where
try:
    import debugpy
except ImportError:
    sys.exit("lambd: debugpy is neither in the package, nor in a layer, nor installed for " + sys.executable
             + ": run `" + sys.executable + " -m pip install debugpy`")
for directory in where:
    sys.path.remove(directory)
sys.argv[0] = "debugpy"
runpy.run_module("debugpy", run_name="__main__", alter_sys=True)"#;

/// The start of a managed runtime of `family` under its debugger.
pub(crate) fn under_debugger(start: Start, family: Family, port: u16, layout: &Layout) -> Start {
    let Start { command, args, mut env } = start;
    let address = format!("127.0.0.1:{port}");
    let args = match family {
        Family::Python => {
            let Layout { task_root, opt, .. } = layout;
            // Options of the interpreter stay before the program.
            let program = args.iter().position(|arg| !arg.starts_with('-')).unwrap_or(args.len());
            let (options, rest) = args.split_at(program);
            let mut all = options.to_vec();
            // Debuggers cannot look into frozen modules; older versions know nothing of them.
            all.extend(["-Xfrozen_modules=off", "-c", PYTHON].map(str::to_owned));
            all.push(format!("{task_root}:{opt}/python"));
            all.extend(["--listen", &address, "--wait-for-client"].map(str::to_owned));
            all.extend(rest.iter().cloned());
            all
        }
        Family::NodeJs => {
            let mut all = vec![format!("--inspect={address}"), "-r".to_owned()];
            all.push(format!("{}/debug.cjs", layout.runtime_dir));
            all.extend(args);
            all
        }
        Family::Java => {
            let agent = format!("-agentlib:jdwp=transport=dt_socket,server=y,suspend=y,address={address}");
            let mut all = vec![agent];
            all.extend(args);
            all
        }
        Family::Ruby => {
            env.push(("RUBY_DEBUG_HOST".to_owned(), "127.0.0.1".to_owned()));
            env.push(("RUBY_DEBUG_PORT".to_owned(), port.to_string()));
            let mut all = vec![format!("-r{}/debug.rb", layout.runtime_dir)];
            all.extend(args);
            all
        }
        // Its debuggers come from outside, and attach to a process that runs.
        Family::DotNet => args,
    };
    Start { command, args, env }
}
