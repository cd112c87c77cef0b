//! The API of a daemon that has many functions, beside one that has few and beside the floor.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::Client;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::floor::Floor;
use crate::lambda;
use crate::options::Plan;
use crate::packages;
use crate::stats;

const FUNCTIONS: &str = "/2015-03-31/functions";
/// Functions of a page.
const PAGE: usize = 50;
/// Functions of the daemon that has few: its first page is full, and another follows.
const FEW: usize = 2 * PAGE;
/// Connections that make the functions.
const MAKERS: usize = 8;
/// Bytes of the package whose creation is measured.
const PACKAGE: usize = 10 * 1024 * 1024;
/// Requests of one kind in a row. All kinds take turns, so that a machine that slows down slows down all.
const TURN: usize = 20;
/// Requests of one kind for each creation of a small function, which costs more and grows the daemons.
const REQUESTS_FOR_A_CREATION: usize = 10;

/// What each request to the API took, and what it is compared with.
#[derive(Debug)]
pub(crate) struct Api {
    functions: usize,
    /// Making that many functions, until the last one is active.
    filled: Duration,
    floor: Times,
    get_of_few: Times,
    get: Times,
    few: Times,
    first: Times,
    last: Times,
    create_with_few: Times,
    create: Times,
    large: Times,
    /// As `large`, until the package is unpacked.
    active: Times,
    /// The same work on the package, done here: until it is stored, and until it is unpacked.
    stored: Times,
    unpacked: Times,
}

#[derive(Debug, Default)]
struct Times(Vec<Duration>);

impl Times {
    /// In microseconds.
    fn at(&self, part: f64) -> f64 {
        stats::percentile(&mut self.0.clone(), part).as_secs_f64() * 1e6
    }

    fn to_json(&self) -> Value {
        json!({ "p50_us": self.at(0.5), "p99_us": self.at(0.99) })
    }
}

impl Api {
    pub(crate) fn measure(program: &Path, plan: Plan) -> Result<Self, Error> {
        let (floor, small, large) = (Floor::start()?, Daemon::start(program)?, Daemon::start(program)?);
        make(small.address(), 0..FEW)?;
        let start = Instant::now();
        make(large.address(), 0..plan.functions)?;
        let mut api = Self {
            functions: plan.functions,
            filled: start.elapsed(),
            floor: Times::default(),
            get_of_few: Times::default(),
            get: Times::default(),
            few: Times::default(),
            first: Times::default(),
            last: Times::default(),
            create_with_few: Times::default(),
            create: Times::default(),
            large: Times::default(),
            active: Times::default(),
            stored: Times::default(),
            unpacked: Times::default(),
        };
        let (mut few, mut many) = (Client::connect(small.address())?, Client::connect(large.address())?);
        api.take_turns(&mut Client::connect(floor.address())?, &mut few, &mut many, plan)?;
        api.packages(&mut many, plan.packages)?;
        small.stop()?;
        large.stop()?;
        Ok(api)
    }

    fn take_turns(
        &mut self,
        floor: &mut Client,
        few: &mut Client,
        many: &mut Client,
        plan: Plan,
    ) -> Result<(), Error> {
        let get = |number: usize| format!("{FUNCTIONS}/{}", name(number));
        let marker = last_marker(many)?;
        let paths = [
            "/".to_owned(),
            get(FEW / 2),
            get(plan.functions / 2),
            page(None),
            page(None),
            page(marker.as_deref()),
        ];
        let zip = packages::stored(b"exit 0\n")?;
        for turn in 0..plan.api_requests.div_ceil(TURN) {
            repeat(floor, &paths[0], &mut self.floor)?;
            repeat(few, &paths[1], &mut self.get_of_few)?;
            repeat(many, &paths[2], &mut self.get)?;
            repeat(few, &paths[3], &mut self.few)?;
            repeat(many, &paths[4], &mut self.first)?;
            repeat(many, &paths[5], &mut self.last)?;
            for number in 0..TURN / REQUESTS_FOR_A_CREATION {
                // They sort before all others, and so move no page.
                let name = format!("another-{turn}-{number}");
                for (client, times) in
                    [(&mut *few, &mut self.create_with_few), (&mut *many, &mut self.create)]
                {
                    times.0.push(create(client, &name, &zip)?);
                    lambda::wait(client, &name)?;
                }
            }
        }
        Ok(())
    }

    /// Creations of functions with large packages, and the same work on each beside.
    fn packages(&mut self, client: &mut Client, count: usize) -> Result<(), Error> {
        let mut content: Vec<u8> =
            (0..PACKAGE).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for number in 0..count {
            // Each has a digest of its own.
            content[..8].copy_from_slice(&(number as u64).to_le_bytes());
            let zip = packages::stored(&content)?;
            let name = format!("large-{number}");
            let answered = create(client, &name, &zip)?;
            let start = Instant::now();
            lambda::wait(client, &name)?;
            self.large.0.push(answered);
            self.active.0.push(answered + start.elapsed());
            let work = packages::work(&zip)?;
            self.stored.0.push(work.stored);
            self.unpacked.0.push(work.unpacked);
        }
        Ok(())
    }

