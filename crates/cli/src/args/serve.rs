//! Options of the commands that start the daemon.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use lambd_types::{AccountId, Cidr, Region};

use super::events::EventFlags;
use super::instances::InstanceFlags;
use super::isolation::IsolationFlags;
use super::limits::LimitFlags;
use super::value::{
    Debugged, Document, NetworkChoice, account, base_url, region, runtime_root, substitution,
};
use super::{ClockChoice, CpuShare, LogLevel, RuntimeDeprecation, RuntimeSubstitution};
use crate::ports::{RuntimeRoot, RuntimeSubstitutions, ServeArgs};

/// Where AWS tools for local work already look.
pub(crate) const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4566);

/// Below the data directory, for `lambd dev` too.
pub(crate) const TOOLCHAINS: &str = "toolchains";

/// Options of `lambd serve`, shared by `lambd dev`.
#[derive(Debug, Clone, Args)]
#[command(after_help = SERVE_HELP)]
pub struct ServeFlags {
    /// Address and port to listen on [default: 127.0.0.1:4566]
    ///
    /// Port 0 takes any free port. Whoever reaches this address can run code in your sandboxes: keep it
    /// local.
    #[arg(long, value_name = "ADDR", env = "LAMBD_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,

    /// Region of requests that name none
    #[arg(long, value_name = "REGION", env = "LAMBD_REGION", default_value = "us-east-1", value_parser = region)]
    pub(crate) region: Region,

    /// Account of requests whose credentials name none, twelve digits
    #[arg(long, value_name = "ID", env = "LAMBD_ACCOUNT", default_value = "000000000000", value_parser = account)]
    pub(crate) account: AccountId,

    /// Directory for functions, code and logs
    ///
    /// Default: $XDG_DATA_HOME/lambd, else ~/.local/share/lambd. `lambd dev` has a folder of its own for
    /// each project in dev/ below it: functions and logs are kept from run to run, apart from those of
    /// `lambd serve` and of other projects.
    #[arg(long, value_name = "DIR", env = "LAMBD_DATA", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) isolation: IsolationFlags,

    /// CPU time of functions [default: proportional, with dev unlimited]
    #[arg(long, value_name = "SHARE", env = "LAMBD_CPU", value_enum)]
    pub(crate) cpu: Option<CpuShare>,

    /// Network of functions that ask for none themselves: auto, nat, none or host
    ///
    /// none: only the daemon's own endpoints. nat: also connections to the outside, but not to this machine, to
    /// link-local addresses and to the metadata services of clouds; needs pasta (Debian: passt). host: this
    /// machine's network with all that it reaches. auto is nat where that works, else none. A function asks for
    /// another by its tag lambd:network.
    #[arg(long, value_name = "NETWORK", env = "LAMBD_NETWORK", default_value_t)]
    pub(crate) network: NetworkChoice,

    /// Let functions have this machine's network by their tag lambd:network=host
    ///
    /// Whoever may create functions may then reach what this machine reaches, its loopback included.
    #[arg(long, env = "LAMBD_ALLOW_HOST_NETWORK")]
    pub(crate) allow_host_network: bool,

    /// Network that functions with nat must not reach, such as 10.0.0.0/8; may be repeated
    #[arg(long = "deny-network", value_name = "CIDR", env = "LAMBD_DENY_NETWORK", value_delimiter = ',')]
    pub(crate) denied_networks: Vec<Cidr>,

    /// Object store with the interface of S3, from which code is read that S3Bucket and S3Key name
    ///
    /// For example http://127.0.0.1:9000, or https://s3.{region}.amazonaws.com for S3 itself, with the region of each
    /// request in it. Requests are signed with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of lambd's environment; without
    /// them, with the account's number for a key.
    #[arg(long, value_name = "URL", env = "LAMBD_S3_ENDPOINT", value_parser = base_url)]
    pub(crate) s3_endpoint: Option<String>,

