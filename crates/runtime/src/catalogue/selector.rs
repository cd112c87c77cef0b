//! Which runtimes something was chosen for: one identifier, or a family of them.

use std::fmt;

/// A runtime identifier such as `python3.12`, or a family such as `python` or `provided`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(String);

/// The text names no runtime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no runtime")]
pub struct UnknownRuntime {
    /// What was given.
    pub text: String,
    /// Families that there are.
    pub families: Vec<String>,
}

impl Selector {
    /// Reads a selector, given all identifiers that there are.
    ///
    /// # Errors
    /// When it is none of them, nor the family of one.
    pub fn parse(text: &str, identifiers: &[&str]) -> Result<Self, UnknownRuntime> {
        if identifiers.iter().any(|id| *id == text || family_of(id) == text) {
            return Ok(Self(text.to_owned()));
        }
        let mut families: Vec<String> = identifiers.iter().map(|id| family_of(id).to_owned()).collect();
        families.sort();
        families.dedup();
        Err(UnknownRuntime { text: text.to_owned(), families })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How closely it fits a runtime: the identifier before the family. `None` when it does not.
    pub(super) fn fit(&self, runtime: &str) -> Option<u8> {
        if self.0 == runtime {
            Some(2)
        } else if self.0 == family_of(runtime) {
            Some(1)
        } else {
            None
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The letters that an identifier starts with.
pub(super) fn family_of(runtime: &str) -> &str {
    let end = runtime.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(runtime.len());
    &runtime[..end]
}

/// A key that sorts identifiers by family, the newest first.
pub(super) fn order(runtime: &str) -> (&str, std::cmp::Reverse<Vec<u32>>) {
    let numbers = runtime.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok());
    (family_of(runtime), std::cmp::Reverse(numbers.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[&str] = &["python3.9", "python3.12", "java8.al2", "dotnet8", "provided", "provided.al2023"];

    #[test]
    fn identifiers_and_families_are_known() {
        for good in ["python", "python3.12", "java", "dotnet", "provided", "provided.al2023"] {
            assert_eq!(Selector::parse(good, ALL).expect(good).as_str(), good);
        }
        for bad in ["", "pythn", "python3", "python3.13", "Python", "provided."] {
            let error = Selector::parse(bad, ALL).expect_err(bad);
            assert_eq!(error.families, ["dotnet", "java", "provided", "python"]);
        }
    }

    #[test]
    fn the_identifier_fits_closer_than_the_family() {
        let fit = |selector: &str, runtime: &str| Selector::parse(selector, ALL).unwrap().fit(runtime);
        assert_eq!((fit("python3.12", "python3.12"), fit("python", "python3.12")), (Some(2), Some(1)));
        assert_eq!((fit("python3.9", "python3.12"), fit("java", "python3.12")), (None, None));
        assert_eq!((fit("provided", "provided"), fit("provided", "provided.al2023")), (Some(2), Some(1)));
    }

    #[test]
    fn newest_first_by_number() {
        let mut ids = vec!["python3.9", "nodejs20.x", "python3.12", "nodejs8.10"];
        ids.sort_by_key(|id| order(id));
        assert_eq!(ids, ["nodejs20.x", "nodejs8.10", "python3.12", "python3.9"]);
    }
}
