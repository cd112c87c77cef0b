//! Points in time as the wire formats show them, without a calendar library.

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Year, month, day in UTC (proleptic Gregorian).
    pub fn date(self) -> (i64, u32, u32) {
        // Days to civil date by eras of 400 years, which start on 1 March so that the leap day is last.
        let z = self.0.div_euclid(86_400_000) + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
        let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
        (yoe + era * 400 + i64::from(month <= 2), month, day)
    }

    /// The day in UTC: `2018-11-27`.
    pub fn day(self) -> String {
        let (y, mo, d) = self.date();
        format!("{y:04}-{mo:02}-{d:02}")
    }

    /// Whole seconds and milliseconds of the day: (hour, minute, second, millisecond).
    pub fn time(self) -> (u32, u32, u32, u32) {
        let ms = self.0.rem_euclid(86_400_000) as u32;
        (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
    }

    /// `LastModified` of a function: `2018-11-27T15:10:45.123+0000` (API-009).
    pub fn lambda_iso8601(self) -> String {
        format!("{}+0000", self.iso8601_without_zone())
    }

    /// `LastModified` of provisioned concurrency: `2019-11-21T19:32:12+0000` (CORE-175).
    pub fn iso8601_seconds(self) -> String {
        let ((y, mo, d), (h, mi, s, _)) = (self.date(), self.time());
        format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}+0000")
    }

    fn iso8601_without_zone(self) -> String {
        let ((y, mo, d), (h, mi, s, ms)) = (self.date(), self.time());
        format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{ms:03}")
    }
}

/// `2019-06-05T19:30:03.173Z`, the form of log lines.
pub fn iso8601_millis(at: UnixMillis) -> String {
    format!("{}Z", at.iso8601_without_zone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        assert_eq!(iso8601_millis(UnixMillis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso8601_millis(UnixMillis(1_559_763_003_173)), "2019-06-05T19:30:03.173Z");
        assert_eq!(iso8601_millis(UnixMillis(1_709_210_096_007)), "2024-02-29T12:34:56.007Z");
        assert_eq!(UnixMillis(-1).date(), (1969, 12, 31));
        assert_eq!(UnixMillis(1_543_331_445_123).lambda_iso8601(), "2018-11-27T15:10:45.123+0000");
        assert_eq!(UnixMillis(1_574_364_732_999).iso8601_seconds(), "2019-11-21T19:32:12+0000");
    }
}
