//! Limits of accounts, by the names that `GetAccountSettings` has for them where it has one.

use clap::Args;
use lambd_types::limits;

use crate::ports::AccountLimits;

/// Largest package or archive that can be asked for. Zip archives may be larger; what is uploaded goes through one
/// request all the same.
const SIZE_MAX: u64 = 64 << 30;

/// Limits of every account and region.
#[derive(Debug, Clone, Args)]
pub(crate) struct LimitFlags {
    /// Largest package that can be uploaded directly
    #[arg(long, value_name = "SIZE", env = "LAMBD_CODE_SIZE_ZIPPED", default_value = "50MB", value_parser = size)]
    code_size_zipped: u64,

    /// Largest package when unpacked, layers included
    #[arg(long, value_name = "SIZE", env = "LAMBD_CODE_SIZE_UNZIPPED", default_value = "250MB", value_parser = size)]
    code_size_unzipped: u64,

    /// Storage for all packages of an account in a region
    #[arg(long, value_name = "SIZE", env = "LAMBD_TOTAL_CODE_SIZE", default_value = "75GB", value_parser = total_size)]
    total_code_size: u64,

    /// Largest response of a function that streams it
    #[arg(long, value_name = "SIZE", env = "LAMBD_STREAMED_RESPONSE_SIZE", default_value = "200MB", value_parser = total_size)]
    streamed_response_size: u64,

    /// Events that an account's functions process at one time in a region
    ///
    /// As on AWS, 100 of them cannot be reserved or provisioned.
    #[arg(
        long,
        value_name = "NUMBER",
        env = "LAMBD_CONCURRENT_EXECUTIONS",
        default_value_t = limits::CONCURRENT_EXECUTIONS as u32,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    concurrent_executions: u32,
}

impl LimitFlags {
    pub(crate) fn limits(&self) -> AccountLimits {
        AccountLimits {
            code_size_zipped: self.code_size_zipped,
            code_size_unzipped: self.code_size_unzipped,
            total_code_size: self.total_code_size,
            streamed_response: self.streamed_response_size,
            concurrent_executions: self.concurrent_executions as usize,
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    let bytes = total_size(text)?;
    if bytes > SIZE_MAX { Err("at most 64GB".to_owned()) } else { Ok(bytes) }
}

/// A number of bytes, or of KB, MB or GB, which are powers of 1024 as in the limits of AWS.
pub(super) fn total_size(text: &str) -> Result<u64, String> {
    let units = [("KB", 10), ("MB", 20), ("GB", 30)];
    let unit = units.into_iter().find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, bits)));
    let (number, bits) = unit.unwrap_or((text, 0));
    let number: u64 =
        number.parse().map_err(|_| "a size is a number of bytes, such as 104857600 or 100MB")?;
    match number.checked_mul(1 << bits) {
        Some(0) => Err("at least 1".to_owned()),
        // As far as numbers in the database go.
        Some(bytes) if i64::try_from(bytes).is_ok() => Ok(bytes),
        _ => Err("too large".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        assert_eq!(total_size("104857600"), Ok(100 << 20));
        assert_eq!(total_size("3KB"), Ok(3 << 10));
        assert_eq!(total_size("250MB"), Ok(limits::CODE_SIZE_UNZIPPED));
        assert_eq!(total_size("200MB"), Ok(limits::STREAMED_RESPONSE));
        assert_eq!(size("64GB"), Ok(64 << 30));
        for bad in [
            "",
            "MB",
            "1.5MB",
            "-1",
            "1 MB",
            "1mb",
            "1TB",
            "0",
            "0GB",
            "8589934592GB",
            "18446744073709551616",
        ] {
            assert!(total_size(bad).is_err(), "{bad}");
        }
        assert!(size("65GB").is_err());
    }
}
