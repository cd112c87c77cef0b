//! `lambd doctor`.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::args::{DEFAULT_LISTEN, DoctorArgs, Output, default_data_dir};
use crate::console::{Console, Paint};
use crate::failure::{Exit, Failure};
use crate::ports::Inspector;
use crate::report::{Check, DoctorReport, IsolationStatus, Verdict};

pub(crate) async fn run(
    args: DoctorArgs,
    inspector: &impl Inspector,
    console: &Console,
) -> Result<Exit, Failure> {
    let data = args.data.unwrap_or_else(default_data_dir);
    let report = inspector.inspect(&data, &args.isolation.choice());
    let listener = examine_port(args.listen.unwrap_or(DEFAULT_LISTEN)).await;
    let healthy = report.is_healthy();
    match args.output {
        Output::Json => {
            let mut json = serde_json::json!(report);
            json["listener"] = serde_json::json!(listener);
            json["healthy"] = healthy.into();
            console.out(&format!("{json:#}"))?;
        }
        Output::Text => console.out(&text(&report, &listener, console.out_paint()))?,
    }
    Ok(if healthy { Exit::Good } else { Exit::Bad })
}

/// Whether the daemon could listen there, and if not, whether it is because one does already.
async fn examine_port(address: SocketAddr) -> Check {
    let name = format!("port {}", address.port());
    match TcpListener::bind(address).await {
        Ok(_) => Check::ok(name, format!("{address} is free")),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            if answers_http(address).await {
                Check::ok(name, format!("{address} is in use by an HTTP server, probably a running lambd"))
            } else {
                Check::degraded(
                    name,
                    format!("{address} is in use by another program"),
                    "choose another with --listen",
                )
            }
        }
        Err(e) => Check::degraded(name, format!("{address}: {e}"), "choose another with --listen"),
    }
}

async fn answers_http(address: SocketAddr) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(format!("HEAD / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
            .await?;
        let mut start = [0; 5];
        stream.read_exact(&mut start).await?;
        Ok::<_, std::io::Error>(&start == b"HTTP/")
    };
    matches!(tokio::time::timeout(Duration::from_secs(1), exchange).await, Ok(Ok(true)))
}

fn text(report: &DoctorReport, listener: &Check, paint: Paint) -> String {
    let mut lines = Vec::new();
    let mut section = |title: String, items: Vec<String>| {
        if !items.is_empty() {
            lines.push(paint.bold(&title));
            lines.extend(items);
            lines.push(String::new());
        }
    };
    let checks = |checks: &[Check]| checks.iter().map(|check| check_text(check, paint)).collect::<Vec<_>>();
    section(format!("Kernel {}", report.kernel_release), checks(&report.kernel));
    section("Isolation".into(), isolation(report, paint));
    section("Limits".into(), checks(&report.limits));
    section("Network".into(), checks(&report.network));
    section("Runtimes".into(), runtimes(report, paint));
    section(format!("Data directory {}", report.data_dir.display()), checks(&report.data));
    section("Listener".into(), checks(std::slice::from_ref(listener)));
    lines.push(match report.is_healthy() {
        true => format!("{} lambd can run functions on this machine.", paint.green("✓")),
        false => format!(
            "{} Something required is missing: see the lines with {}.",
            paint.red("✗"),
            paint.red("✗")
        ),
    });
    lines.join("\n")
}

fn isolation(report: &DoctorReport, paint: Paint) -> Vec<String> {
    let none = !report.isolation.iter().any(|level| level.status == IsolationStatus::Available);
    let mut lines = Vec::new();
    for level in &report.isolation {
        let in_force = report.isolation_in_force.as_deref() == Some(&level.name);
        lines.push(match &level.status {
            IsolationStatus::Available => {
                let state = if in_force { "available, in force" } else { "available" };
                let detail = level.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
                line("✓", &level.name, &format!("{state}{detail}"), paint)
            }
            IsolationStatus::Unavailable { reason, remedy } => {
                with_remedy(line(if none { "✗" } else { "!" }, &level.name, reason, paint), remedy, paint)
            }
        });
    }
    lines
}

fn runtimes(report: &DoctorReport, paint: Paint) -> Vec<String> {
    let found = report
        .runtimes
        .iter()
        .map(|r| line("✓", &r.id, &format!("{} at {}", r.version, r.path.display()), paint));
    let missing = report
        .missing_runtimes
        .iter()
        .map(|r| with_remedy(line("!", &r.id, "not installed", paint), &r.remedy, paint));
    found.chain(missing).collect()
}

fn check_text(check: &Check, paint: Paint) -> String {
    match &check.verdict {
        Verdict::Ok => line("✓", &check.name, &check.detail, paint),
        Verdict::Degraded { remedy } => {
            with_remedy(line("!", &check.name, &check.detail, paint), remedy, paint)
        }
        Verdict::Missing { remedy } => {
            with_remedy(line("✗", &check.name, &check.detail, paint), remedy, paint)
        }
    }
}

fn line(mark: &str, name: &str, detail: &str, paint: Paint) -> String {
    let mark = match mark {
        "✓" => paint.green(mark),
        "!" => paint.yellow(mark),
        _ => paint.red(mark),
    };
    format!("  {mark} {name:<22} {detail}").trim_end().to_owned()
}

fn with_remedy(line: String, remedy: &str, paint: Paint) -> String {
    if remedy.is_empty() { line } else { format!("{line}\n      {} {remedy}", paint.cyan("try:")) }
}
