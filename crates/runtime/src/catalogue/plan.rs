//! How a function's process is started.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lambd_types::FunctionSnapshot;

use super::java::Jvm;
use super::roots::{Contents, RuntimeRoot};
use super::{Bootstraps, Family, Found, LanguageVersion, dotnet};
use crate::debugging::under_debugger;
use crate::layout::{self, LANG_DIR, Layout, OPT, TASK_ROOT};

/// The parts of a toolchain that programs need, below its prefix. Not the prefix itself: that of a Node.js in
/// `~/.local/bin` is `~/.local`, which holds much more, such as key rings and this daemon's own data.
const TOOLCHAIN_PARTS: &[&str] = &["bin", "lib", "lib64", "libexec"];
/// The same for Java; `jre` is in JDKs of Java 8.
const JAVA_PARTS: &[&str] = &["bin", "conf", "jre", "lib"];

/// Everything about a start that depends on the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchPlan {
    /// What is started, or why there is nothing to start.
    pub launcher: Result<Launcher, String>,
    /// Host directories to show inside: (host path, path inside).
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// The directory that is the root file system; without one, the host's own programs and libraries.
    pub root: Option<PathBuf>,
    /// Links of the root file system: (link, target).
    pub symlinks: Vec<(PathBuf, PathBuf)>,
    /// Whether the init phase is billed (RT-51).
    pub init_is_billed: bool,
    /// A line for the log of each instance.
    pub notice: Option<String>,
}

/// The program of a function's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launcher {
    /// The `bootstrap` of the package, or of a layer.
    Custom {
        /// Whether it is a layer's.
        in_layer: bool,
    },
    /// A program of the package.
    Executable {
        /// Its path below the package's directory.
        name: PathBuf,
    },
    /// The `bootstrap` that a root file system brings along.
    InRoot {
        /// The managed runtime that it is; none for custom ones. Programs of some languages want variables of
        /// their own.
        runtime: Option<String>,
    },
    /// Our bootstrap on .NET.
    DotNet(dotnet::DotNet),
    /// Our bootstrap on an interpreter.
    Managed {
        /// The interpreter.
        interpreter: Found,
        /// The version that the function asks for, which the interpreter's may replace.
        asked: LanguageVersion,
    },
    /// AWS's runtime interface client on a JVM.
    Java(Jvm),
}

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    /// The program.
    pub(crate) command: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Variables that the language needs.
    pub(crate) env: Vec<(String, String)>,
}

impl LaunchPlan {
    /// A custom runtime: the `bootstrap` of the package, else of its layers (RT-43, RT-44), else one that its root
    /// file system has.
    pub(super) fn custom(function: &FunctionSnapshot, root: Option<&RuntimeRoot>) -> Self {
        let places = [(Some(&function.code_dir), TASK_ROOT), (function.layers_dir.as_ref(), OPT)];
        let found = places.into_iter().find_map(|(directory, place)| {
            Some((std::fs::metadata(directory?.join("bootstrap")).ok()?, place))
        });
        let in_root = matches!(root.map(|root| &root.contents), Some(Contents::Files { bootstrap: true }));
        let launcher = match found {
            None if in_root => Ok(Launcher::InRoot { runtime: None }),
            None => Err(format!("Couldn't find valid bootstrap(s): [{TASK_ROOT}/bootstrap {OPT}/bootstrap]")),
            Some((meta, place)) if meta.is_dir() || meta.permissions().mode() & 0o111 == 0 => {
                Err(format!("fork/exec {place}/bootstrap: permission denied"))
            }
            Some((_, place)) => Ok(Launcher::Custom { in_layer: place == OPT }),
        };
        Self {
            launcher,
            binds: Vec::new(),
            root: root.map(|root| root.directory.clone()),
            symlinks: Vec::new(),
            init_is_billed: true,
            notice: None,
        }
    }

    /// A managed runtime that its root file system brings along.
    pub(super) fn brought_along(runtime: &str, root: &RuntimeRoot) -> Self {
        Self {
            launcher: Ok(Launcher::InRoot { runtime: Some(runtime.to_owned()) }),
            binds: Vec::new(),
            root: Some(root.directory.clone()),
            symlinks: Vec::new(),
            init_is_billed: false,
            notice: None,
        }
    }

    /// A managed runtime: our bootstrap on an interpreter of the host, or of another root file system.
    pub(super) fn managed(
        found: &Found,
        asked: LanguageVersion,
        bootstraps: &Bootstraps,
        root: Option<&RuntimeRoot>,
        notice: Option<String>,
    ) -> Self {
        let (mut binds, symlinks) = toolchain(found, root.is_none());
        binds.insert(0, layout::runtime(bootstraps.directory(found.family)));
        Self {
            launcher: Ok(Launcher::Managed { interpreter: found.clone(), asked }),
            binds,
            root: root.map(|root| root.directory.clone()),
            symlinks,
            init_is_billed: false,
            notice,
        }
    }
}

