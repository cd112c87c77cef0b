//! Measured quantities of a function's configuration.

/// A number outside its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{value} is not between {min} and {max}")]
pub struct OutOfRange {
    /// What was asked for.
    pub value: i64,
    /// Smallest allowed value.
    pub min: i64,
    /// Largest allowed value.
    pub max: i64,
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $min:expr, $max:expr, $default:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u32);

        impl $name {
            /// Smallest value.
            pub const MIN: i64 = $min;
            /// Largest value.
            pub const MAX: i64 = $max;

            /// Checks the range.
            pub fn new(value: i64) -> Result<Self, OutOfRange> {
                if (Self::MIN..=Self::MAX).contains(&value) {
                    Ok(Self(value as u32))
                } else {
                    Err(OutOfRange { value, min: Self::MIN, max: Self::MAX })
                }
            }

            /// The number.
            pub fn get(self) -> u32 {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }
    };
}

quantity! {
    /// Memory of a function in MB: 128 to 10240 by 1 (API-607; the guide's 3008 by 64 is raised).
    MemorySize, 128, 10240, 128
}
quantity! {
    /// Time that a function may take for one event, in seconds: 1 to 900 (CORE-075).
    Timeout, 1, 900, 3
}
quantity! {
    /// Size of `/tmp` in MB: 512 to 10240 (CORE-086, API-503).
    EphemeralStorage, 512, 10240, 512
}

impl MemorySize {
    /// The limit in bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0) * 1024 * 1024
    }
}

impl EphemeralStorage {
    /// The limit in bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0) * 1024 * 1024
    }
}

impl Timeout {
    /// As a duration.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(u64::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inclusive() {
        assert!(MemorySize::new(127).is_err());
        assert_eq!(MemorySize::new(128).unwrap().get(), 128);
        assert!(MemorySize::new(10241).is_err());
        assert!(Timeout::new(0).is_err());
        assert!(Timeout::new(900).is_ok());
        assert!(Timeout::new(901).is_err());
    }
}
