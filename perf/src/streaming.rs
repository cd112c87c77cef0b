//! Streamed responses: how soon the first byte is there, and how fast the rest follows.
//!
//! The Rust function streams as many parts as its event asks for; the floor sends as many from a hyper server, to the
//! same client.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::Client;
use crate::error::Error;
use crate::floor;
use crate::options::Plan;
use crate::stats::{median, percentile};

/// Bytes of a part.
const PART: usize = 64 * 1024;
/// Parts of a response whose throughput is measured: 64 MiB.
const PARTS: usize = 1024;

/// What was measured; one value per round.
#[derive(Debug, Default)]
pub(crate) struct Streaming {
    floor: Series,
    function: Series,
}

#[derive(Debug, Default)]
struct Series {
    /// Microseconds from the first byte of the request to the first byte of the body.
    first: Vec<f64>,
    /// MiB of payload per second.
    rate: Vec<f64>,
}

impl Streaming {
    /// Measures a round: one connection, one request after the other.
    pub(crate) fn round(
        &mut self,
        floor: SocketAddr,
        daemon: SocketAddr,
        function: &str,
        plan: Plan,
    ) -> Result<(), Error> {
        let of_floor = |parts: usize, bytes: usize| (floor::stream_path(parts, bytes), Vec::new());
        self.floor.round(&mut Client::connect(floor)?, of_floor, plan)?;
        let path = format!("/2021-11-15/functions/{function}/response-streaming-invocations");
        let of_function = |parts: usize, bytes: usize| {
            let event = json!({ "stream": { "parts": parts, "bytes": bytes } });
            (path.clone(), event.to_string().into_bytes())
        };
        self.function.round(&mut Client::connect(daemon)?, of_function, plan)
    }

    pub(crate) fn table(&self) -> String {
        let mut text = String::from("streamed response      first byte  x floor   throughput  x floor\n");
        for (name, series) in [("raw HTTP", &self.floor), ("a Rust function's", &self.function)] {
            let (first, rate) = (median(&series.first), median(&series.rate));
            let _infallible = writeln!(
                text,
                "{name:<18}{:>15}{:>9.2}{:>13}{:>9.3}",
                format!("{first:.0} µs"),
                first / median(&self.floor.first),
                format!("{rate:.0} MiB/s"),
                rate / median(&self.floor.rate),
            );
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let series = |series: &Series| {
            json!({
                "first_byte_p50_us": { "median": median(&series.first), "all": series.first },
                "mib_per_s": { "median": median(&series.rate), "all": series.rate },
            })
        };
        json!({ "floor": series(&self.floor), "function": series(&self.function) })
    }
}

impl Series {
    fn round(
        &mut self,
        client: &mut Client,
        request: impl Fn(usize, usize) -> (String, Vec<u8>),
        plan: Plan,
    ) -> Result<(), Error> {
        let prepared = |client: &Client, parts, bytes| {
            let (path, body) = request(parts, bytes);
            client.request("POST", &path, &body)
        };
        let small = prepared(client, 1, 100);
        for _ in 0..20 {
            client.stream(&small)?;
        }
        let times: Result<Vec<_>, Error> =
            (0..plan.warm_requests).map(|_| client.stream(&small).map(|streamed| streamed.first)).collect();
        self.first.push(percentile(&mut times?, 0.5).as_secs_f64() * 1e6);
        let large = prepared(client, PARTS, PART);
        let streamed = client.stream(&large)?;
        if streamed.bytes < PARTS * PART {
            return Err(Error::Answer(format!("{} bytes of a stream came", streamed.bytes)));
        }
        let mebibytes = (PARTS * PART) as f64 / (1024.0 * 1024.0);
        self.rate.push(mebibytes / streamed.whole.as_secs_f64());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Series, Streaming};

    #[test]
    fn the_table_shows_ratios_to_the_floor() {
        let series = |first, rate| Series { first: vec![first], rate: vec![rate] };
        let streaming = Streaming { floor: series(50.0, 2000.0), function: series(200.0, 500.0) };
        let table = streaming.table();
        let row = table.lines().last().unwrap();
        assert!(row.contains("4.00") && row.ends_with("0.250"), "{table}");
        assert_eq!(streaming.json()["function"]["mib_per_s"]["median"], 500.0);
    }
}
