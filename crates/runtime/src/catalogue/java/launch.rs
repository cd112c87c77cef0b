//! The command line of a function's JVM, as AWS has it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use lambd_types::FunctionSnapshot;
use memchr::memmem;

use super::super::plan::{LaunchPlan, Launcher, Start, toolchain};
use super::super::{Found, RuntimeRoot};
use super::{Client, LIBRARY, archive};
use crate::layout::{self, Layout, OPT};

/// The class of the client that runs functions.
const MAIN: &str = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda";

/// Says where the client's native part is.
const NATIVE_PROPERTY: &str = "com.amazonaws.services.lambda.runtime.api.client.runtimeapi.NativeClient.JNI";

/// Has the library `org.crac`, which functions register hooks of SnapStart with, find the client's own, as on AWS.
const SNAP_START_HOOKS: &str = "-Dorg.crac.Core.Compat=com.amazonaws.services.lambda.crac";

/// JVMs since this version warn of native code, unless they are told that it is wanted.
const WARNS_OF_NATIVE_CODE: u32 = 24;

/// Variables that JVMs take options from.
const OPTIONS: [&str; 3] = ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"];

/// AWS's runtime interface client on a JVM, for one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jvm {
    program: PathBuf,
    version: u32,
    /// Options that the function's own would not override, because a JVM heeds its command line more.
    options: Vec<String>,
    /// File names of the client's jars.
    jars: Vec<String>,
    /// Whether the client's native part that lambd unpacked is for this JVM.
    has_library: bool,
    /// File name of the archive of the client's classes, if it is made.
    archive: Option<String>,
    handler: String,
    /// Variables for the locale.
    env: Vec<(String, String)>,
}

impl LaunchPlan {
    /// The client on a JVM of the host, or of another root file system; `directory` is where the client and
    /// its archives are.
    pub(in super::super) fn java(
        found: &Found,
        function: &FunctionSnapshot,
        client: &Client,
        directory: PathBuf,
        root: Option<&RuntimeRoot>,
        notice: Option<String>,
    ) -> Self {
        let program = root.map_or_else(|| found.program.clone(), |root| inside(root, &found.program));
        let archive = archive::name(found, &directory);
        let jvm = Jvm {
            program: found.program.clone(),
            version: found.version.0,
            options: options(function),
            env: locale(function),
            jars: client.names(),
            has_library: !uses_musl(&program) && directory.join(LIBRARY).exists(),
            archive: archive.filter(|archive| directory.join(archive).exists()),
            handler: function.handler.clone(),
        };
        let (mut binds, symlinks) = toolchain(found, root.is_none());
        binds.insert(0, layout::runtime(directory));
        // Layers would cover it.
        if let Some(root) = root.filter(|_| found.prefix.starts_with(OPT) && function.layers_dir.is_some()) {
            binds.push((inside(root, &found.prefix), found.prefix.clone()));
        }
        Self {
            launcher: Ok(Launcher::Java(jvm)),
            binds,
            root: root.map(|root| root.directory.clone()),
            symlinks,
            init_is_billed: false,
            notice,
        }
    }
}

fn inside(root: &RuntimeRoot, path: &Path) -> PathBuf {
    root.directory.join(path.strip_prefix("/").unwrap_or(path))
}

/// Alpine's JVMs cannot load the library, which is for glibc; the client has another for them, and unpacks it.
fn uses_musl(program: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(program).and_then(|file| file.take(4096).read_to_end(&mut start));
    read.is_ok() && memmem::find(&start, b"/ld-musl-").is_some()
}

impl Jvm {
    /// What is executed where files are as `layout` says.
    pub(in super::super) fn start(&self, layout: &Layout) -> Start {
        let Layout { runtime_dir, .. } = layout;
        let mut args = self.options.clone();
        if self.version >= WARNS_OF_NATIVE_CODE {
            args.push("--enable-native-access=ALL-UNNAMED".into());
        }
        if let Some(archive) = &self.archive {
            args.extend(archive::used(&format!("{runtime_dir}/{archive}")));
        }
        if self.has_library {
            args.push(format!("-D{NATIVE_PROPERTY}={runtime_dir}/{LIBRARY}"));
        }
        let mut path = class_path(&self.jars, layout);
        args.push(SNAP_START_HOOKS.to_owned());
        // The client looks for layers in no other place.
        if layout.opt != OPT {
            path = format!("{path}:{}/java/lib/*", layout.opt);
        }
        args.extend(["-classpath".into(), path, MAIN.into(), self.handler.clone()]);
        Start { command: self.program.clone(), args, env: self.env.clone() }
    }
}

pub(super) fn class_path(jars: &[String], layout: &Layout) -> String {
    let jars: Vec<String> = jars.iter().map(|jar| format!("{}/lib/{jar}", layout.runtime_dir)).collect();
    jars.join(":")
}

/// AWS's options: the heap is 85 % of the memory, and both collector and compiler are for short lives. What the
/// function has options of its own for is left to them.
fn options(function: &FunctionSnapshot) -> Vec<String> {
    let own = function.environment.iter().filter(|(name, _)| OPTIONS.contains(&name.as_str()));
    let own: Vec<&str> = own.flat_map(|(_, value)| value.split_ascii_whitespace()).collect();
    let sets = |wanted: &[&str]| own.iter().any(|option| wanted.iter().any(|part| option.contains(part)));
    let mut options = Vec::new();
    if !sets(&["-Xmx", "MaxHeapSize", "MaxRAM"]) {
        options.push(format!("-XX:MaxHeapSize={}k", heap_kib(function.memory.bytes())));
    }
    if !own.iter().any(|option| option.starts_with("-XX:+Use") && option.ends_with("GC")) {
        options.push("-XX:+UseSerialGC".into());
    }
    if !sets(&["TieredStopAtLevel", "TieredCompilation"]) {
        options.push("-XX:TieredStopAtLevel=1".into());
    }
    if !has_locale(function) && !sets(&["user.language", "user.country", "user.region", "user.locale"]) {
        options.extend(["-Duser.language=en", "-Duser.country=US"].map(str::to_owned));
    }
    if !sets(&["file.encoding"]) {
        options.push("-Dfile.encoding=UTF-8".into());
    }
    options
}

