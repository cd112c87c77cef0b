//! The command line of a function's .NET, as AWS has it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lambd_types::FunctionSnapshot;

use super::super::plan::{LaunchPlan, Launcher, Start};
use super::super::{Bootstraps, Family, Found, RuntimeRoot};
use crate::layout::{self, LANG_DIR, Layout};

/// Names the assembly whose `deps.json` and `runtimeconfig.json` count, if it is not that of the handler.
const MAIN_ASSEMBLY: &str = "LAMBDA_DOTNET_MAIN_ASSEMBLY";

/// What of an installation programs need. Not all of it: `~/.dotnet` has the user's certificates as well.
const PARTS: [&str; 3] = ["dotnet", "host", "shared"];

/// Where the libraries for languages and regions (ICU) are.
const LIBRARIES: [&str; 6] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib64",
    "usr/lib",
    "lib64",
    "usr/local/lib",
];

/// Versions of ICU that there may be: .NET needs 50.
const ICU: std::ops::RangeInclusive<u32> = 50..=99;

/// lambd's bootstrap on .NET, for one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DotNet {
    program: PathBuf,
    /// All of the runtime's version.
    version: String,
    /// File names in the package's directory.
    dependencies: Option<String>,
    configuration: Option<String>,
    /// An assembly of the package that is a program and speaks the Runtime API by itself.
    executable: Option<String>,
    /// The newest ICU that is there.
    icu: Option<u32>,
    memory_bytes: u64,
}

impl LaunchPlan {
    /// The bootstrap on a .NET of the host, or of another root file system.
    pub(in super::super) fn dotnet(
        found: &Found,
        function: &FunctionSnapshot,
        bootstraps: &Bootstraps,
        root: Option<&RuntimeRoot>,
        notice: Option<String>,
    ) -> Self {
        let files = Files::of(function);
        let dotnet = DotNet {
            program: found.program.clone(),
            version: found
                .exact
                .clone()
                .unwrap_or_else(|| format!("{}.{}.0", found.version.0, found.version.1)),
            dependencies: files.dependencies,
            configuration: files.configuration,
            executable: files.executable,
            icu: root.map_or_else(icu_of_host, |root| icu(&root.directory)),
            memory_bytes: function.memory.bytes(),
        };
        let mut binds = vec![layout::runtime(bootstraps.directory(Family::DotNet))];
        let (parts, symlinks) = toolchain(found, root.is_none());
        binds.extend(parts);
        Self {
            launcher: Ok(Launcher::DotNet(dotnet)),
            binds,
            root: root.map(|root| root.directory.clone()),
            symlinks,
            init_is_billed: false,
            notice,
        }
    }
}

type Places = Vec<(PathBuf, PathBuf)>;

/// What makes an installation appear where it is looked for: places to show, and links.
fn toolchain(found: &Found, on_host: bool) -> (Places, Places) {
    let root = found.program.parent().unwrap_or(&found.prefix);
    let mut binds = Vec::new();
    // What is below /usr is inside anyway.
    if on_host && !root.starts_with("/usr") {
        let parts = PARTS.iter().map(|part| root.join(part));
        binds.extend(parts.filter(|part| part.exists()).map(|part| (part.clone(), part)));
    }
    // On AWS the program is in /var/lang/bin.
    let is_there = root == Path::new(LANG_DIR) || root == Path::new(LANG_DIR).join("bin");
    let symlinks = if is_there { Vec::new() } else { vec![layout::language(root.to_owned())] };
    (binds, symlinks)
}

/// The files of a package that matter for the start.
#[derive(Debug, Default, PartialEq, Eq)]
struct Files {
    dependencies: Option<String>,
    configuration: Option<String>,
    executable: Option<String>,
}

