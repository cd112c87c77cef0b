//! The results as a picture: warm invocations and cold starts of lambd, of the floors and of the peers, as bars on a
//! logarithmic axis.
//!
//! The colours are chosen so that they can be read on a light and on a dark page; texts follow the page's scheme.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::error::Error;

const WIDTH: f64 = 860.0;
/// Where bars begin, and where they end at most: names are to the left, values to the right.
const LEFT: f64 = 290.0;
const RIGHT: f64 = 760.0;
const BAR: f64 = 16.0;
const ROW: f64 = 24.0;
/// Above the first bar of a panel, and below its last.
const HEAD: f64 = 46.0;
const FOOT: f64 = 34.0;

/// Whose a bar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Floor,
    Lambd,
    Peer,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Lambd => "lambd",
            Self::Peer => "peer",
        }
    }
}

struct Bar {
    name: String,
    kind: Kind,
    /// In the panel's unit, above zero.
    value: f64,
}

struct Panel {
    title: &'static str,
    unit: &'static str,
    bars: Vec<Bar>,
}

/// Draws the results in a file into another.
pub(crate) fn of_file(file: &Path, picture: &Path) -> Result<(), Error> {
    let text = std::fs::read_to_string(file).map_err(|e| Error::file(file, e))?;
    let document: Value =
        serde_json::from_str(&text).map_err(|e| Error::Usage(format!("{}: {e}", file.display())))?;
    let svg = of(&document).ok_or_else(|| Error::Usage(format!("no invocations in {}", file.display())))?;
    std::fs::write(picture, svg).map_err(|e| Error::file(picture, e))
}

/// The picture; `None` if no invocation was measured.
fn of(document: &Value) -> Option<String> {
    let panels: Vec<Panel> =
        [warm(document), cold(document)].into_iter().filter(|p| !p.bars.is_empty()).collect();
    if panels.is_empty() {
        return None;
    }
    let height = |panel: &Panel| HEAD + ROW * panel.bars.len() as f64 + FOOT;
    let whole: f64 = panels.iter().map(height).sum::<f64>() + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {whole}\" width=\"{WIDTH}\" height=\"{whole}\" role=\"img\" \
         aria-label=\"Warm invocations and cold starts of lambd beside floors and other programs\">\n\
         <style>\n\
         text {{ font: 13px system-ui, sans-serif; fill: #24292f }}\n\
         .title {{ font-weight: 600; font-size: 15px }}\n\
         .tick, .legend {{ font-size: 11px; fill: #57606a }}\n\
         .grid {{ stroke: #8c959f; stroke-opacity: 0.35 }}\n\
         .lambd {{ fill: #1f7ae0 }} .floor {{ fill: #8c959f }} .peer {{ fill: #d9822b }}\n\
         @media (prefers-color-scheme: dark) {{\n\
         text {{ fill: #e6edf3 }} .tick, .legend {{ fill: #9da7b3 }} .lambd {{ fill: #4c9bf5 }} .peer {{ fill: #e89b4c }}\n\
         }}\n\
         </style>\n"
    );
    let mut top = 0.0;
    for panel in &panels {
        draw(&mut svg, panel, top);
        top += height(panel);
    }
    let mut x = LEFT;
    for (kind, name) in [
        (Kind::Lambd, "lambd"),
        (Kind::Floor, "floor: nothing behind a socket"),
        (Kind::Peer, "other programs"),
    ] {
        let _infallible = writeln!(
            svg,
            "<rect class=\"{}\" x=\"{x}\" y=\"{}\" width=\"11\" height=\"11\"/><text class=\"legend\" x=\"{}\" y=\"{}\">{name}</text>",
            kind.class(),
            top + 6.0,
            x + 16.0,
            top + 16.0,
        );
        x += 40.0 + 6.3 * name.len() as f64;
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

fn warm(document: &Value) -> Panel {
    let mut bars = Vec::new();
    for target in list(&document["targets"]) {
        let kind = if target["language"] == "" { Kind::Floor } else { Kind::Lambd };
        add(&mut bars, name(target, kind), kind, &target["warm_p50_us"]);
    }
    for (language, shown) in [("python", "bare echo, Python"), ("node", "bare echo, Node.js")] {
        add(&mut bars, shown.to_owned(), Kind::Floor, &document["echoes"][language]);
    }
    for row in list(&document["peers"]["rows"]) {
        add(&mut bars, name(row, Kind::Peer), Kind::Peer, &row["warm_p50_us"]);
    }
    sorted(Panel { title: "Warm invocation, one connection, p50 (µs, logarithmic)", unit: "µs", bars })
}

fn cold(document: &Value) -> Panel {
    let mut bars = Vec::new();
    for target in list(&document["targets"]) {
        add(&mut bars, name(target, Kind::Lambd), Kind::Lambd, &target["cold_spaced_ms"]);
    }
    let snapstart = "lambd, SnapStart, init of 1 s".to_owned();
    add(&mut bars, snapstart, Kind::Lambd, &document["snapstart"]["cold_ms"]);
    for row in list(&document["peers"]["rows"]) {
        add(&mut bars, name(row, Kind::Peer), Kind::Peer, &row["first_request_ms"]);
    }
    sorted(Panel { title: "Cold start, p50 (ms, logarithmic)", unit: "ms", bars })
}

/// The fastest first.
fn sorted(mut panel: Panel) -> Panel {
    panel.bars.sort_by(|a, b| a.value.total_cmp(&b.value));
    panel
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn name(row: &Value, kind: Kind) -> String {
    let name = row["name"].as_str().unwrap_or_default();
    if kind == Kind::Lambd { format!("lambd, {name}") } else { name.to_owned() }
}

fn add(bars: &mut Vec<Bar>, name: String, kind: Kind, values: &Value) {
    // What was not measured has no median.
    if let Some(value) = values["median"].as_f64().filter(|value| *value > 0.0) {
        bars.push(Bar { name, kind, value });
    }
}

fn draw(svg: &mut String, panel: &Panel, top: f64) {
    let values = || panel.bars.iter().map(|bar| bar.value.log10());
    let first = values().fold(f64::INFINITY, f64::min).floor();
    let last = values().fold(f64::NEG_INFINITY, f64::max).ceil().max(first + 1.0);
    let x = |log: f64| LEFT + (RIGHT - LEFT) * (log - first) / (last - first);
    let bottom = top + HEAD + ROW * panel.bars.len() as f64;
    let _infallible =
        writeln!(svg, "<text class=\"title\" x=\"12\" y=\"{}\">{}</text>", top + 26.0, panel.title);
    let mut decade = first;
    while decade <= last {
        let at = x(decade);
        let _infallible = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{bottom}\"/><text class=\"tick\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            top + HEAD - 6.0,
            bottom + 15.0,
            10_f64.powf(decade),
        );
        decade += 1.0;
    }
    for (number, bar) in panel.bars.iter().enumerate() {
        let y = top + HEAD + ROW * number as f64;
        let end = x(bar.value.log10());
        // The lowest of a panel would otherwise have no width when it is a power of ten.
        let width = (end - LEFT).max(2.0);
        let _infallible = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect class=\"{}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/><text x=\"{:.1}\" y=\"{}\">{}</text>",
            LEFT - 8.0,
            y + 13.0,
            escaped(&bar.name),
            bar.kind.class(),
            LEFT + width + 6.0,
            y + 13.0,
            shown(bar.value, panel.unit),
        );
    }
}

