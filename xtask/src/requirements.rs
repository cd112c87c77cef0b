//! The requirements of docs/requirements-api.md against the tests that cite them.
//!
//! A row of that table says `tested`, `in part: ` and what is missing, or `not yet: ` and why. What is called tested, if
//! only in part, some test must cite; what is not met, none may; and every citation must be of a row.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use crate::error::Error;
use crate::house;
use crate::workspace::Workspace;

const PAGE: &str = "docs/requirements-api.md";
/// What identifiers begin with. Put together here so that this file cites nothing.
const PREFIX: &str = concat!("AP", "I-");

/// A row of the table: one identifier or several, what it asks for, and whether it is met.
struct Row {
    ids: Vec<String>,
    shown: String,
    what: String,
    state: String,
}

impl Row {
    fn is_tested(&self) -> bool {
        self.state == "tested" || self.state.starts_with("in part: ")
    }

    fn is_known(&self) -> bool {
        self.is_tested() || self.state.starts_with("not yet: ")
    }
}

/// What is wrong with the table or with the citations, as sentences.
pub(crate) fn breaches(workspace: &Workspace) -> Result<Vec<String>, Error> {
    let mut cited: BTreeMap<String, String> = BTreeMap::new();
    for file in house::files(workspace.root())? {
        let name = file.display().to_string();
        // Binary files cite nothing, and a file that is gone is being deleted.
        let Ok(text) = fs::read_to_string(workspace.root().join(&file)) else { continue };
        for id in ids(of_tests(&name, &text)) {
            cited.entry(id).or_insert_with(|| name.clone());
        }
    }
    Ok(compare(&rows(&page(workspace)?), &cited))
}

/// The table of requirements that are not met or only in part, for docs/compatibility.md.
pub(crate) fn not_met(workspace: &Workspace) -> Result<String, Error> {
    let mut table = "| requirement | what | why not |\n|---|---|---|\n".to_owned();
    for row in rows(&page(workspace)?).iter().filter(|row| row.state != "tested") {
        // Writing to a string does not fail.
        let _ = writeln!(table, "| {} | {} | {} |", row.shown, row.what, row.state);
    }
    Ok(table)
}

fn page(workspace: &Workspace) -> Result<String, Error> {
    let path = workspace.root().join(PAGE);
    fs::read_to_string(&path).map_err(|e| Error::file(&path, e))
}

fn compare(rows: &[Row], cited: &BTreeMap<String, String>) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut listed = BTreeSet::new();
    for row in rows {
        if !row.is_known() {
            breaches.push(format!("{PAGE}: {} is neither tested nor explained: {:?}", row.shown, row.state));
        }
        for id in &row.ids {
            if !listed.insert(id.as_str()) {
                breaches.push(format!("{PAGE} has {id} twice"));
            }
            match cited.get(id) {
                None if row.is_tested() => {
                    breaches.push(format!("{id} is called tested, but no test cites it"));
                }
                Some(file) if !row.is_tested() => {
                    breaches.push(format!("{file} cites {id}, which {PAGE} says is not met"));
                }
                _ => {}
            }
        }
    }
    let unknown = cited.iter().filter(|(id, _)| !listed.contains(id.as_str()));
    breaches.extend(unknown.map(|(id, file)| format!("{file} cites {id}, which {PAGE} does not have")));
    breaches
}

fn rows(page: &str) -> Vec<Row> {
    let of_line = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
        let (shown, what, state) = (cells.next()?, cells.next()?, cells.next()?);
        let row = Row { ids: ids(shown), shown: shown.into(), what: what.into(), state: state.into() };
        shown.starts_with(PREFIX).then_some(row)
    };
    page.lines().filter_map(of_line).collect()
}

/// The part of a file that is tests: all of it, what follows the mark of test modules, or nothing.
fn of_tests<'a>(file: &str, text: &'a str) -> &'a str {
    let in_tests = file.starts_with("tests/") || file.contains("/tests/");
    match file.rsplit_once('.') {
        Some((_, "py")) if in_tests => text,
        Some((stem, "rs")) if in_tests || stem.ends_with("tests") => text,
        Some((_, "rs")) => text.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests),
        _ => "",
    }
}

/// The identifiers in a text. Of `1..3` and of `1.2..4` all are meant.
fn ids(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in text.split(PREFIX).skip(1) {
        let (number, rest) = digits(rest);
        if number.len() != 3 {
            continue;
        }
        let (base, last, rest) = match rest.strip_prefix('.').map(digits) {
            Some((row, rest)) if !row.is_empty() => (format!("{PREFIX}{number}."), row, rest),
            _ => (PREFIX.to_owned(), number, rest),
        };
        let end = rest.strip_prefix("..").map_or("", |rest| digits(rest).0);
        let first: u32 = last.parse().unwrap_or_default();
        let width = if base == PREFIX { 3 } else { 0 };
        for n in first..=end.parse().unwrap_or(first) {
            found.push(format!("{base}{n:0width$}"));
        }
    }
    found
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{PREFIX, compare, ids, of_tests, rows};

    fn id(text: &str) -> String {
        format!("{PREFIX}{text}")
    }

    #[test]
    fn identifiers_and_ranges() {
        let text = format!("{}, {}. {} {}", id("001"), id("125.20"), id("104.9..11"), id("060..061"));
        let expected = ["001", "125.20", "104.9", "104.10", "104.11", "060", "061"];
        assert_eq!(ids(&text), expected.map(id));
        assert!(ids(&id("1")).is_empty());
    }

    #[test]
    fn only_tests_cite() {
        let text = "a\n#[cfg(test)]\nb";
        assert_eq!(of_tests("crates/a/src/b.rs", text), "\nb");
        assert_eq!(of_tests("crates/a/src/b_tests.rs", text), text);
        assert_eq!(of_tests("crates/a/tests/b.rs", text), text);
        assert_eq!(of_tests("tests/conformance/test_b.py", text), text);
        assert_eq!(of_tests("runtimes/b.py", text), "");
        assert_eq!(of_tests("docs/b.md", text), "");
    }

    #[test]
    fn the_table_and_the_tests_must_agree() {
        let page = format!(
            "| ID | what | state |\n|---|---|---|\n| {} | a | tested |\n| {} | b | in part: c |\n| {} | d | not yet: e |\n",
            id("001"),
            id("002..003"),
            id("004")
        );
        let cited = |ids: &[&str]| ids.iter().map(|i| (id(i), "t".to_owned())).collect::<BTreeMap<_, _>>();
        assert!(compare(&rows(&page), &cited(&["001", "002", "003"])).is_empty());
        let told = |ids: &[&str], part: &str| {
            let breaches = compare(&rows(&page), &cited(ids));
            assert!(breaches.len() == 1 && breaches[0].contains(part), "{breaches:?}");
        };
        told(&["001", "002"], "called tested, but no test");
        told(&["001", "002", "003", "004"], "says is not met");
        told(&["001", "002", "003", "005"], "does not have");
        let odd = page.replace("not yet: ", "maybe: ");
        assert_eq!(compare(&rows(&odd), &cited(&["001", "002", "003"])).len(), 1);
    }
}
