//! The closing lines of a test run.

use std::fmt::Write as _;
use std::time::Duration;

use crate::tally::Tally;

/// One suite's result.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) suite: &'static str,
    pub(crate) tally: Tally,
    pub(crate) took: Duration,
}

/// One line per suite, the names of what failed or was skipped, and the sum alone on the last line.
pub(crate) fn render(outcomes: &[Outcome]) -> String {
    let mut text = String::from("\n");
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for Outcome { suite, tally, took } in outcomes {
        passed += tally.passed;
        failed += tally.failed;
        skipped += tally.skipped.len();
        let _infallible = writeln!(
            text,
            "{suite:<12} {:>5} passed {:>4} failed {:>4} skipped {:>7.1} s",
            tally.passed,
            tally.failed,
            tally.skipped.len(),
            took.as_secs_f64()
        );
    }
    for (label, names) in [
        ("failed", (|tally: &Tally| tally.failures.clone()) as fn(&Tally) -> Vec<String>),
        ("skipped", |tally| tally.skipped.clone()),
    ] {
        for outcome in outcomes {
            for name in names(&outcome.tally) {
                let _infallible = writeln!(text, "{label}: {} {name}", outcome.suite);
            }
        }
    }
    let _infallible = writeln!(text, "{passed} passed, {failed} failed, {skipped} skipped");
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Outcome, render};
    use crate::tally::Tally;

    #[test]
    fn the_sum_stands_alone_on_the_last_line() {
        let tally = |passed, failed, skipped: &[&str]| Tally {
            passed,
            failed,
            skipped: skipped.iter().map(|&s| s.to_owned()).collect(),
            failures: Vec::new(),
        };
        let outcomes = [
            Outcome { suite: "rust", tally: tally(7, 0, &["slow"]), took: Duration::from_secs(3) },
            Outcome { suite: "conformance", tally: tally(2, 1, &[]), took: Duration::from_secs(1) },
        ];
        let text = render(&outcomes);
        assert_eq!(text.lines().last(), Some("9 passed, 1 failed, 1 skipped"));
        assert!(text.contains("skipped: rust slow"), "{text}");
    }
}
