//! Asynchronous events: how many get their 202 in a second, how soon they run, how fast a queue is worked off, and what
//! a long one costs.
//!
//! Events are sent by `InvokeAsync`, to a queue that is paused, so that acceptance alone is measured: an event is on disk
//! before its 202. Beside it, the same payload is appended to a file with one sync for each, as a queue without group
//! commit would do.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::lambda::{self, Function};
use crate::options::Plan;
use crate::stats::median;

/// Connections that send events at one time.
const CLIENTS: [usize; 3] = [1, 16, 256];
const PAYLOAD: &[u8] = br#"{"name":"Ada","numbers":[1,2,3]}"#;
/// Most time for a queue to be worked off.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was measured; one value per round.
#[derive(Debug, Default)]
pub(crate) struct Asynchronous {
    /// 202s per second, by number of clients.
    accepted: [Vec<f64>; CLIENTS.len()],
    /// Appended and synced payloads per second.
    naive: Vec<f64>,
    /// Milliseconds from acceptance to the attempt, of events that came one after the other.
    age: Vec<f64>,
    /// Events per second of a queue that is worked off.
    worked_off: Vec<f64>,
    backlog: Backlog,
}

/// What is different when many events wait. Memory is that of daemon and helpers, in MiB (Pss).
#[derive(Debug, Default)]
struct Backlog {
    events: u64,
    memory_before: f64,
    memory: f64,
    /// 202s per second on 16 connections.
    accepted: f64,
}

impl Asynchronous {
    /// Measures with a daemon of its own.
    pub(crate) fn measure(
        program: &Path,
        function: Function,
        package: &Path,
        plan: Plan,
    ) -> Result<Self, Error> {
        let daemon = Daemon::start(program)?;
        let mut api = Client::connect(daemon.address())?;
        lambda::create(&mut api, function, package)?;
        let mut measured = Self::default();
        for _ in 0..plan.rounds {
            measured.round(&mut api, daemon.address(), function.name, plan)?;
        }
        measured.backlog = Backlog::measure(&mut api, &daemon, function.name, plan)?;
        daemon.stop()?;
        Ok(measured)
    }

