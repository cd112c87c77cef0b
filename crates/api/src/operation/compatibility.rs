//! The table of operations in docs/compatibility.md.

use std::fmt::Write as _;

use super::{Operation, unoffered};

/// A table in Markdown of every operation of the API, offered or not, in the order of their names.
pub fn table() -> String {
    let offered = Operation::ALL.iter().map(|operation| {
        let row = operation.row();
        (row.name, row.state.to_owned())
    });
    let unoffered = unoffered::UNOFFERED.iter().map(|row| (row.name, format!("not offered: {}", row.reason)));
    let mut rows: Vec<(&str, String)> = offered.chain(unoffered).collect();
    rows.sort_unstable();
    let mut text = "| operation | state |\n|---|---|\n".to_owned();
    for (name, state) in rows {
        // Writing to a string does not fail.
        let _ = writeln!(text, "| `{name}` | {state} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page is what `cargo xtask generate` writes.
    #[test]
    fn the_documentation_is_up_to_date() {
        let page = include_str!("../../../../docs/compatibility.md");
        assert!(page.contains(&table()), "run `cargo xtask generate`");
    }

    /// The Lambda API of November 2026 has 85 operations.
    #[test]
    fn every_operation_is_in_the_table_once() {
        let table = table();
        let names: Vec<&str> =
            table.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(names.len(), 85);
        assert!(names.is_sorted_by(|a, b| a < b));
    }
}
