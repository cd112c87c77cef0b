//! Runtime identifiers of the API (API-080, API-606).

/// Identifiers that functions may be created with, if the phases of their deprecation ([`phases`]) allow it.
pub const CREATABLE: &[&str] = &[
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs16.x",
    "nodejs18.x",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "python2.7",
    "python3.6",
    "python3.7",
    "python3.8",
    "python3.9",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "java8",
    "java8.al2",
    "java11",
    "java17",
    "java21",
    "java25",
    "dotnetcore2.1",
    "dotnetcore3.1",
    "dotnet6",
    "dotnet8",
    "dotnet10",
    "go1.x",
    "ruby2.5",
    "ruby2.7",
    "ruby3.2",
    "ruby3.3",
    "ruby3.4",
    "ruby4.0",
    "provided",
    "provided.al2",
    "provided.al2023",
];

/// Identifiers that no function may be created with or changed to any more, whatever the rule (RT-37).
pub const DEPRECATED: &[&str] =
    &["nodejs", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10", "dotnetcore1.0", "dotnetcore2.0"];

/// All identifiers that the API knows.
pub fn all() -> impl Iterator<Item = &'static str> {
    CREATABLE.iter().chain(DEPRECATED).copied()
}

/// When a runtime's support ends, as the service has announced it. Days are `YYYY-MM-DD` in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// No support and no updates from this day on.
    pub deprecated: &'static str,
    /// No function is created with it from this day on.
    pub create_blocked: &'static str,
    /// No function that has it is changed from this day on.
    pub update_blocked: &'static str,
}

/// Where a runtime is on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// In support.
    Supported,
    /// Out of support.
    Deprecated,
    /// Also, no function is created with it.
    CreateBlocked,
    /// Also, no function that has it is changed. It still runs.
    UpdateBlocked,
}

const PHASES: &[(&str, [&str; 3])] = &[
    ("nodejs", ["2016-08-30", "2016-09-30", "2016-10-31"]),
    ("nodejs4.3", ["2020-03-05", "2020-02-03", "2020-03-06"]),
    ("nodejs4.3-edge", ["2020-03-05", "2019-03-31", "2019-04-30"]),
    ("nodejs6.10", ["2019-08-12", "2019-07-12", "2019-08-12"]),
    ("nodejs8.10", ["2020-03-06", "2020-02-04", "2020-03-06"]),
    ("nodejs10.x", ["2021-07-30", "2021-07-30", "2022-02-14"]),
    ("nodejs12.x", ["2023-03-31", "2023-03-31", "2023-04-30"]),
    ("nodejs14.x", ["2023-12-04", "2024-01-09", "2027-08-31"]),
    ("nodejs16.x", ["2024-06-12", "2027-07-29", "2027-08-31"]),
    ("nodejs18.x", ["2025-09-01", "2027-07-29", "2027-08-31"]),
    ("nodejs20.x", ["2026-04-30", "2027-07-29", "2027-08-31"]),
    ("nodejs22.x", ["2027-04-30", "2027-06-01", "2027-07-01"]),
    ("nodejs24.x", ["2028-04-30", "2028-06-01", "2028-07-01"]),
    ("python2.7", ["2021-07-15", "2021-07-15", "2022-05-30"]),
    ("python3.6", ["2022-07-18", "2022-07-18", "2022-08-29"]),
    ("python3.7", ["2023-12-04", "2024-01-09", "2027-08-31"]),
    ("python3.8", ["2024-10-14", "2027-07-29", "2027-08-31"]),
    ("python3.9", ["2025-12-15", "2027-07-29", "2027-08-31"]),
    ("python3.10", ["2026-10-31", "2027-07-29", "2027-08-31"]),
    ("python3.11", ["2027-06-30", "2027-07-29", "2027-08-31"]),
    ("python3.12", ["2028-10-31", "2028-11-30", "2029-01-10"]),
    ("python3.13", ["2029-06-30", "2029-07-31", "2029-08-31"]),
    ("python3.14", ["2029-06-30", "2029-07-31", "2029-08-31"]),
    ("java8", ["2024-01-08", "2024-02-08", "2027-08-31"]),
    ("java8.al2", ["2027-06-30", "2027-07-29", "2027-08-31"]),
    ("java11", ["2027-06-30", "2027-07-29", "2027-08-31"]),
    ("java17", ["2027-06-30", "2027-07-29", "2027-08-31"]),
    ("java21", ["2029-06-30", "2029-07-31", "2029-08-31"]),
    ("java25", ["2029-06-30", "2029-07-31", "2029-08-31"]),
    ("dotnetcore1.0", ["2019-06-27", "2019-06-30", "2019-07-30"]),
    ("dotnetcore2.0", ["2019-05-30", "2019-04-30", "2019-05-30"]),
    ("dotnetcore2.1", ["2022-01-05", "2022-01-05", "2022-04-13"]),
    ("dotnetcore3.1", ["2023-04-03", "2023-04-03", "2023-05-03"]),
    ("dotnet6", ["2024-12-20", "2027-07-29", "2027-08-31"]),
    ("dotnet8", ["2026-11-10", "2027-07-29", "2027-08-31"]),
    ("dotnet10", ["2028-11-14", "2028-12-14", "2029-01-15"]),
    ("go1.x", ["2024-01-08", "2024-02-08", "2027-08-31"]),
    ("ruby2.5", ["2021-07-30", "2021-07-30", "2022-03-31"]),
    ("ruby2.7", ["2023-12-07", "2024-01-09", "2027-08-31"]),
    ("ruby3.2", ["2026-03-31", "2027-07-29", "2027-08-31"]),
    ("ruby3.3", ["2027-03-31", "2027-07-29", "2027-08-31"]),
    ("ruby3.4", ["2028-03-31", "2028-04-30", "2028-05-31"]),
    ("provided", ["2024-01-08", "2024-02-08", "2027-08-31"]),
    ("provided.al2", ["2026-07-31", "2027-07-29", "2027-08-31"]),
    ("provided.al2023", ["2029-06-30", "2029-07-31", "2029-08-31"]),
];