/// Paths in pairs, as in [`LaunchPlan`].
type Pairs = Vec<(PathBuf, PathBuf)>;

/// What makes an interpreter appear where it is looked for: places to show, and links.
pub(super) fn toolchain(found: &Found, on_host: bool) -> (Pairs, Pairs) {
    let mut binds = Vec::new();
    // Interpreters find their libraries by the place they were built for, so a toolchain keeps its
    // path; what is below /usr is inside anyway.
    if on_host && !found.prefix.starts_with("/usr") {
        let parts = if found.family == Family::Java { JAVA_PARTS } else { TOOLCHAIN_PARTS };
        let parts = parts.iter().map(|part| found.prefix.join(part));
        binds.extend(parts.filter(|part| part.is_dir()).map(|part| (part.clone(), part)));
    }
    let symlinks = if found.prefix == Path::new(LANG_DIR) {
        Vec::new()
    } else {
        vec![layout::language(found.prefix.clone())]
    };
    (binds, symlinks)
}

impl Launcher {
    /// Whether `AWS_LAMBDA_EXEC_WRAPPER` counts. Custom runtimes start themselves, and what a root file system
    /// brings along looks at the variable by itself.
    pub(crate) fn takes_wrapper(&self) -> bool {
        matches!(self, Self::Managed { .. } | Self::Java(_) | Self::DotNet(_))
    }

    /// Whether the runtime can be started before it is known for which function, and waits for that.
    pub(crate) fn waits(&self) -> bool {
        let Self::Managed { interpreter, .. } = self else { return false };
        matches!(interpreter.family, Family::Python | Family::NodeJs | Family::Ruby)
    }

    /// Whether one that waits has a single thread, and nothing in its memory that is to be random.
    pub(crate) fn has_one_thread(&self) -> bool {
        let Self::Managed { interpreter, .. } = self else { return false };
        matches!(interpreter.family, Family::Python | Family::Ruby)
    }

    /// Whether the runtime offers its process for an image after the initialisation. Others that have SnapStart on AWS
    /// have many threads.
    pub(crate) fn waits_for_its_image(&self) -> bool {
        matches!(self, Self::Managed { interpreter, .. } if interpreter.family == Family::Python)
    }

    /// Whether the runtime can be started under a debugger. Custom runtimes start themselves.
    pub(crate) fn can_be_debugged(&self) -> bool {
        // Something can attach to those.
        matches!(self, Self::Managed { .. } | Self::Java(_)) || self.is_debugged_from_outside()
    }

    /// Whether a debugger attaches to the process, as it starts by itself: that of programs in Go.
    pub(crate) fn is_debugged_from_outside(&self) -> bool {
        matches!(self, Self::Custom { .. } | Self::Executable { .. })
    }

    /// The same start under the language's debugger, listening on `port`.
    pub(crate) fn under_debugger(&self, start: Start, port: u16, layout: &Layout) -> Start {
        match self {
            Self::Managed { interpreter, .. } => under_debugger(start, interpreter.family, port, layout),
            Self::Java(_) => under_debugger(start, Family::Java, port, layout),
            Self::Custom { .. } | Self::Executable { .. } | Self::InRoot { .. } | Self::DotNet(_) => start,
        }
    }

    /// What is executed where files are as `layout` says.
    pub(crate) fn start(&self, layout: &Layout) -> Start {
        match self {
            Self::Custom { in_layer: false } => custom(&layout.task_root, layout),
            Self::Custom { in_layer: true } => custom(&layout.opt, layout),
            Self::Executable { name } => {
                Start { command: Path::new(&layout.task_root).join(name), args: Vec::new(), env: Vec::new() }
            }
            Self::InRoot { runtime } => {
                let env = runtime.as_deref().map(|runtime| of_runtime(runtime, layout)).unwrap_or_default();
                let command = Path::new(&layout.runtime_dir).join("bootstrap");
                Start { command, args: Vec::new(), env }
            }
            Self::DotNet(dotnet) => dotnet.start(layout),
            Self::Java(jvm) => jvm.start(layout),
            Self::Managed { interpreter, asked } => {
                // Packages and layers are made for one of them.
                let mut versions = vec![*asked, interpreter.version];
                versions.dedup();
                let (args, env) = of_language(interpreter.family, &versions, layout);
                Start { command: interpreter.program.clone(), args, env }
            }
        }
    }
}

