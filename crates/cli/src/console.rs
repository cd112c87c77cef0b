//! Text to people and scripts: two streams, colours when a person looks, and tables.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::terminal;

/// Standard output and error of a command, shared by its tasks. A line is written whole.
#[derive(Clone)]
pub struct Console {
    sinks: Arc<Mutex<Sinks>>,
    out_paint: Paint,
    err_paint: Paint,
    out_is_terminal: bool,
    err_is_terminal: bool,
}

struct Sinks {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("out_is_terminal", &self.out_is_terminal).finish_non_exhaustive()
    }
}

impl Console {
    /// The process's own streams, in colour on a terminal unless `NO_COLOR` is set.
    pub fn stdio() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        let (out, err) = (io::stdout(), io::stderr());
        let (out_is_terminal, err_is_terminal) = (out.is_terminal(), err.is_terminal());
        Self {
            out_paint: Paint(wanted && out_is_terminal),
            err_paint: Paint(wanted && err_is_terminal),
            out_is_terminal,
            err_is_terminal,
            sinks: Arc::new(Mutex::new(Sinks { out: Box::new(out), err: Box::new(err) })),
        }
    }

    /// A console that keeps what is written, without colours.
    pub fn captured() -> (Self, Captured) {
        let captured = Captured::default();
        let sinks = Sinks { out: Box::new(captured.out.clone()), err: Box::new(captured.err.clone()) };
        let console = Self {
            sinks: Arc::new(Mutex::new(sinks)),
            out_paint: Paint(false),
            err_paint: Paint(false),
            out_is_terminal: false,
            err_is_terminal: false,
        };
        (console, captured)
    }

    /// How to colour text for stdout.
    pub(crate) fn out_paint(&self) -> Paint {
        self.out_paint
    }

    /// How to colour text for stderr.
    pub(crate) fn err_paint(&self) -> Paint {
        self.err_paint
    }

    /// Writes lines to stdout. On a terminal, they can do nothing but be read: see [`terminal::visible`].
    pub(crate) fn out(&self, text: &str) -> io::Result<()> {
        let text = if self.out_is_terminal { terminal::visible(text) } else { Cow::Borrowed(text) };
        let mut sinks = self.lock();
        writeln!(sinks.out, "{text}")?;
        sinks.out.flush()
    }

    /// Writes bytes to stdout as they are; on a terminal, as a line of text.
    pub(crate) fn out_raw(&self, bytes: &[u8]) -> io::Result<()> {
        if self.out_is_terminal {
            let text = String::from_utf8_lossy(bytes);
            return self.out(text.strip_suffix('\n').unwrap_or(&text));
        }
        let mut sinks = self.lock();
        sinks.out.write_all(bytes)?;
        sinks.out.flush()
    }

    /// Writes lines to stderr, on a terminal as [`Self::out`] does.
    pub(crate) fn err(&self, text: &str) -> io::Result<()> {
        let text = if self.err_is_terminal { terminal::visible(text) } else { Cow::Borrowed(text) };
        writeln!(self.lock().err, "{text}")
    }

    /// Whether a person looks at stderr.
    pub(crate) fn err_is_terminal(&self) -> bool {
        self.err_is_terminal
    }

    /// Says how far something is: on a terminal, in the place of what was said last. Nothing depends on it.
    pub(crate) fn progress(&self, text: &str) {
        let _ = if self.err_is_terminal {
            let mut sinks = self.lock();
            write!(sinks.err, "\r{}\x1b[K", terminal::visible(text)).and_then(|()| sinks.err.flush())
        } else {
            self.err(text)
        };
    }

    /// Takes the last progress away.
    pub(crate) fn progress_done(&self) {
        if self.err_is_terminal {
            let _ = write!(self.lock().err, "\r\x1b[K");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sinks> {
        // A panic of another writer leaves at worst half a line.
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a [`Console::captured`] was told.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    out: Shared,
    err: Shared,
}

impl Captured {
    /// Everything written to stdout so far.
    pub fn out(&self) -> String {
        self.out.text()
    }

    /// Waits until stdout has `text` in it, and returns all of stdout.
    pub async fn out_with(&self, text: &str) -> String {
        self.out_with_times(text, 1).await
    }

    /// Waits until stdout has `text` in it so many times, and returns all of stdout.
    pub async fn out_with_times(&self, text: &str, times: usize) -> String {
        loop {
            // Listen before looking, so that nothing written in between is missed.
            let mut written = std::pin::pin!(self.out.written.notified());
            written.as_mut().enable();
            let all = self.out();
            if all.matches(text).count() >= times {
                return all;
            }
            written.await;
        }
    }

    /// Everything written to stderr so far.
    pub fn err(&self) -> String {
        self.err.text()
    }
}

#[derive(Debug, Clone, Default)]
struct Shared {
    bytes: Arc<Mutex<Vec<u8>>>,
    written: Arc<Notify>,
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        self.written.notify_waiters();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Colours text, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.with("36", text)
    }

    /// One of six colours, the same for the same number.
    pub(crate) fn nth(self, n: usize, text: &str) -> String {
        const CODES: [&str; 6] = ["36", "35", "34", "33", "32", "95"];
        self.with(CODES[n % CODES.len()], text)
    }
}

/// Lines up rows in columns two spaces apart. The last column is not padded.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>], paint: Paint) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, &w)| format!("{cell:<w$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let head = paint.dim(&line(&mut header.iter().copied()));
    let body = rows.iter().map(|row| line(&mut row.iter().map(String::as_str)));
    [head].into_iter().chain(body).collect::<Vec<_>>().join("\n")
}

/// `412 B`, `3.1 KB`, `48.0 MB`.
pub(crate) fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = vec![vec!["hello".into(), "python3.12".into()], vec!["a-longer-name".into(), "x".into()]];
        assert_eq!(
            table(&["NAME", "RUNTIME"], &rows, Paint(false)),
            "NAME           RUNTIME\nhello          python3.12\na-longer-name  x"
        );
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes_text(1023), "1023 B");
        assert_eq!(bytes_text(1024), "1.0 KB");
        assert_eq!(bytes_text(52_428_800), "50.0 MB");
    }

    #[test]
    fn colour_only_when_wanted() {
        assert_eq!(Paint(false).red("x"), "x");
        assert_eq!(Paint(true).red("x"), "\x1b[31mx\x1b[0m");
    }
}