/// The newest runtime of each language, which the service recommends instead of an old one.
const NEWEST: &[(&str, &str)] = &[
    ("nodejs", "nodejs24.x"),
    ("python", "python3.14"),
    ("java", "java25"),
    ("dotnet", "dotnet10"),
    ("ruby", "ruby4.0"),
    ("go", "provided.al2023"),
    ("provided", "provided.al2023"),
];

/// When a runtime's support ends; `None` if no days are announced.
pub fn phases(runtime: &str) -> Option<Phases> {
    let (_, days) = PHASES.iter().find(|(id, _)| *id == runtime)?;
    let [deprecated, create_blocked, update_blocked] = *days;
    Some(Phases { deprecated, create_blocked, update_blocked })
}

/// Where a runtime is on a day, `YYYY-MM-DD` in UTC.
pub fn phase(runtime: &str, today: &str) -> Phase {
    match phases(runtime) {
        Some(phases) if phases.update_blocked <= today => Phase::UpdateBlocked,
        Some(phases) if phases.create_blocked <= today => Phase::CreateBlocked,
        Some(phases) if phases.deprecated <= today => Phase::Deprecated,
        _ => Phase::Supported,
    }
}

/// The runtime that is recommended instead of one.
pub fn successor(runtime: &str) -> Option<&'static str> {
    NEWEST.iter().find(|(family, _)| runtime.starts_with(family)).map(|(_, newest)| *newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtime_has_a_successor_and_days_in_order() {
        for id in all() {
            let successor = successor(id).unwrap_or_else(|| panic!("{id}"));
            assert!(CREATABLE.contains(&successor), "{successor}");
            // Of the newest, nothing is announced.
            let Some(phases) = phases(id) else { continue };
            assert!(phases.create_blocked <= phases.update_blocked, "{id}");
        }
        assert!(PHASES.iter().all(|(id, _)| all().any(|known| known == *id)));
    }

    #[test]
    fn phases_begin_on_their_days() {
        let days = ["2023-12-03", "2023-12-04", "2024-01-08", "2024-01-09", "2027-08-30", "2027-08-31"];
        let phases = days.map(|day| phase("nodejs14.x", day));
        use Phase::{CreateBlocked, Deprecated, Supported, UpdateBlocked};
        assert_eq!(phases, [Supported, Deprecated, Deprecated, CreateBlocked, CreateBlocked, UpdateBlocked]);
        assert_eq!(phase("ruby4.0", "2040-01-01"), Supported);
        assert_eq!(phase("cobol", "2040-01-01"), Supported);
    }
}