/// `/bin/sh` is bash on AWS, and bootstraps rely on it. In a root file system of its own it is so in a
/// sandbox as well; on the host's files, a bootstrap that asks for it is given bash by name.
fn custom(directory: &str, layout: &Layout) -> Start {
    let bootstrap = Path::new(directory).join("bootstrap");
    let (bash, on_host) = (Path::new("/bin/bash"), layout.tmp.is_some());
    match shell_arguments(&bootstrap) {
        Some(mut args) if on_host && bash.exists() => {
            args.insert(0, "--posix".into());
            args.push(bootstrap.display().to_string());
            Start { command: bash.into(), args, env: Vec::new() }
        }
        _ => Start { command: bootstrap, args: Vec::new(), env: Vec::new() },
    }
}

/// The arguments that a script gives to `/bin/sh`, which is its interpreter; see execve(2).
fn shell_arguments(script: &Path) -> Option<Vec<String>> {
    let mut start = Vec::new();
    std::fs::File::open(script).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.strip_prefix("#!")?.trim();
    let argument = line.strip_prefix("/bin/sh")?;
    match argument.trim_start() {
        "" => Some(Vec::new()),
        _ if !argument.starts_with([' ', '\t']) => None,
        argument => Some(vec![argument.to_owned()]),
    }
}

type ArgsAndEnv = (Vec<String>, Vec<(String, String)>);

/// The variables of a runtime that a root file system brings along.
fn of_runtime(runtime: &str, layout: &Layout) -> Vec<(String, String)> {
    Family::of(runtime).map_or_else(Vec::new, |(family, version)| of_language(family, &[version], layout).1)
}

/// The versions are those whose libraries are looked for, in this order.
fn of_language(family: Family, versions: &[LanguageVersion], layout: &Layout) -> ArgsAndEnv {
    match family {
        Family::Python => python(layout),
        Family::NodeJs => nodejs(versions, layout),
        Family::Ruby => ruby(versions, layout),
        // It finds everything by itself.
        Family::Java | Family::DotNet => (Vec::new(), Vec::new()),
    }
}

fn python(layout: &Layout) -> ArgsAndEnv {
    let Layout { runtime_dir, opt, .. } = layout;
    // Without the user's own site directory, which is not inside; with everything else that users of
    // Python rely on.
    let mut args = vec!["-s".to_owned(), format!("{runtime_dir}/bootstrap.py"), opt.clone()];
    args.extend(layout.sdk.clone());
    (args, vec![("PYTHONPATH".to_owned(), runtime_dir.clone())])
}

fn nodejs(versions: &[LanguageVersion], layout: &Layout) -> ArgsAndEnv {
    let Layout { task_root, runtime_dir, opt, .. } = layout;
    let args = vec![format!("{runtime_dir}/bootstrap.cjs")];
    let of_version = |version: &LanguageVersion| format!("{opt}/nodejs/node{}/node_modules", version.0);
    let mut path: Vec<String> = versions.iter().map(of_version).collect();
    let sdk = layout.sdk.clone().unwrap_or_else(|| format!("{runtime_dir}/node_modules"));
    path.push(format!("{opt}/nodejs/node_modules:{sdk}:{runtime_dir}:{task_root}"));
    (args, vec![("NODE_PATH".to_owned(), path.join(":"))])
}

