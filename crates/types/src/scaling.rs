//! How fast functions get further instances.

use std::fmt;
use std::str::FromStr;

/// How fast the instances of functions may become more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalingRule {
    /// As fast as they are asked for.
    Off,
    /// The functions of an account and region together, as in the guide of 2020 (CORE-303, CORE-304).
    Region(Burst),
    /// Each function for itself, as in today's service.
    Function(Burst),
}

/// Instances that may come at once, and how many more after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// At once; `None`: what the service has for the region.
    pub at_once: Option<u32>,
    /// In each minute after that, one after the other.
    pub per_minute: u32,
}

impl ScalingRule {
    /// The guide's: 500 to 3,000 by region, then 500 in each minute.
    pub const REGION: Self = Self::Region(Burst { at_once: None, per_minute: 500 });
    /// Today's: 1,000 in ten seconds, which come back one by one.
    pub const FUNCTION: Self = Self::Function(Burst { at_once: Some(1000), per_minute: 6000 });
}

impl Burst {
    /// What may come at once in a region (CORE-303).
    pub fn at_once_in(&self, region: &str) -> u32 {
        self.at_once.unwrap_or(match region {
            "us-east-1" | "us-west-2" | "eu-west-1" => 3000,
            "ap-northeast-1" | "eu-central-1" => 1000,
            _ => 500,
        })
    }
}

impl Default for ScalingRule {
    fn default() -> Self {
        Self::REGION
    }
}

impl fmt::Display for ScalingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, burst) = match self {
            Self::Off => return f.write_str("off"),
            Self::Region(burst) => ("region", burst),
            Self::Function(burst) => ("function", burst),
        };
        match (burst.at_once, *self == Self::REGION || *self == Self::FUNCTION) {
            (Some(at_once), false) => write!(f, "{name}:{at_once}+{}", burst.per_minute),
            _ => f.write_str(name),
        }
    }
}

impl FromStr for ScalingRule {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "not off, region, function, or one of the last two with numbers, such as region:500+60";
        let (name, numbers) = match text.split_once(':') {
            Some((name, numbers)) => (name, Some(numbers)),
            None => (text, None),
        };
        let given = numbers.map(|numbers| {
            let (at_once, per_minute) = numbers.split_once('+')?;
            let number = |text: &str| text.parse().ok().filter(|n| (1..=1_000_000).contains(n));
            Some(Burst { at_once: Some(number(at_once)?), per_minute: number(per_minute)? })
        });
        match (name, given) {
            ("off", None) => Ok(Self::Off),
            ("region", None) => Ok(Self::REGION),
            ("function", None) => Ok(Self::FUNCTION),
            ("region", Some(Some(burst))) => Ok(Self::Region(burst)),
            ("function", Some(Some(burst))) => Ok(Self::Function(burst)),
            _ => Err(FORM),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_shown() {
        for text in ["off", "region", "function", "region:20+60", "function:1+1000000"] {
            assert_eq!(text.parse::<ScalingRule>().unwrap().to_string(), text);
        }
        for bad in ["", "on", "off:1+1", "region:", "region:5", "region:0+1", "function:1+0", "region:-1+5"] {
            assert!(bad.parse::<ScalingRule>().is_err(), "{bad}");
        }
    }

    /// CORE-303.
    #[test]
    fn bursts_depend_on_the_region() {
        let ScalingRule::Region(burst) = ScalingRule::REGION else { panic!() };
        let regions = ["us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "eu-central-1", "eu-north-1"];
        assert_eq!(regions.map(|region| burst.at_once_in(region)), [3000, 3000, 3000, 1000, 1000, 500]);
        assert_eq!(Burst { at_once: Some(7), per_minute: 1 }.at_once_in("us-east-1"), 7);
    }
}
