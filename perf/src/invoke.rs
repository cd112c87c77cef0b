//! Invocations of one echo function: one after the other, many at once, and those that need a new instance.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::error::Error;
use crate::lambda;
use crate::options::Plan;
use crate::report::Series;
use crate::stats;

/// Connections of a throughput measurement.
const CONNECTIONS: usize = 16;
/// What every request carries and every answer must bring back.
pub(crate) const PAYLOAD: &[u8] = br#"{"name":"Ada","numbers":[1,2,3]}"#;
/// Requests before those that are counted.
const WARM_UP: usize = 20;

/// One connection, one request after the other.
pub(crate) fn warm(address: SocketAddr, path: &str, plan: Plan, series: &mut Series) -> Result<(), Error> {
    let mut client = Client::connect(address)?;
    let request = client.request("POST", path, PAYLOAD);
    for _ in 0..WARM_UP {
        echoed(&mut client, &request)?;
    }
    let mut times = Vec::with_capacity(plan.warm_requests);
    let start = Instant::now();
    while times.len() < plan.warm_requests && start.elapsed() < plan.warm_time {
        times.push(echoed(&mut client, &request)?);
    }
    series.warm_p50.push(stats::percentile(&mut times, 0.5).as_secs_f64() * 1e6);
    series.warm_p99.push(stats::percentile(&mut times, 0.99).as_secs_f64() * 1e6);
    Ok(())
}

/// As many requests as possible on several connections.
pub(crate) fn load(address: SocketAddr, path: &str, plan: Plan, series: &mut Series) -> Result<(), Error> {
    let done = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..CONNECTIONS).map(|_| scope.spawn(|| worker(address, path, plan.load_time))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or(Err(Error::Protocol("a worker panicked"))))
            .collect::<Result<Vec<f64>, Error>>()
    })?;
    series.throughput.push(done.iter().sum());
    Ok(())
}

/// Requests per second of one connection, after a first request that may need a new instance.
fn worker(address: SocketAddr, path: &str, time: Duration) -> Result<f64, Error> {
    let mut client = Client::connect(address)?;
    let request = client.request("POST", path, PAYLOAD);
    echoed(&mut client, &request)?;
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < time {
        echoed(&mut client, &request)?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// The first invoke after a change of configuration, which needs a new instance, in milliseconds. `rest` is
/// between the change and the invoke.
pub(crate) fn cold(api: &mut Client, name: &str, mark: usize, rest: Duration) -> Result<f64, Error> {
    lambda::renew(api, name, mark)?;
    std::thread::sleep(rest);
    let request = api.request("POST", &lambda::invocations(name), PAYLOAD);
    Ok(echoed(api, &request)?.as_secs_f64() * 1e3)
}

/// Sends a prepared request with the payload, which must come back.
pub(crate) fn echoed(client: &mut Client, request: &[u8]) -> Result<Duration, Error> {
    let answer = client.send(request)?.good()?;
    // A runtime may write JSON with other spaces than the caller did.
    let same = answer.body.iter().filter(|b| !b.is_ascii_whitespace()).eq(PAYLOAD);
    if same { Ok(answer.took) } else { Err(Error::Answer("the echo is not what was sent".to_owned())) }
}