impl Files {
    fn of(function: &FunctionSnapshot) -> Self {
        let named = function.environment.iter().find(|(name, _)| name == MAIN_ASSEMBLY);
        let handler = function.handler.as_str();
        let assembly =
            named.map_or(handler.split(':').next().unwrap_or_default(), |(_, value)| value.as_str());
        let assembly = assembly.trim().trim_end_matches(".dll");
        let is_there = |name: &String| function.code_dir.join(name).is_file();
        if !handler.contains(':') && !handler.contains('/') {
            let program = format!("{}.dll", handler.trim_end_matches(".dll"));
            if is_there(&program) {
                return Self { executable: Some(program), ..Self::default() };
            }
        }
        let find = |suffix: &str| {
            Some(format!("{assembly}{suffix}"))
                .filter(|name| !name.contains('/') && is_there(name))
                .or_else(|| only_one(&function.code_dir, suffix))
        };
        Self {
            dependencies: find(".deps.json"),
            configuration: find(".runtimeconfig.json"),
            executable: None,
        }
    }
}

/// The file whose name ends in this way, if there is no other.
fn only_one(directory: &Path, suffix: &str) -> Option<String> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let name = names.find(|name| name.ends_with(suffix))?;
    names.all(|other| !other.ends_with(suffix)).then_some(name)
}

fn icu_of_host() -> Option<u32> {
    static FOUND: OnceLock<Option<u32>> = OnceLock::new();
    *FOUND.get_or_init(|| icu(Path::new("/")))
}

fn icu(root: &Path) -> Option<u32> {
    let is_there = |version: &u32| {
        LIBRARIES.iter().any(|place| root.join(place).join(format!("libicuuc.so.{version}")).exists())
    };
    ICU.rev().find(is_there)
}

impl DotNet {
    /// What is executed where files are as `layout` says.
    pub(in super::super) fn start(&self, layout: &Layout) -> Start {
        let Layout { task_root, runtime_dir, .. } = layout;
        let mut args = vec!["exec".to_owned()];
        if let Some(program) = &self.executable {
            args.push(format!("{task_root}/{program}"));
        } else {
            if let Some(name) = &self.dependencies {
                args.extend(["--depsfile".to_owned(), format!("{task_root}/{name}")]);
            }
            match &self.configuration {
                Some(name) => args.extend(["--runtimeconfig".to_owned(), format!("{task_root}/{name}")]),
                None => args.extend(["--fx-version".to_owned(), self.version.clone()]),
            }
            args.push(format!("{runtime_dir}/bootstrap.dll"));
        }
        Start { command: self.program.clone(), args, env: self.variables() }
    }

    fn variables(&self) -> Vec<(String, String)> {
        let root = self.program.parent().unwrap_or(Path::new("/")).display().to_string();
        let mut env = vec![
            ("DOTNET_ROOT", root),
            // A package for an older version than the one that was chosen.
            ("DOTNET_ROLL_FORWARD", "Major".to_owned()),
            // .NET looks for the limit of its container, which is not to be seen inside; without one it would
            // put off collecting until it is killed. In hexadecimal.
            ("COMPlus_GCHeapHardLimit", format!("{:x}", self.memory_bytes / 10 * 8)),
        ];
        env.push(match self.icu {
            // Versions of .NET look for those that they know, which the machine's may be too new for.
            Some(version) => ("CLR_ICU_VERSION_OVERRIDE", version.to_string()),
            // .NET does not start without, unless it is told to.
            None => ("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1".to_owned()),
        });
        env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Catalogue, LanguageVersion, Substitution};
    use super::*;
    use crate::ports::View;

