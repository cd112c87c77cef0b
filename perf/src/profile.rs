//! Samples of a daemon that answers one invocation after the other, taken by `perf`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::invoke::{self, PAYLOAD};
use crate::lambda::{self, Function, Runtime};

const FUNCTION: Function =
    Function { name: "bench-profile", runtime: Runtime::Provided, handler: "bootstrap" };
/// Samples in a second: no multiple of what else happens in round numbers.
const RATE: &str = "1997";
/// How long is sampled.
const TIME: Duration = Duration::from_secs(8);
const WARM_UP: usize = 500;

/// Reads `--lambd PROGRAM --rust ZIP --samples FILE`, and writes the samples.
pub(crate) fn record(arguments: &[String]) -> Result<(), Error> {
    let [lambd, rust, samples] = options(arguments)?;
    let daemon = Daemon::start(&lambd)?;
    let mut client = Client::connect(daemon.address())?;
    lambda::create(&mut client, FUNCTION, &rust)?;
    let request = client.request("POST", &lambda::invocations(FUNCTION.name), PAYLOAD);
    for _ in 0..WARM_UP {
        invoke::echoed(&mut client, &request)?;
    }
    let mut perf = Command::new("perf");
    // The clock of the processor, because virtual machines often have no counters. Stacks are copied, because they
    // have no frame pointers.
    perf.args(["record", "--quiet", "--event", "cpu-clock", "--freq", RATE, "--call-graph", "dwarf,16384"]);
    perf.args(["--pid", &daemon.process().to_string(), "--output"]).arg(&samples);
    perf.args(["--", "sleep", &TIME.as_secs().to_string()]).stdin(Stdio::null());
    let start = Instant::now();
    let mut recording = perf.spawn().map_err(|e| Error::file(Path::new("perf"), e))?;
    let mut count = 0_u32;
    let status = loop {
        if let Some(status) = recording.try_wait()? {
            break status;
        }
        invoke::echoed(&mut client, &request)?;
        count += 1;
    };
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    daemon.stop()?;
    if !status.success() {
        return Err(Error::Process(format!("perf record: {status}")));
    }
    eprintln!("sampled {count} invocations, {rate:.0} a second");
    Ok(())
}

fn options(arguments: &[String]) -> Result<[PathBuf; 3], Error> {
    match arguments {
        [l, lambd, r, rust, s, samples] if [l, r, s] == ["--lambd", "--rust", "--samples"] => {
            Ok([lambd, rust, samples].map(PathBuf::from))
        }
        _ => Err(Error::Usage("profile takes --lambd PROGRAM --rust ZIP --samples FILE".to_owned())),
    }
}