    /// X-Ray daemon, or a collector with its interface, to which functions' trace segments are handed on
    #[arg(long, value_name = "ADDR", env = "LAMBD_XRAY_DAEMON")]
    pub(crate) xray_daemon: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) events: EventFlags,

    #[command(flatten)]
    pub(crate) limits: LimitFlags,

    #[command(flatten)]
    pub(crate) instances: InstanceFlags,

    #[command(flatten)]
    pub(crate) runtimes: RuntimeFlags,

    /// Clock of what waits for a time of day: retries and ages of events, delays and visibility of messages
    ///
    /// manual: it stands still, and `lambd clock advance` or POST /_lambd/clock moves it, so that a test need not wait.
    /// Time limits of functions, their logs and all that is shown as a date stay on the machine's clock.
    #[arg(long, value_name = "CLOCK", env = "LAMBD_CLOCK", value_enum, default_value_t)]
    pub(crate) clock: ClockChoice,

    /// How much the daemon says about itself on stderr [default: info, with dev warn]
    #[arg(long, value_name = "LEVEL", env = "LAMBD_LOG_LEVEL", value_enum)]
    pub(crate) log_level: Option<LogLevel>,
}

/// What runs functions, shared with `lambd runtimes`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RuntimeFlags {
    /// When a function's runtime version is not installed: nearest or never; may be repeated [default: nearest]
    ///
    /// nearest runs the nearest version that is installed, and says so in the function's log; never refuses. ID=RULE
    /// is for a runtime such as python3.12, or for a family such as nodejs. In the environment variable, commas
    /// separate several.
    #[arg(
        long,
        value_name = "[ID=]RULE",
        env = "LAMBD_RUNTIME_SUBSTITUTION",
        value_delimiter = ',',
        value_parser = substitution
    )]
    pub(crate) runtime_substitution: Vec<(Option<String>, RuntimeSubstitution)>,

    /// Functions on runtimes that AWS has deprecated: off, warn or enforce
    ///
    /// off: they are as good as any other. warn: they are created and updated, and the daemon's log says so.
    /// enforce: from the days on that AWS refuses it, they are refused as AWS does. Functions that are there run in
    /// any case.
    #[arg(long, value_name = "RULE", env = "LAMBD_RUNTIME_DEPRECATION", value_enum, default_value_t)]
    pub(crate) runtime_deprecation: RuntimeDeprecation,

    /// Root file system for the functions of a runtime, instead of this machine's; may be repeated
    ///
    /// ID is a runtime such as python3.12 or provided.al2023, or a family such as python or provided. PATH is a
    /// directory that holds a root file system, the directory of an OCI image layout, or a tar archive of
    /// one as `docker save` writes it; PATH:TAG chooses among several images. Images are unpacked once, into the
    /// data directory. In the environment variable, commas separate several.
    #[arg(
        long = "runtime-root",
        value_name = "ID=PATH[:TAG]",
        env = "LAMBD_RUNTIME_ROOTS",
        value_delimiter = ',',
        value_parser = runtime_root
    )]
    pub(crate) runtime_roots: Vec<RuntimeRoot>,

    /// Directory with the jars of AWS's Java runtime interface client, which Java functions need
    ///
    /// Without it, the client is used that `lambd runtimes add java` put into the data directory.
    #[arg(long, value_name = "DIR", env = "LAMBD_JAVA_RUNTIME_CLIENT")]
    pub(crate) java_runtime_client: Option<PathBuf>,
}

impl RuntimeFlags {
    /// The rules, the last of each kind.
    pub(crate) fn substitutions(&self) -> RuntimeSubstitutions {
        let mut rules = RuntimeSubstitutions::default();
        for (id, rule) in &self.runtime_substitution {
            match id {
                None => rules.others = *rule,
                Some(id) => {
                    rules.of.retain(|(other, _)| other != id);
                    rules.of.push((id.clone(), *rule));
                }
            }
        }
        rules
    }
}

const SERVE_HELP: &str = "\
Examples:
  lambd serve                                 listen on 127.0.0.1:4566
  lambd serve --listen 127.0.0.1:0 --data /tmp/try
  lambd serve --region eu-central-1 --runtime-substitution never
  lambd serve --runtime-root python3.12=/images/python:3.12 --runtime-root provided=/srv/al2023

Then, in another shell, any AWS client:
  export AWS_ENDPOINT_URL=http://127.0.0.1:4566
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1
  aws lambda list-functions

Ctrl-C or SIGTERM stops it: events in flight finish or return to the queue.";

/// Options of `lambd dev`.
#[derive(Debug, Clone, Args)]
#[command(after_help = DEV_HELP)]
pub struct DevArgs {
    /// Folder to search for functions
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,

    /// Invoke each function with this once after every deploy: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub(crate) event: Option<Document>,

    /// Exit after the invocations of --event: 0 if every function succeeded, else 1
    #[arg(long, requires = "event")]
    pub(crate) once: bool,

