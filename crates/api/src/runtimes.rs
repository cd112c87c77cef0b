//! Runtime identifiers of the API (API-080, API-606).

/// Identifiers that functions may be created with, deprecated ones left out.
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

/// Identifiers that no function may be created with or changed to any more (RT-37).
pub const DEPRECATED: &[&str] =
    &["nodejs", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10", "dotnetcore1.0", "dotnetcore2.0"];

/// All identifiers that the API knows.
pub fn all() -> impl Iterator<Item = &'static str> {
    CREATABLE.iter().chain(DEPRECATED).copied()
}
