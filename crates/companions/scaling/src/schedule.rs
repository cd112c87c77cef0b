//! When scheduled actions are due: `at(…)`, `rate(…)` and `cron(…)` as AWS writes them.
//!
//! AWS's cron has six fields, weekdays from 1 (Sunday), and exactly one `?` in its two fields of days. What a field means
//! is checked and spelt out here; `croner` gets lists of values, and looks for the times that they match in a time zone.

mod fields;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use lambd_types::UnixMillis;

/// Why an expression is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScheduleError {
    #[error("expected at(yyyy-mm-ddThh:mm:ss), rate(value unit) or cron(fields)")]
    Form,
    #[error("{0} is not a time of the form yyyy-mm-ddThh:mm:ss")]
    At(String),
    #[error("{0} is not a positive whole number and one of minute, minutes, hour, hours, day and days")]
    Rate(String),
    #[error("a cron expression has six fields, not {0}")]
    Fields(usize),
    #[error("exactly one of the fields day-of-month and day-of-week is ?")]
    Question,
    #[error("{value} is not valid in the field {field}")]
    Field { field: &'static str, value: String },
    #[error("{0} is not the name of a time zone")]
    Zone(String),
}

/// An expression.
#[derive(Debug, Clone)]
enum Schedule {
    At(DateTime),
    /// In milliseconds.
    Rate(i64),
    Cron(Box<Cron>),
}

/// When an action acts.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    schedule: Schedule,
    zone: TimeZone,
    start: Option<i64>,
    end: Option<i64>,
    created: i64,
}

impl Plan {
    /// A plan for what was made at `created`. Without a zone, local times are in UTC; `start` and `end` bound it.
    pub(crate) fn new(
        expression: &str,
        zone: Option<&str>,
        (start, end): (Option<UnixMillis>, Option<UnixMillis>),
        created: UnixMillis,
    ) -> Result<Self, ScheduleError> {
        let zone = match zone {
            Some(name) => TimeZone::get(name).map_err(|_| ScheduleError::Zone(name.to_owned()))?,
            None => TimeZone::UTC,
        };
        let schedule = parse(expression)?;
        Ok(Self { schedule, zone, start: start.map(|t| t.0), end: end.map(|t| t.0), created: created.0 })
    }

    /// The first time after `after`.
    pub(crate) fn next(&self, after: UnixMillis) -> Option<UnixMillis> {
        // From its start on, including that moment.
        let after = self.start.map_or(after.0, |start| after.0.max(start - 1));
        let next = match &self.schedule {
            Schedule::At(_) => self.at().filter(|at| *at > after)?,
            Schedule::Rate(period) => {
                let (anchor, first) = self.anchor();
                let periods = (after - anchor).div_euclid(*period) + 1;
                anchor.checked_add(periods.max(first).checked_mul(*period)?)?
            }
            Schedule::Cron(cron) => {
                let from = self.zoned(after)?;
                cron.find_next_occurrence(&from, false).ok()?.timestamp().as_millisecond()
            }
        };
        (self.end.is_none_or(|end| next <= end)).then_some(UnixMillis(next))
    }

    /// The last time from `due`, which is one, until `now`.
    pub(crate) fn last(&self, due: UnixMillis, now: UnixMillis) -> UnixMillis {
        let until = self.end.map_or(now.0, |end| now.0.min(end));
        let last = match &self.schedule {
            Schedule::At(_) => None,
            Schedule::Rate(period) => Some(due.0 + (until - due.0).div_euclid(*period) * period),
            Schedule::Cron(cron) => self.zoned(until).and_then(|until| {
                let found = cron.find_previous_occurrence(&until, true).ok()?;
                Some(found.timestamp().as_millisecond())
            }),
        };
        UnixMillis(last.unwrap_or(due.0).max(due.0))
    }

    /// The one time of an `at(…)`; of a local time that does not exist, the one that a clock set forward shows.
    fn at(&self) -> Option<i64> {
        let Schedule::At(local) = &self.schedule else { return None };
        let zoned = self.zone.to_ambiguous_zoned(*local).compatible().ok()?;
        Some(zoned.timestamp().as_millisecond())
    }

    /// What a rate counts from, and whether that moment is one itself.
    fn anchor(&self) -> (i64, i64) {
        self.start.map_or((self.created, 1), |start| (start, 0))
    }

    fn zoned(&self, at: i64) -> Option<Zoned> {
        Some(Timestamp::from_millisecond(at).ok()?.to_zoned(self.zone.clone()))
    }
}

fn parse(expression: &str) -> Result<Schedule, ScheduleError> {
    let inner = |kind: &str| expression.strip_prefix(kind)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(text) = inner("at") {
        return at(text).map(Schedule::At);
    }
    if let Some(text) = inner("rate") {
        return rate(text).map(Schedule::Rate);
    }
    let text = inner("cron").ok_or(ScheduleError::Form)?;
    let pattern = fields::translate(text)?;
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required).build();
    let invalid = |_| ScheduleError::Field { field: "cron", value: text.to_owned() };
    parser.parse(&pattern).map(|cron| Schedule::Cron(Box::new(cron))).map_err(invalid)
}

fn at(text: &str) -> Result<DateTime, ScheduleError> {
    let invalid = || ScheduleError::At(text.to_owned());
    let (date, time) = text.split_once('T').ok_or_else(invalid)?;
    let numbers = |text: &str, by: char, widths: [usize; 3]| {
        let parts: Vec<&str> = text.split(by).collect();
        let [a, b, c] = parts[..] else { return None };
        let mut found = [0i16; 3];
        for ((part, width), slot) in [a, b, c].into_iter().zip(widths).zip(&mut found) {
            // An hour of one digit is in AWS's own examples.
            let fits = (1..=width).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            *slot = part.parse().ok().filter(|_| fits)?;
        }
        Some(found)
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2]).ok_or_else(invalid)?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2]).ok_or_else(invalid)?;
    DateTime::new(year, month as i8, day as i8, hour as i8, minute as i8, second as i8, 0)
        .map_err(|_| invalid())
}

fn rate(text: &str) -> Result<i64, ScheduleError> {
    let invalid = || ScheduleError::Rate(text.to_owned());
    let (value, unit) = text.split_once(' ').ok_or_else(invalid)?;
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let value: i64 = value.parse().ok().filter(|v| *v > 0 && digits).ok_or_else(invalid)?;
    // As in other schedules of AWS, one of something is in the singular.
    let (unit, plural) = unit.strip_suffix('s').map_or((unit, false), |unit| (unit, true));
    let millis = match unit {
        "minute" => 60_000,
        "hour" => 3_600_000,
        "day" => 86_400_000,
        _ => return Err(invalid()),
    };
    if plural != (value > 1) {
        return Err(invalid());
    }
    value.checked_mul(millis).ok_or_else(invalid)
}

#[cfg(test)]
mod tests;
