//! Counting tests: what `cargo test` prints and what pytest writes.

/// How many tests of a suite ended how, and the names worth showing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: Vec<String>,
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// Counts the output of `cargo test`.
    pub(crate) fn of_cargo(output: &str) -> Self {
        let mut tally = Self::default();
        for line in output.lines() {
            if let Some(counts) = line.strip_prefix("test result: ") {
                tally.passed += number_before(counts, " passed");
                tally.failed += number_before(counts, " failed");
            } else if let Some((name, verdict)) =
                line.strip_prefix("test ").and_then(|l| l.rsplit_once(" ... "))
            {
                if verdict.starts_with("ignored") {
                    tally.skipped.push(name.to_owned());
                } else if verdict.starts_with("FAILED") {
                    tally.failures.push(name.to_owned());
                }
            }
        }
        tally
    }

    /// Counts a JUnit report. Its text is escaped, so a `<` always opens an element.
    pub(crate) fn of_junit(report: &str) -> Self {
        let mut tally = Self::default();
        for case in report.split("<testcase ").skip(1) {
            let case = case.split("</testcase>").next().unwrap_or(case);
            let name = || format!("{}::{}", attribute(case, "classname"), attribute(case, "name"));
            if case.contains("<failure") || case.contains("<error") {
                tally.failed += 1;
                tally.failures.push(name());
            } else if case.contains("<skipped") {
                tally.skipped.push(name());
            } else {
                tally.passed += 1;
            }
        }
        tally
    }

    /// A suite whose program ended badly has failed, whatever was counted.
    pub(crate) fn ended(mut self, well: bool) -> Self {
        if !well && self.failed == 0 {
            self.failed = 1;
            self.failures.push("the suite did not run to its end".to_owned());
        }
        self
    }

    /// A suite that ran nothing proves nothing.
    pub(crate) fn not_empty(mut self) -> Self {
        if self.passed + self.failed + self.skipped.len() == 0 {
            self.failed = 1;
            self.failures.push("the suite has no tests".to_owned());
        }
        self
    }
}

fn number_before(text: &str, word: &str) -> usize {
    let Some((before, _)) = text.split_once(word) else { return 0 };
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    let mut parts = element.split('"');
    while let (Some(before), Some(value)) = (parts.next(), parts.next()) {
        if before.trim() == format!("{name}=") {
            return value;
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn cargo_output_is_summed_over_binaries() {
        let output = "running 2 tests\ntest a::b ... ok\ntest a::c ... ignored, needs a GPU\n\n\
            test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
            test d ... FAILED\ntest result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured\n";
        let expected =
            Tally { passed: 13, failed: 1, skipped: vec!["a::c".into()], failures: vec!["d".into()] };
        assert_eq!(Tally::of_cargo(output), expected);
    }

    #[test]
    fn junit_cases_are_counted_and_named() {
        let report = r#"<testsuite><testcase classname="w4.test_cli" name="end &lt;failure" time="1" />
            <testcase classname="t" name="bad" time="0"><failure message="x">y</failure></testcase>
            <testcase classname="t" name="off" time="0"><skipped message="x">y</skipped></testcase></testsuite>"#;
        let expected =
            Tally { passed: 1, failed: 1, skipped: vec!["t::off".into()], failures: vec!["t::bad".into()] };
        assert_eq!(Tally::of_junit(report), expected);
    }

    #[test]
    fn a_crash_and_an_empty_suite_are_failures() {
        assert_eq!(Tally::default().ended(false).failed, 1);
        assert_eq!(Tally::default().not_empty().failed, 1);
        assert_eq!(Tally { failed: 2, ..Tally::default() }.ended(false).failed, 2);
    }
}
