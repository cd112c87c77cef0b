//! The six fields of AWS's cron, spelt out for `croner`.

use std::collections::BTreeSet;

use super::ScheduleError;

/// A field of plain values.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
    /// What `croner` calls the lowest value.
    base: u32,
}

const MINUTES: Field = Field { name: "minutes", min: 0, max: 59, names: &[], base: 0 };
const HOURS: Field = Field { name: "hours", min: 0, max: 23, names: &[], base: 0 };
const DAYS: Field = Field { name: "day-of-month", min: 1, max: 31, names: &[], base: 1 };
const MONTHS: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    base: 1,
};
const WEEKDAYS: Field = Field {
    name: "day-of-week",
    min: 1,
    max: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    base: 0,
};
const YEARS: Field = Field { name: "year", min: 1970, max: 2199, names: &[], base: 1970 };

/// `minutes hours day-of-month month day-of-week year` with a field of seconds in front, and lists only.
pub(super) fn translate(text: &str) -> Result<String, ScheduleError> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays, years] = fields[..] else {
        return Err(ScheduleError::Fields(fields.len()));
    };
    if (days == "?") == (weekdays == "?") {
        return Err(ScheduleError::Question);
    }
    Ok(format!(
        "0 {} {} {} {} {} {}",
        MINUTES.list(minutes)?,
        HOURS.list(hours)?,
        days_of_month(days)?,
        MONTHS.list(months)?,
        days_of_week(weekdays)?,
        YEARS.list(years)?
    ))
}

fn days_of_month(text: &str) -> Result<String, ScheduleError> {
    match text {
        "?" => Ok("*".to_owned()),
        "L" | "LW" => Ok(text.to_owned()),
        _ => match text.strip_suffix('W') {
            Some(day) => Ok(format!("{}W", DAYS.value(day)?)),
            None => DAYS.list(text),
        },
    }
}

fn days_of_week(text: &str) -> Result<String, ScheduleError> {
    let translated = |day: &str| Ok(WEEKDAYS.value(day)? - WEEKDAYS.min);
    match text {
        "?" => return Ok("*".to_owned()),
        // Of a week, the last day is Saturday.
        "L" => return Ok("6".to_owned()),
        _ => {}
    }
    if let Some(day) = text.strip_suffix('L') {
        return Ok(format!("{}#L", translated(day)?));
    }
    match text.split_once('#') {
        Some((day, nth @ ("1" | "2" | "3" | "4" | "5"))) => Ok(format!("{}#{nth}", translated(day)?)),
        Some(_) => Err(WEEKDAYS.invalid(text)),
        None => WEEKDAYS.list(text),
    }
}

impl Field {
    /// All values that an expression names, separated by commas.
    fn list(&self, text: &str) -> Result<String, ScheduleError> {
        if text == "*" {
            return Ok("*".to_owned());
        }
        let mut values = BTreeSet::new();
        for part in text.split(',') {
            values.extend(self.part(part)?);
        }
        let shown: Vec<String> = values.iter().map(|v| (v - self.min + self.base).to_string()).collect();
        Ok(shown.join(","))
    }

    /// `5`, `1-5`, `*`, each perhaps with `/2`.
    fn part(&self, text: &str) -> Result<Vec<u32>, ScheduleError> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => {
                let step = number(step).filter(|step| *step > 0).ok_or_else(|| self.invalid(text))?;
                (range, Some(step))
            }
            None => (text, None),
        };
        let values: Vec<u32> = match range.split_once('-') {
            _ if range == "*" => (self.min..=self.max).collect(),
            None if step.is_some() => (self.value(range)?..=self.max).collect(),
            None => vec![self.value(range)?],
            Some((from, to)) => {
                let (from, to) = (self.value(from)?, self.value(to)?);
                match from <= to {
                    true => (from..=to).collect(),
                    // Friday to Monday, November to February.
                    false if !self.names.is_empty() => (from..=self.max).chain(self.min..=to).collect(),
                    false => return Err(self.invalid(text)),
                }
            }
        };
        Ok(values.into_iter().step_by(step.unwrap_or(1) as usize).collect())
    }

    fn value(&self, text: &str) -> Result<u32, ScheduleError> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = named.map(|at| at as u32 + self.min).or_else(|| number(text));
        value.filter(|v| (self.min..=self.max).contains(v)).ok_or_else(|| self.invalid(text))
    }

    fn invalid(&self, value: &str) -> ScheduleError {
        ScheduleError::Field { field: self.name, value: value.to_owned() }
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}