    /// Send --event only to this function; may be repeated
    #[arg(long = "function", value_name = "NAME", requires = "event")]
    pub(crate) functions: Vec<String>,

    /// Run this function under its language's debugger; may be repeated
    ///
    /// Each of its instances waits for a debugger at 127.0.0.1:PORT before it loads the handler. Time limits do not
    /// count while it waits and while a debugger is attached, and events are processed one after the other. Default
    /// ports: 5678 for Python (debugpy), 9229 for Node.js (inspector), 5005 for
    /// Java (JDWP), 12345 for Ruby (rdbg), 2345 for Go (Delve).
    #[arg(long, value_name = "NAME[:PORT]")]
    pub(crate) debug: Vec<Debugged>,

    #[command(flatten)]
    pub(crate) serve: ServeFlags,
}

const DEV_HELP: &str = "\
What it finds in DIR and below (hidden folders and node_modules apart):

  A folder with a lambd.toml:
    runtime = \"python\"           # the newest installed, as with \"nodejs\"; or \"python3.12\" and so on
    handler = \"app.handler\"
    name = \"hello\"               # default: the folder's name
    memory = 256                 # MB, default 128
    timeout = 10                 # seconds, default 3
    network = \"none\"             # or \"nat\", or \"host\" if --allow-host-network; default: --network
    build = \"make\"               # run with sh -c in the folder before packaging
    package = \"dist\"             # what to package, default the folder itself
    [environment]
    STAGE = \"dev\"

  A SAM template.yaml, template.yml or template.json with AWS::Serverless::Function resources.

Examples:
  lambd dev                                           the functions of this folder
  lambd dev examples/hello --event '{\"name\":\"Ada\"}'     try them at once
  lambd dev . --event @event.json --once              as a test in CI

It listens on 127.0.0.1:4566, or on a free port if that is taken and --listen is not given.
Ctrl-C stops it; deployed functions and their logs stay in its data directory.";

impl ServeFlags {
    /// How `lambd serve` runs the daemon.
    pub(crate) fn for_serve(&self) -> ServeArgs {
        self.resolved(self.data_dir())
    }

    /// How `lambd dev` runs the daemon for the project in `dir`.
    pub(crate) fn for_dev(&self, dir: &Path) -> ServeArgs {
        let data = self.data_dir().join("dev").join(project_folder(dir));
        ServeArgs {
            log_level: self.log_level.unwrap_or(LogLevel::Warn),
            cpu: self.cpu.unwrap_or(CpuShare::Unlimited),
            instances: self.instances.limits(true),
            ..self.resolved(data)
        }
    }

    /// The data directory of `lambd serve`.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(default_data_dir)
    }

    fn resolved(&self, data: PathBuf) -> ServeArgs {
        ServeArgs {
            listen: self.listen.unwrap_or(DEFAULT_LISTEN),
            region: self.region.clone(),
            account: self.account.clone(),
            data,
            toolchains: self.data_dir().join(TOOLCHAINS),
            isolation: self.isolation.choice(),
            cpu: self.cpu.unwrap_or(CpuShare::Proportional),
            network: self.network,
            allow_host_network: self.allow_host_network,
            denied_networks: self.denied_networks.clone(),
            s3_endpoint: self.s3_endpoint.clone(),
            xray_daemon: self.xray_daemon,
            events: self.events.choices(),
            limits: self.limits.limits(),
            instances: self.instances.limits(false),
            runtime_substitution: self.runtimes.substitutions(),
            runtime_deprecation: self.runtimes.runtime_deprecation,
            runtime_roots: self.runtimes.runtime_roots.clone(),
            debug: Vec::new(),
            java_runtime_client: self.runtimes.java_runtime_client.clone(),
            clock: self.clock,
            log_level: self.log_level.unwrap_or(LogLevel::Info),
        }
    }
}

/// `$XDG_DATA_HOME/lambd`, else `~/.local/share/lambd`, else (no home at all) `./.lambd`.
pub(crate) fn default_data_dir() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    match (absolute("XDG_DATA_HOME"), absolute("HOME")) {
        (Some(data), _) => data.join("lambd"),
        (None, Some(home)) => home.join(".local/share/lambd"),
        (None, None) => PathBuf::from(".lambd"),
    }
}