    fn plan(files: &[&str], handler: &str, environment: &[(&str, &str)]) -> Vec<String> {
        let (code, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for file in files {
            std::fs::write(code.path().join(file), "").unwrap();
        }
        for part in PARTS {
            std::fs::create_dir(home.path().join(part)).unwrap();
        }
        let mut function = crate::catalogue::tests::function("dotnetcore3.1");
        function.code_dir = code.path().into();
        function.handler = handler.into();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        function.environment = environment.iter().map(owned).collect::<Vec<_>>().into();
        let found = Found {
            family: Family::DotNet,
            version: LanguageVersion(3, 1),
            exact: Some("3.1.23".into()),
            program: home.path().join("dotnet"),
            prefix: home.path().into(),
        };
        let plan = LaunchPlan::dotnet(&found, &function, &Bootstraps::at("/b".into()), None, None);
        let shown: Vec<&Path> = plan.binds.iter().map(|(_, target)| target.as_path()).collect();
        assert_eq!(shown[0], Path::new("/var/runtime"));
        assert_eq!(shown[1..], PARTS.map(|part| home.path().join(part)));
        assert_eq!(plan.symlinks, [(LANG_DIR.into(), home.path().into())]);
        let start = plan.launcher.unwrap().start(&Layout::new(&View::OwnRoot, &[], &[]));
        assert_eq!(start.command, home.path().join("dotnet"));
        assert!(start.env.contains(&("COMPlus_GCHeapHardLimit".into(), "6666660".into())), "80 % of 128 MiB");
        start.args
    }

    #[test]
    fn the_command_line_is_that_of_aws() {
        let files = ["App.dll", "App.deps.json", "App.runtimeconfig.json", "Other.deps.json"];
        let whole = [
            "exec",
            "--depsfile",
            "/var/task/App.deps.json",
            "--runtimeconfig",
            "/var/task/App.runtimeconfig.json",
            "/var/runtime/bootstrap.dll",
        ];
        assert_eq!(plan(&files, "App::Example.Function::Handle", &[]), whole);
        let own = ["exec", "--fx-version", "3.1.23", "/var/runtime/bootstrap.dll"];
        assert_eq!(plan(&["App.dll"], "App::Example.Function::Handle", &[]), own);
        // Only one is there to be meant.
        let args = plan(&["Else.deps.json"], "App::Example.Function::Handle", &[]);
        assert_eq!(args[1..3], ["--depsfile", "/var/task/Else.deps.json"]);
        let args = plan(&["A.deps.json", "B.deps.json"], "App::Example.Function::Handle", &[]);
        assert_eq!(args, own);
        let args = plan(
            &["A.deps.json", "B.deps.json"],
            "App::Example.Function::Handle",
            &[("LAMBDA_DOTNET_MAIN_ASSEMBLY", "B.dll")],
        );
        assert_eq!(args[2], "/var/task/B.deps.json");
    }

    #[test]
    fn an_assembly_may_be_a_program_by_itself() {
        assert_eq!(plan(&["App.dll"], "App", &[]), ["exec", "/var/task/App.dll"]);
        assert_eq!(plan(&["App.dll"], "Other", &[])[3], "/var/runtime/bootstrap.dll");
    }

    #[test]
    fn a_newer_one_runs_what_was_made_for_an_older_one_and_never_the_reverse() {
        let found = |version| Found {
            family: Family::DotNet,
            version,
            exact: None,
            program: "/usr/share/dotnet/dotnet".into(),
            prefix: "/usr/share/dotnet".into(),
        };
        let found = vec![found(LanguageVersion(8, 0)), found(LanguageVersion(3, 1))];
        let catalogue = Catalogue::new(found, Substitution::Nearest, Bootstraps::at("/b".into()));
        let runs_on = |runtime: &str| {
            let plan = catalogue.plan(&crate::catalogue::tests::function(runtime));
            plan.map(|plan| plan.notice.unwrap_or_default()).map_err(|error| error.to_string())
        };
        assert_eq!(runs_on("dotnet8"), Ok(String::new()));
        assert!(runs_on("dotnetcore2.1").unwrap().contains("running on dotnetcore3.1 instead"));
        assert!(runs_on("dotnet6").unwrap().contains("running on dotnet8 instead"));
        assert!(runs_on("dotnet10").unwrap_err().contains("dotnet10 needs .NET 10, which is not installed"));
    }

    #[test]
    fn the_newest_icu_is_named() {
        let root = tempfile::tempdir().unwrap();
        let library = root.path().join("usr/lib64");
        std::fs::create_dir_all(&library).unwrap();
        assert_eq!(icu(root.path()), None);
        for version in ["67", "72", "72.1", "so"] {
            std::fs::write(library.join(format!("libicuuc.so.{version}")), "").unwrap();
        }
        assert_eq!(icu(root.path()), Some(72));
    }
}