    fn round(&mut self, api: &mut Client, address: SocketAddr, name: &str, plan: Plan) -> Result<(), Error> {
        self.naive.push(naive(plan.load_time)?);
        act(api, name, "pause")?;
        for (clients, rates) in CLIENTS.into_iter().zip(&mut self.accepted) {
            rates.push(load(address, name, clients, plan.load_time)?);
            if clients > 1 {
                act(api, name, "purge")?;
            }
        }
        // Something to work off, whatever was accepted.
        load(address, name, 16, plan.load_time)?;
        let queued = shown(api, name)?["queued"].as_u64().unwrap_or_default();
        let start = Instant::now();
        act(api, name, "resume")?;
        while shown(api, name)?["queued"].as_u64().unwrap_or_default() > 0 {
            if start.elapsed() > PATIENCE {
                return Err(Error::Protocol("a queue is not worked off"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.worked_off.push(queued as f64 / start.elapsed().as_secs_f64());

        let before = ages(&shown(api, name)?);
        let mut client = Client::connect(address)?;
        let request = client.request("POST", &path(name), PAYLOAD);
        for _ in 0..plan.warm_requests.min(500) {
            client.send(&request)?.good()?;
            std::thread::sleep(Duration::from_millis(2));
        }
        let after = ages(&shown(api, name)?);
        self.age.push((after.0 - before.0) / (after.1 - before.1));
        Ok(())
    }

    pub(crate) fn table(&self) -> String {
        let mut text = String::from("asynchronous events  202s on disk   x naive\n");
        let naive = median(&self.naive);
        for (clients, rates) in CLIENTS.iter().zip(&self.accepted) {
            let rate = median(rates);
            let name = if *clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
            let _infallible =
                writeln!(text, "{name:<18}{:>15}{:>10.1}", format!("{rate:.0} /s"), rate / naive);
        }
        let _infallible = writeln!(text, "{:<18}{:>15}", "one sync each", format!("{naive:.0} /s"));
        let _infallible =
            writeln!(text, "{:<18}{:>15}", "worked off", format!("{:.0} /s", median(&self.worked_off)));
        let _infallible =
            writeln!(text, "{:<18}{:>15}", "mean age at start", format!("{:.2} ms", median(&self.age)));
        let Backlog { events, memory_before, memory, accepted } = &self.backlog;
        let _infallible = writeln!(
            text,
            "{events} waiting: {accepted:.0} /s accepted by 16 clients, {memory:.1} MiB (Pss), {memory_before:.1} before"
        );
        text
    }

    pub(crate) fn json(&self) -> Value {
        let values = |all: &[f64]| json!({ "median": median(all), "all": all });
        let accepted: serde_json::Map<String, Value> = CLIENTS
            .iter()
            .zip(&self.accepted)
            .map(|(clients, rates)| (clients.to_string(), values(rates)))
            .collect();
        json!({
            "accepted_per_s_by_clients": accepted,
            "one_sync_each_per_s": values(&self.naive),
            "worked_off_per_s": values(&self.worked_off),
            "mean_age_at_start_ms": values(&self.age),
            "backlog": {
                "events": self.backlog.events,
                "memory_before_mib": self.backlog.memory_before,
                "memory_mib": self.backlog.memory,
                "accepted_per_s": self.backlog.accepted,
            },
        })
    }
}

impl Backlog {
    fn measure(api: &mut Client, daemon: &Daemon, name: &str, plan: Plan) -> Result<Self, Error> {
        let memory = || Ok::<_, Error>(daemon.memory()?.own as f64 / f64::from(1 << 20));
        act(api, name, "purge")?;
        act(api, name, "pause")?;
        let memory_before = memory()?;
        let mut events = 0;
        while events < plan.backlog {
            load(daemon.address(), name, 256, plan.load_time)?;
            events = shown(api, name)?["queued"].as_u64().unwrap_or_default();
        }
        let accepted = load(daemon.address(), name, 16, plan.load_time)?;
        Ok(Self { events, memory_before, memory: memory()?, accepted })
    }
}

fn path(name: &str) -> String {
    format!("/2014-11-13/functions/{name}/invoke-async/")
}

fn act(api: &mut Client, name: &str, action: &str) -> Result<(), Error> {
    let body = json!({ "action": action }).to_string();
    let request = api.request("POST", &format!("/_lambd/events/{name}"), body.as_bytes());
    api.send(&request)?.good().map(drop)
}

fn shown(api: &mut Client, name: &str) -> Result<Value, Error> {
    let request = api.request("GET", &format!("/_lambd/events/{name}?limit=0"), b"");
    let answer = api.send(&request)?.good()?;
    serde_json::from_slice(answer.body).map_err(|_| Error::Protocol("an answer that is not JSON"))
}

/// Sum and number of ages.
fn ages(shown: &Value) -> (f64, f64) {
    let age = &shown["metrics"]["AsyncEventAge"];
    (age["sum"].as_f64().unwrap_or(0.0), age["count"].as_f64().unwrap_or(0.0))
}

/// Payloads per second that are written to a file, each synced by itself.
fn naive(time: Duration) -> Result<f64, Error> {
    let mut file = tempfile::tempfile()?;
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < time {
        file.write_all(PAYLOAD)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// Events per second that get their 202 on several connections.
fn load(address: SocketAddr, name: &str, clients: usize, time: Duration) -> Result<f64, Error> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..clients).map(|_| scope.spawn(|| worker(address, name, time))).collect();
        let mut sum = 0.0;
        for worker in workers {
            sum += worker.join().unwrap_or(Err(Error::Protocol("a worker panicked")))?;
        }
        Ok(sum)
    })
}

fn worker(address: SocketAddr, name: &str, time: Duration) -> Result<f64, Error> {
    let mut client = Client::connect(address)?;
    let request = client.request("POST", &path(name), PAYLOAD);
    client.send(&request)?.good()?;
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < time {
        if client.send(&request)?.good()?.status != 202 {
            return Err(Error::Protocol("an event that was not accepted"));
        }
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::{Asynchronous, Backlog};

    #[test]
    fn the_table_shows_ratios_to_one_sync_each() {
        let measured = Asynchronous {
            accepted: [vec![500.0], vec![5_000.0], vec![10_000.0]],
            naive: vec![500.0],
            age: vec![0.4],
            worked_off: vec![900.0],
            backlog: Backlog { events: 9, memory_before: 20.0, memory: 21.5, accepted: 8000.0 },
        };
        let table = measured.table();
        assert!(table.contains("256 clients              10000 /s      20.0"), "{table}");
        assert!(
            table.contains("9 waiting: 8000 /s accepted by 16 clients, 21.5 MiB (Pss), 20.0 before"),
            "{table}"
        );
        assert_eq!(measured.json()["accepted_per_s_by_clients"]["16"]["median"], 5_000.0);
    }
}
