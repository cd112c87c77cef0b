//! The API of a daemon that has many functions.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::client::Client;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::lambda;
use crate::options::Plan;
use crate::stats;

const FUNCTIONS: &str = "/2015-03-31/functions";
/// Functions of a page.
const PAGE: usize = 50;
/// Connections that make the functions.
const MAKERS: usize = 8;
/// Bytes of the package whose creation is measured.
const PACKAGE: usize = 10 * 1024 * 1024;

/// Microseconds, unless it says otherwise.
#[derive(Debug)]
pub(crate) struct Api {
    functions: usize,
    get: Times,
    few: Times,
    first: Times,
    last: Times,
    create: Times,
    /// Writing as many bytes to a file, synced.
    write: Times,
}

#[derive(Debug)]
struct Times(Vec<Duration>);

impl Times {
    fn at(&self, part: f64) -> f64 {
        stats::percentile(&mut self.0.clone(), part).as_secs_f64() * 1e6
    }

    fn to_json(&self) -> Value {
        json!({ "p50_us": self.at(0.5), "p99_us": self.at(0.99) })
    }
}

impl Api {
    pub(crate) fn measure(program: &Path, plan: Plan) -> Result<Self, Error> {
        let daemon = Daemon::start(program)?;
        let mut client = Client::connect(daemon.address())?;
        let count = plan.api_requests;
        make(daemon.address(), 0..PAGE)?;
        let few = page(&mut client, None, count)?;
        make(daemon.address(), PAGE..plan.functions)?;
        // The daemon has closed the first one, which said nothing meanwhile.
        let mut client = Client::connect(daemon.address())?;
        let get = repeat(&mut client, &format!("{FUNCTIONS}/{}", name(plan.functions / 2)), count)?;
        let first = page(&mut client, None, count)?;
        let marker = last_marker(&mut client)?;
        let last = page(&mut client, marker.as_deref(), count)?;
        let (create, write) = creations(&mut client, plan.packages)?;
        daemon.stop()?;
        Ok(Self { functions: plan.functions, get, few, first, last, create, write })
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "functions": self.functions,
            "get_function": self.get.to_json(),
            "list_functions_of_50": self.few.to_json(),
            "list_functions_first_page": self.first.to_json(),
            "list_functions_last_page": self.last.to_json(),
            "create_function_10_mib": self.create.to_json(),
            "write_10_mib": self.write.to_json(),
        })
    }

    /// The table that people read.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{:<44}     p50       p99\n", format!("API, {} functions", self.functions));
        let mut row = |name: &str, times: &Times, note: String| {
            let [p50, p99] = [0.5, 0.99].map(|part| times.at(part) / 1e3);
            let _infallible = writeln!(text, "{name:<38}{p50:>8.2} ms{p99:>8.2} ms{note}");
        };
        let ratio = |times: &Times, floor: &Times, what: &str| {
            format!("   {:.2} x {what}", times.at(0.5) / floor.at(0.5))
        };
        row("GetFunction", &self.get, String::new());
        row("ListFunctions, a page of 50 of 50", &self.few, String::new());
        row("ListFunctions, the first page", &self.first, ratio(&self.first, &self.few, "that of 50"));
        row("ListFunctions, the last page", &self.last, ratio(&self.last, &self.few, "that of 50"));
        row("CreateFunction of 10 MiB", &self.create, ratio(&self.create, &self.write, "the write"));
        row("writing 10 MiB to a file, synced", &self.write, String::new());
        text
    }
}

fn name(number: usize) -> String {
    format!("bench-{number:05}")
}

/// Makes the functions with these numbers.
fn make(address: SocketAddr, numbers: std::ops::Range<usize>) -> Result<(), Error> {
    let zip = package(b"exit 0\n")?;
    let next = std::sync::atomic::AtomicUsize::new(numbers.start);
    let maker = || {
        let mut client = Client::connect(address)?;
        loop {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if number >= numbers.end {
                return Ok(());
            }
            create(&mut client, &name(number), &zip)?;
        }
    };
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..MAKERS).map(|_| scope.spawn(maker)).collect();
        makers
            .into_iter()
            .try_for_each(|maker| maker.join().unwrap_or(Err(Error::Protocol("a maker panicked"))))
    })
}

fn create(client: &mut Client, name: &str, zip: &[u8]) -> Result<Duration, Error> {
    let body = json!({
        "FunctionName": name,
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Role": "arn:aws:iam::000000000000:role/bench",
        "Code": { "ZipFile": STANDARD.encode(zip) },
    });
    let request = client.request("POST", FUNCTIONS, body.to_string().as_bytes());
    Ok(client.send(&request)?.good()?.took)
}

/// A zip of one file, which is stored as it is.
fn package(content: &[u8]) -> Result<Vec<u8>, Error> {
    let zip = |error: zip::result::ZipError| Error::Answer(error.to_string());
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .unix_permissions(0o755);
    writer.start_file("bootstrap", options).map_err(zip)?;
    writer.write_all(content)?;
    Ok(writer.finish().map_err(zip)?.into_inner())
}

fn repeat(client: &mut Client, path: &str, count: usize) -> Result<Times, Error> {
    let request = client.request("GET", path, b"");
    for _ in 0..20 {
        client.send(&request)?.good()?;
    }
    (0..count).map(|_| Ok(client.send(&request)?.good()?.took)).collect::<Result<_, Error>>().map(Times)
}

fn page_path(marker: Option<&str>) -> String {
    let marker = marker.map(|marker| format!("&Marker={marker}")).unwrap_or_default();
    format!("{FUNCTIONS}/?MaxItems={PAGE}{marker}")
}

fn page(client: &mut Client, marker: Option<&str>, count: usize) -> Result<Times, Error> {
    repeat(client, &page_path(marker), count)
}

/// What leads to the last page.
fn last_marker(client: &mut Client) -> Result<Option<String>, Error> {
    let mut marker: Option<String> = None;
    loop {
        let request = client.request("GET", &page_path(marker.as_deref()), b"");
        let answer = client.send(&request)?.good()?;
        let page: Value = serde_json::from_slice(answer.body).map_err(|e| Error::Answer(e.to_string()))?;
        let Some(next) = page["NextMarker"].as_str() else { return Ok(marker) };
        // Markers are base64, of which a query takes all but these.
        marker = Some(next.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"));
    }
}

/// Creations of functions with large packages, each until its answer, and writing as much to a file beside.
fn creations(client: &mut Client, count: usize) -> Result<(Times, Times), Error> {
    let (mut create_times, mut write_times) = (Vec::new(), Vec::new());
    let folder = tempfile::tempdir()?;
    let mut content: Vec<u8> = (0..PACKAGE).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for number in 0..count {
        // Each has a digest of its own.
        content[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let zip = package(&content)?;
        let name = format!("large-{number}");
        create_times.push(create(client, &name, &zip)?);
        lambda::wait(client, &name)?;
        let start = Instant::now();
        let mut file = File::create(folder.path().join("file"))?;
        file.write_all(&zip)?;
        file.sync_all()?;
        write_times.push(start.elapsed());
    }
    Ok((Times(create_times), Times(write_times)))
}