fn shown(value: f64, unit: &str) -> String {
    let number = if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{number} {unit}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Results of no run in particular, for tests.
#[cfg(test)]
pub(crate) const SAMPLE: &str = include_str!("sample.json");

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{SAMPLE, of, of_file};

    /// The width of the bar whose name this is.
    fn width(svg: &str, name: &str) -> f64 {
        let line = svg.lines().find(|line| line.contains(&format!(">{name}<"))).unwrap();
        line.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    }

    #[test]
    fn bars_are_as_long_as_logarithms_and_the_fastest_is_first() {
        let document: Value = serde_json::from_str(SAMPLE).unwrap();
        let svg = of(&document).unwrap();
        // Three decades over 470 units; from 10 µs to 10 ms.
        let [eighty, four_hundred] =
            ["lambd, provided.al2023", "lambd, nodejs20.x"].map(|name| width(&svg, name));
        let of_decade = (four_hundred - eighty) / 5_f64.log10();
        assert!((of_decade - 470.0 / 3.0).abs() < 0.5, "{of_decade}");
        let at = |name: &str| svg.find(name).unwrap();
        assert!(
            at("raw HTTP echo") < at("bare echo, Python")
                && at("bare echo, Python") < at("serverless-offline")
        );
        assert!(svg.contains("cargo-lambda watch 1.9.2 &amp; &lt;Rust&gt;"), "names are escaped");
        assert!(svg.contains(">110 ms<") && svg.contains(">4.9 ms<"), "{svg}");
        assert!(svg.contains("prefers-color-scheme: dark"));
        assert_eq!(svg.matches("class=\"title\"").count(), 2);
        assert_eq!(
            svg.matches("<rect").count(),
            svg.matches("</rect>").count() + svg.matches("/>").count() - svg.matches("<line").count()
        );
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(of(&json!({ "targets": [] })).is_none());
        let folder = tempfile::tempdir().unwrap();
        let (file, picture) = (folder.path().join("bench.json"), folder.path().join("a.svg"));
        std::fs::write(&file, "{}").unwrap();
        assert!(of_file(&file, &picture).is_err() && !picture.exists());
        std::fs::write(&file, SAMPLE).unwrap();
        of_file(&file, &picture).unwrap();
        assert!(std::fs::read_to_string(&picture).unwrap().ends_with("</svg>\n"));
    }
}