    /// Each kind of request: its name, its times, and the number of what it is compared with.
    fn rows(&self) -> [(&'static str, &'static str, &Times, Option<(usize, &'static str)>); 13] {
        const FLOOR: Option<(usize, &str)> = Some((0, "the floor"));
        [
            ("floor", "raw HTTP echo", &self.floor, None),
            ("get_function_of_few", "GetFunction, of 100", &self.get_of_few, FLOOR),
            ("get_function", "GetFunction", &self.get, Some((1, "that of 100"))),
            ("get_function_to_floor", "  the same", &self.get, FLOOR),
            ("list_functions_of_few", "ListFunctions, 50 of 100", &self.few, FLOOR),
            (
                "list_functions_first_page",
                "ListFunctions, the first 50",
                &self.first,
                Some((4, "that of 100")),
            ),
            (
                "list_functions_last_page",
                "ListFunctions, the last page",
                &self.last,
                Some((4, "that of 100")),
            ),
            ("create_function_beside_few", "CreateFunction, beside 100", &self.create_with_few, FLOOR),
            ("create_function", "CreateFunction", &self.create, Some((7, "that beside 100"))),
            ("work_to_store_10_mib", "digesting, writing, syncing 10 MiB", &self.stored, None),
            ("create_function_10_mib", "CreateFunction of 10 MiB", &self.large, Some((9, "that"))),
            ("work_to_unpack_10_mib", "the same and unpacking it", &self.unpacked, None),
            (
                "active_function_10_mib",
                "CreateFunction of 10 MiB to Active",
                &self.active,
                Some((11, "that")),
            ),
        ]
    }

    pub(crate) fn json(&self) -> Value {
        let rows = self.rows();
        let mut document = json!({ "functions": self.functions, "filled_s": self.filled.as_secs_f64() });
        for (key, _, times, against) in &rows {
            let mut values = times.to_json();
            if let Some((at, what)) = against {
                values["p50_ratio"] = json!(times.at(0.5) / rows[*at].2.at(0.5));
                values["p50_ratio_to"] = json!(what);
            }
            document[*key] = values;
        }
        document
    }

    /// The table that people read.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{:<44}     p50       p99\n", format!("API, {} functions", self.functions));
        let rows = self.rows();
        for (_, name, times, against) in &rows {
            let [p50, p99] = [0.5, 0.99].map(|part| times.at(part) / 1e3);
            let ratio = |(at, what): &(usize, &str)| {
                format!("   {:.2} x {what}", times.at(0.5) / rows[*at].2.at(0.5))
            };
            let note = against.as_ref().map(ratio).unwrap_or_default();
            let _infallible = writeln!(text, "{name:<38}{p50:>8.2} ms{p99:>8.2} ms{note}");
        }
        let rate = self.functions as f64 / self.filled.as_secs_f64();
        let _infallible =
            writeln!(text, "making {} functions, until all are active: {rate:.0} /s", self.functions);
        text
    }
}

fn name(number: usize) -> String {
    format!("bench-{number:05}")
}

/// Makes the functions with these numbers, and waits until all are active: what is left to do would be measured
/// with whatever comes next.
fn make(address: SocketAddr, numbers: std::ops::Range<usize>) -> Result<(), Error> {
    let zip = packages::stored(b"exit 0\n")?;
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
    })?;
    let mut client = Client::connect(address)?;
    numbers.map(name).try_for_each(|name| lambda::wait(&mut client, &name))
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

/// One turn of a kind of request. The first one comes after requests of other kinds, and does not count.
fn repeat(client: &mut Client, path: &str, times: &mut Times) -> Result<(), Error> {
    let request = client.request("GET", path, b"");
    client.send(&request)?.good()?;
    for _ in 0..TURN {
        times.0.push(client.send(&request)?.good()?.took);
    }
    Ok(())
}

fn page(marker: Option<&str>) -> String {
    let marker = marker.map(|marker| format!("&Marker={marker}")).unwrap_or_default();
    format!("{FUNCTIONS}/?MaxItems={PAGE}{marker}")
}

/// What leads to the last page.
fn last_marker(client: &mut Client) -> Result<Option<String>, Error> {
    let mut marker: Option<String> = None;
    loop {
        let request = client.request("GET", &page(marker.as_deref()), b"");
        let answer = client.send(&request)?.good()?;
        let page: Value = serde_json::from_slice(answer.body).map_err(|e| Error::Answer(e.to_string()))?;
        let Some(next) = page["NextMarker"].as_str() else { return Ok(marker) };
        // Markers are base64, of which a query takes all but these.
        marker = Some(next.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"));
    }
}
