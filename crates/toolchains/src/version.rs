//! Versions as numbers.

/// A version of numbers only, in their order: `22.10.0` is newer than `22.9.1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Release(Vec<u64>);

impl Release {
    /// `None` for previews and whatever else is not numbers.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u64>> = text.split('.').map(|part| part.parse().ok()).collect();
        numbers.map(Self)
    }

    /// Whether it is of a line such as 22, or 3.1.
    pub(crate) fn is_of(&self, line: &[u64]) -> bool {
        self.0.starts_with(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_such() {
        let release = |text| Release::parse(text).unwrap();
        assert!(release("22.10.0") > release("22.9.1") && release("21.0.8.2") > release("21.0.8"));
        assert!(release("22.10.0").is_of(&[22]) && !release("2.2").is_of(&[22]));
        for other in ["", "22.0.0-rc.1", "3.14.0a1", "v1"] {
            assert_eq!(Release::parse(other), None, "{other}");
        }
    }
}
