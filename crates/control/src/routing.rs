//! Where an alias leads (CORE-196..204).

use lambd_types::Version;

/// An alias as it is looked up for each event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Route {
    /// Where it leads.
    pub(crate) version: Version,
    /// A second version, and the share of events that go there, from 0 to 1.
    pub(crate) additional: Option<(Version, f64)>,
}

impl Route {
    /// The version for one event. `draw` is evenly distributed over 0 to 1, 1 excluded.
    pub(crate) fn choose(&self, draw: f64) -> Version {
        match self.additional {
            Some((version, weight)) if draw < weight => version,
            _ => self.version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(weight: f64) -> Route {
        Route { version: Version::Published(1), additional: Some((Version::Published(2), weight)) }
    }

    /// CORE-201: the second version gets its weight, the first one the rest.
    #[test]
    fn the_share_is_the_weight() {
        for (weight, expected) in [(0.0, 0), (0.03, 30), (0.5, 500), (1.0, 1000)] {
            let second = (0..1000)
                .filter(|n| shared(weight).choose(f64::from(*n) / 1000.0) == Version::Published(2))
                .count();
            assert_eq!(second, expected, "{weight}");
        }
    }

    #[test]
    fn without_a_second_version_there_is_no_choice() {
        let route = Route { version: Version::Latest, additional: None };
        assert_eq!(route.choose(0.0), Version::Latest);
    }
}