/// Gems and libraries of the package and of the layers (CORE-216).
fn ruby(versions: &[LanguageVersion], layout: &Layout) -> ArgsAndEnv {
    let Layout { task_root, runtime_dir, opt, .. } = layout;
    let of_version = |LanguageVersion(major, minor): &LanguageVersion| {
        format!("{task_root}/vendor/bundle/ruby/{major}.{minor}.0:{opt}/ruby/gems/{major}.{minor}.0")
    };
    let gems: Vec<String> = versions.iter().map(of_version).chain(layout.sdk.clone()).collect();
    let libraries = format!("{task_root}:{runtime_dir}/lib:{opt}/ruby/lib");
    let env = vec![("GEM_PATH".to_owned(), gems.join(":")), ("RUBYLIB".to_owned(), libraries)];
    (vec![format!("{runtime_dir}/bootstrap.rb")], env)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::LanguageVersion;
    use crate::ports::View;

    #[test]
    fn on_the_hosts_files_a_bootstrap_for_sh_is_run_by_bash() {
        let code = tempfile::tempdir().unwrap();
        let bootstrap = code.path().join("bootstrap");
        let start = |view: View, text: &str| {
            std::fs::write(&bootstrap, text).unwrap();
            let layout = Layout::new(&view, &[layout::code(code.path())], &[]);
            Launcher::Custom { in_layer: false }.start(&layout)
        };
        let host = || View::Host { tmp: "/t".into() };
        let path = bootstrap.display().to_string();
        let plain = start(host(), "#!/bin/sh -e\n");
        assert_eq!(plain.command, Path::new("/bin/bash"));
        assert_eq!(plain.args, ["--posix", "-e", path.as_str()]);
        for text in ["#!/bin/shell\n", "#!/usr/bin/python3\n", "\u{7f}ELF", "", "x"] {
            assert_eq!(start(host(), text).command, bootstrap, "{text}");
        }
        assert_eq!(start(View::OwnRoot, "#!/bin/sh\n").command, Path::new("/var/task/bootstrap"));
    }

    /// RT-44: the package's own file first, then that of the layers.
    #[test]
    fn a_bootstrap_is_looked_for_in_the_package_then_in_the_layers() {
        let (code, layers) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut function = crate::catalogue::tests::function("provided.al2023");
        function.code_dir = code.path().into();
        let launcher = |function: &FunctionSnapshot| LaunchPlan::custom(function, None).launcher;
        let bootstrap = |directory: &Path, mode: u32| {
            std::fs::write(directory.join("bootstrap"), "#!/bin/bash\n").unwrap();
            std::fs::set_permissions(directory.join("bootstrap"), std::fs::Permissions::from_mode(mode))
                .unwrap();
        };
        bootstrap(layers.path(), 0o755);
        assert!(launcher(&function).unwrap_err().starts_with("Couldn't find valid bootstrap(s)"));
        function.layers_dir = Some(layers.path().into());
        assert_eq!(launcher(&function), Ok(Launcher::Custom { in_layer: true }));
        let layout = Layout::new(&View::OwnRoot, &[], &[]);
        assert_eq!(launcher(&function).unwrap().start(&layout).command, Path::new("/opt/bootstrap"));
        bootstrap(layers.path(), 0o644);
        assert_eq!(launcher(&function), Err("fork/exec /opt/bootstrap: permission denied".to_owned()));
        bootstrap(code.path(), 0o755);
        assert_eq!(launcher(&function), Ok(Launcher::Custom { in_layer: false }));
    }

    /// CORE-216.
    #[test]
    fn ruby_finds_what_layers_have() {
        let layout = Layout::new(&View::OwnRoot, &[], &[]);
        let env = Launcher::InRoot { runtime: Some("ruby3.3".into()) }.start(&layout).env;
        assert_eq!(
            env,
            [
                ("GEM_PATH".into(), "/var/task/vendor/bundle/ruby/3.3.0:/opt/ruby/gems/3.3.0".into()),
                ("RUBYLIB".to_owned(), "/var/task:/var/runtime/lib:/opt/ruby/lib".to_owned()),
            ]
        );
    }

    #[test]
    fn libraries_are_those_for_the_version_asked_for_and_for_the_one_that_runs() {
        let start = |family, version, asked| {
            let program = "/usr/bin/x".into();
            let interpreter = Found { family, version, exact: None, program, prefix: "/usr".into() };
            let layout = Layout::new(&View::OwnRoot, &[], &[]);
            Launcher::Managed { interpreter, asked }.start(&layout).env[0].1.clone()
        };
        let ruby = start(Family::Ruby, LanguageVersion(3, 1), LanguageVersion(3, 3));
        assert_eq!(
            ruby,
            "/var/task/vendor/bundle/ruby/3.3.0:/opt/ruby/gems/3.3.0:\
             /var/task/vendor/bundle/ruby/3.1.0:/opt/ruby/gems/3.1.0"
        );
        let node = start(Family::NodeJs, LanguageVersion(20, 0), LanguageVersion(22, 0));
        let versions = "/opt/nodejs/node22/node_modules:/opt/nodejs/node20/node_modules:";
        assert!(node.starts_with(versions), "{node}");
        let same = start(Family::NodeJs, LanguageVersion(20, 0), LanguageVersion(20, 0));
        assert_eq!(same.matches("node20").count(), 1);
    }

    #[test]
    fn of_a_prefix_only_the_toolchain_is_shown() {
        let home = tempfile::tempdir().unwrap();
        let prefix = home.path().join(".local");
        for part in ["bin", "lib/node_modules", "share/keyrings", "share/lambd", "state"] {
            std::fs::create_dir_all(prefix.join(part)).unwrap();
        }
        let found = Found {
            family: Family::NodeJs,
            version: LanguageVersion(20, 0),
            program: prefix.join("bin/node"),
            prefix: prefix.clone(),
            exact: None,
        };
        let bootstraps = Bootstraps::at("/bootstraps".into());
        let plan = LaunchPlan::managed(&found, found.version, &bootstraps, None, None);
        let shown: Vec<_> = plan.binds.iter().map(|(from, _)| from.clone()).collect();
        assert_eq!(shown, [PathBuf::from("/bootstraps/nodejs"), prefix.join("bin"), prefix.join("lib")]);
        assert!(plan.binds.iter().skip(1).all(|(from, to)| from == to));
    }
}