/// Few machines have the locale that functions have by their `LANG`, and a JVM without it has names of files in ASCII.
fn locale(function: &FunctionSnapshot) -> Vec<(String, String)> {
    if has_locale(function) { Vec::new() } else { vec![("LC_ALL".to_owned(), "C.UTF-8".to_owned())] }
}

fn has_locale(function: &FunctionSnapshot) -> bool {
    function.environment.iter().any(|(name, _)| name == "LANG" || name.starts_with("LC_"))
}

fn heap_kib(memory_bytes: u64) -> u64 {
    (memory_bytes / 1024 * 85).div_ceil(100)
}

#[cfg(test)]
mod tests {
    use super::super::super::{Bootstraps, Family, LanguageVersion};
    use super::*;
    use crate::ports::View;

    fn function(environment: &[(&str, &str)]) -> FunctionSnapshot {
        let mut function = crate::catalogue::tests::function("java21");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        function.environment = environment.iter().map(owned).collect::<Vec<_>>().into();
        function.handler = "example.Handler::handle".into();
        function
    }

    #[test]
    fn the_command_line_is_that_of_aws() {
        let (client, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let client = super::super::tests::client(client.path(), b"");
        let directory = Bootstraps::at(runtime.path().into()).directory(Family::Java);
        client.install(&directory).unwrap();
        let home = PathBuf::from("/home/me/jdk");
        let found = |major| Found {
            family: Family::Java,
            version: LanguageVersion(major, 0),
            exact: None,
            program: home.join("bin/java"),
            prefix: home.clone(),
        };
        let start = |major, layout: &Layout| {
            let plan =
                LaunchPlan::java(&found(major), &function(&[]), &client, directory.clone(), None, None);
            plan.launcher.unwrap().start(layout)
        };
        let inside = Layout::new(&View::OwnRoot, &[], &[]);
        let line = start(21, &inside);
        assert_eq!(line.command, home.join("bin/java"));
        let jars = "/var/runtime/lib/aws-lambda-java-core-1.0.jar:\
                    /var/runtime/lib/aws-lambda-java-runtime-interface-client-1.0.jar";
        let native = format!("-D{NATIVE_PROPERTY}=/var/runtime/{LIBRARY}");
        let expected = [
            "-XX:MaxHeapSize=111412k",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Duser.language=en",
            "-Duser.country=US",
            "-Dfile.encoding=UTF-8",
            &native,
            SNAP_START_HOOKS,
            "-classpath",
            jars,
            MAIN,
            "example.Handler::handle",
        ];
        assert_eq!(line.args, expected);
        let has_access = |line: Start| line.args.iter().any(|arg| arg.starts_with("--enable-native-access"));
        assert_eq!((has_access(line), has_access(start(25, &inside))), (false, true));
        let host = Layout { opt: "/data/layers/1".into(), ..inside };
        let path = start(21, &host).args.into_iter().find(|arg| arg.contains(':') && arg.contains(".jar"));
        assert!(path.unwrap().ends_with(":/data/layers/1/java/lib/*"));
    }

    #[test]
    fn options_of_the_function_go_before_those_of_lambd() {
        let of = |name, value| {
            let options = options(&function(&[(name, value)]));
            let locale = "-Duser.language=en -Duser.country=US -Dfile.encoding=UTF-8";
            options.join(" ").strip_suffix(locale).expect("a locale").trim_end().to_owned()
        };
        let all = "-XX:MaxHeapSize=111412k -XX:+UseSerialGC -XX:TieredStopAtLevel=1";
        assert_eq!(of("OTHER", "-Xmx1g -XX:+UseG1GC"), all);
        assert_eq!(of("JAVA_TOOL_OPTIONS", "-Dx=y -XX:+UseStringDeduplication"), all);
        let own = of("JAVA_TOOL_OPTIONS", "-XX:+UseZGC -XX:+ZGenerational");
        assert_eq!(own, "-XX:MaxHeapSize=111412k -XX:TieredStopAtLevel=1");
        assert_eq!(of("_JAVA_OPTIONS", "-Xmx100m -XX:+TieredCompilation"), "-XX:+UseSerialGC");
        assert_eq!(
            of("JDK_JAVA_OPTIONS", "-XX:MaxRAMPercentage=50 -XX:TieredStopAtLevel=4"),
            "-XX:+UseSerialGC"
        );
    }

    #[test]
    fn the_locale_is_english_unless_the_function_has_another() {
        let utf8 = [("LC_ALL".to_owned(), "C.UTF-8".to_owned())];
        assert_eq!(locale(&function(&[("LANGUAGE", "de")])), utf8);
        let german = function(&[("LANG", "de_DE.UTF-8"), ("JAVA_TOOL_OPTIONS", "-Dfile.encoding=COMPAT")]);
        assert_eq!((locale(&german), options(&german).len()), (Vec::new(), 3));
    }

    #[test]
    fn the_heap_is_what_aws_gives() {
        assert_eq!(heap_kib(512 << 20), 445_645);
    }
}