/// A folder name for a project: its own name for people, and enough of a digest of its path that two
/// projects of the same name stay apart.
fn project_folder(dir: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;

    let path = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let name = path.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy().into_owned());
    let digest = lambd_types::Sha256Digest::of(path.as_os_str().as_bytes()).to_hex();
    format!("{name}-{}", &digest[..8])
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::value::IsolationChoice;
    use crate::args::{Cli, Command};

    fn serve(line: &str) -> ServeFlags {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Serve(flags) => flags,
            Command::Dev(args) => args.serve,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_are_those_of_local_aws_tools() {
        let args = serve("lambd serve").for_serve();
        assert_eq!(args.listen.to_string(), "127.0.0.1:4566");
        assert_eq!(args.region, Region::default_local());
        assert_eq!(args.account, AccountId::default_local());
        assert_eq!(args.isolation, IsolationChoice::Auto);
        assert_eq!(args.runtime_substitution, RuntimeSubstitutions::default());
        assert_eq!(args.runtime_deprecation, RuntimeDeprecation::Warn);
        assert!(args.data.ends_with("lambd"));
        assert_eq!((args.network, args.allow_host_network), (NetworkChoice::Auto, false));
    }

    #[test]
    fn substitution_can_depend_on_the_runtime() {
        let line =
            "lambd serve --runtime-substitution never --runtime-substitution python=nearest,python3.12=never";
        let rules = serve(line).for_serve().runtime_substitution;
        let nearest = ["nodejs20.x", "python3.11", "python3.12", "pythonista1"]
            .map(|id| rules.rule(id) == RuntimeSubstitution::Nearest);
        assert_eq!(nearest, [false, true, false, false]);
        assert!(Cli::try_parse_from(["lambd", "serve", "--runtime-substitution", "python=newest"]).is_err());
    }

    #[test]
    fn denied_networks_are_repeated_or_listed() {
        let denied = |line: &str| -> Vec<String> {
            serve(line).for_serve().denied_networks.iter().map(ToString::to_string).collect()
        };
        assert_eq!(denied("lambd serve"), Vec::<String>::new());
        assert_eq!(
            denied("lambd serve --deny-network 10.0.0.0/8 --deny-network fd00::/8,192.0.2.1"),
            ["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"]
        );
    }

    #[test]
    fn an_isolation_level_can_be_demanded() {
        let only = |name: &str| IsolationChoice::Only(name.to_owned());
        assert_eq!(serve("lambd serve --isolation namespaces").for_serve().isolation, only("namespaces"));
        let dev = serve("lambd dev . --isolation process").for_dev(Path::new("/x"));
        assert_eq!(dev.isolation, only("process"));
    }

    #[test]
    fn roots_are_repeated_or_separated_by_commas() {
        let root = |id: &str, path: &str| RuntimeRoot { id: id.into(), path: path.into() };
        let line = "lambd serve --runtime-root python=/a:3.12 --runtime-root provided=/b,java21=/c=d";
        let roots = [root("python", "/a:3.12"), root("provided", "/b"), root("java21", "/c=d")];
        assert_eq!(serve(line).for_serve().runtime_roots, roots);
        assert_eq!(
            serve("lambd dev . --runtime-root python=x").for_dev(Path::new("/x")).runtime_roots.len(),
            1
        );
        assert_eq!(serve("lambd serve").for_serve().runtime_roots, []);
    }

    #[test]
    fn functions_have_their_share_of_the_cpu_but_not_in_development() {
        let cpu = |line: &str, dev: bool| {
            let flags = serve(line);
            if dev { flags.for_dev(Path::new("/x")).cpu } else { flags.for_serve().cpu }
        };
        assert_eq!(cpu("lambd serve", false), CpuShare::Proportional);
        assert_eq!(cpu("lambd serve --cpu unlimited", false), CpuShare::Unlimited);
        assert_eq!(cpu("lambd dev .", true), CpuShare::Unlimited);
        assert_eq!(cpu("lambd dev . --cpu proportional", true), CpuShare::Proportional);
    }

    #[test]
    fn dev_keeps_projects_apart() {
        let flags = serve("lambd dev .");
        let (a, b) = (flags.for_dev(Path::new("/x/app")).data, flags.for_dev(Path::new("/y/app")).data);
        assert_ne!(a, b);
        assert!(a.file_name().unwrap().to_str().unwrap().starts_with("app-"));
        assert!(a.parent().unwrap().ends_with("lambd/dev"));
        assert!(serve("lambd dev . --data /d").for_dev(Path::new("/x/app")).data.starts_with("/d/dev"));
    }
}
