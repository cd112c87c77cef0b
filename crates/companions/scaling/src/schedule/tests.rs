use proptest::prelude::*;

use super::*;

fn millis(text: &str) -> UnixMillis {
    UnixMillis(text.parse::<Timestamp>().unwrap().as_millisecond())
}

fn shown(at: Option<UnixMillis>) -> String {
    at.map_or("never".to_owned(), |at| Timestamp::from_millisecond(at.0).unwrap().to_string())
}

fn plan(expression: &str, zone: Option<&str>) -> Plan {
    Plan::new(expression, zone, (None, None), millis("2026-01-01T00:00:00Z")).unwrap()
}

/// The first times after the beginning of 2026.
fn times(expression: &str, zone: Option<&str>, count: usize) -> Vec<String> {
    let (plan, mut at) = (plan(expression, zone), millis("2026-01-01T00:00:00Z"));
    let next = || {
        let next = plan.next(at);
        at = next.unwrap_or(at);
        shown(next)
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn an_action_at_a_time_acts_once_in_its_zone() {
    assert_eq!(times("at(2026-07-01T12:00:00)", None, 2), ["2026-07-01T12:00:00Z", "never"]);
    assert_eq!(times("at(2026-07-01T9:00:00)", Some("America/New_York"), 1), ["2026-07-01T13:00:00Z"]);
    assert_eq!(times("at(2025-07-01T12:00:00)", None, 1), ["never"]);
    // Clocks are set from 02:00 to 03:00.
    assert_eq!(times("at(2026-03-29T02:30:00)", Some("Europe/Berlin"), 1), ["2026-03-29T01:30:00Z"]);
}

#[test]
fn a_rate_counts_from_its_creation_or_its_start() {
    assert_eq!(times("rate(5 minutes)", None, 2), ["2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z"]);
    assert_eq!(times("rate(1 day)", None, 1), ["2026-01-02T00:00:00Z"]);
    let (start, end) = (millis("2026-02-01T00:00:30Z"), millis("2026-02-01T01:00:30Z"));
    let bounded = Plan::new("rate(1 hour)", None, (Some(start), Some(end)), millis("2026-01-01T00:00:00Z"));
    let bounded = bounded.unwrap();
    assert_eq!(bounded.next(millis("2026-01-05T00:00:00Z")), Some(start), "it begins at its start");
    assert_eq!(bounded.next(start), Some(end), "and the end is part of it");
    assert_eq!(bounded.next(end), None);
}

#[test]
fn cron_has_awss_six_fields() {
    let rows = [
        ("cron(30 6 ? * MON *)", ["2026-01-05T06:30:00Z", "2026-01-12T06:30:00Z"]),
        ("cron(0 10 * * ? *)", ["2026-01-01T10:00:00Z", "2026-01-02T10:00:00Z"]),
        ("cron(0 18 ? * 2-6 *)", ["2026-01-01T18:00:00Z", "2026-01-02T18:00:00Z"]),
        ("cron(0 18 ? * SAT-SUN *)", ["2026-01-03T18:00:00Z", "2026-01-04T18:00:00Z"]),
        ("cron(0 8 1 * ? *)", ["2026-01-01T08:00:00Z", "2026-02-01T08:00:00Z"]),
        ("cron(0/15 * * * ? *)", ["2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"]),
        ("cron(0 0 L * ? *)", ["2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"]),
        // The weekday nearest to a Thursday is itself, and to Sunday the 1st of March the Monday after.
        ("cron(0 9 1W * ? *)", ["2026-01-01T09:00:00Z", "2026-02-02T09:00:00Z"]),
        ("cron(0 9 ? * 6L *)", ["2026-01-30T09:00:00Z", "2026-02-27T09:00:00Z"]),
        ("cron(0 9 ? * 3#2 *)", ["2026-01-13T09:00:00Z", "2026-02-10T09:00:00Z"]),
        ("cron(0 9 ? * L *)", ["2026-01-03T09:00:00Z", "2026-01-10T09:00:00Z"]),
        ("cron(15 12 ? jan,DEC tue 2027-2030)", ["2027-01-05T12:15:00Z", "2027-01-12T12:15:00Z"]),
        ("cron(0 0 29 2 ? *)", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
    ];
    for (expression, expected) in rows {
        assert_eq!(times(expression, None, 2), expected, "{expression}");
    }
    assert_eq!(times("cron(0 0 31 2 ? *)", None, 1), ["never"]);
    assert_eq!(times("cron(0 9 * * ? 2026)", None, 366)[365], "never");
}

#[test]
fn cron_follows_the_clocks_of_its_zone() {
    let from = millis("2026-03-28T00:00:00Z");
    let plan = plan("cron(0 9 * * ? *)", Some("Europe/Berlin"));
    let (first, second) = (plan.next(from), plan.next(millis("2026-03-28T12:00:00Z")));
    assert_eq!((shown(first), shown(second)), ("2026-03-28T08:00:00Z".into(), "2026-03-29T07:00:00Z".into()));
}

#[test]
fn what_was_missed_is_the_last_time_until_now() {
    let (due, now) = (millis("2026-01-01T10:00:00Z"), millis("2026-01-04T09:59:00Z"));
    assert_eq!(plan("cron(0 10 * * ? *)", None).last(due, now), millis("2026-01-03T10:00:00Z"));
    assert_eq!(plan("rate(3 hours)", None).last(due, now), millis("2026-01-04T07:00:00Z"));
    assert_eq!(plan("at(2026-01-01T10:00:00)", None).last(due, now), due);
    assert_eq!(plan("cron(0 10 * * ? *)", None).last(due, due), due);
}

#[test]
fn what_is_no_schedule_is_refused() {
    let bad = [
        "",
        "10 minutes",
        "every(5)",
        "at()",
        "at(2026-13-01T00:00:00)",
        "at(2026-01-01)",
        "at(2026-01-01T00:00)",
        "at(2026-01-01T00:00:00Z)",
        "at(+026-01-01T00:00:00)",
        "rate()",
        "rate(0 minutes)",
        "rate(-1 minutes)",
        "rate(5 minute)",
        "rate(1 hours)",
        "rate(1 week)",
        "rate(5  minutes)",
        "rate(+5 minutes)",
        "rate(99999999999999999 days)",
        "cron()",
        "cron(* * * * *)",
        "cron(* * * * * *)",
        "cron(* * ? * ? *)",
        "cron(60 * * * ? *)",
        "cron(* 24 * * ? *)",
        "cron(* * 0 * ? *)",
        "cron(* * 32 * ? *)",
        "cron(* * * 13 ? *)",
        "cron(* * ? * 8 *)",
        "cron(* * ? * 0 *)",
        "cron(* * * * ? 1969)",
        "cron(* * * * ? 2200)",
        "cron(*/0 * * * ? *)",
        "cron(5-1 * * * ? *)",
        "cron(+5 * * * ? *)",
        "cron(* * ? * 2#6 *)",
        "cron(* * ? * MON#X *)",
        "cron(a * * * ? *)",
        "cron(, * * * ? *)",
        "cron(* * W * ? *)",
        "cron(? * * * ? *)",
        "cron(@daily)",
        "cron(0 10 * * ? *",
        "rate(5 minutes) ",
    ];
    for expression in bad {
        assert!(parse(expression).is_err(), "{expression}");
    }
    assert!(Plan::new("rate(1 day)", Some("Mars/Base"), (None, None), UnixMillis(0)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is asked, the next time is later, and nothing is between.
    #[test]
    fn times_come_one_after_the_other(minute in 0u32..60, hour in 0u32..24, weekday in 1u32..8, after in 0i64..4_000_000_000) {
        let after = UnixMillis(after * 1000);
        for expression in [
            format!("cron({minute} {hour} ? * {weekday} *)"),
            format!("cron({minute} * * * ? *)"),
            format!("rate({} minutes)", minute + 2),
        ] {
            let plan = Plan::new(&expression, Some("Europe/Berlin"), (None, None), UnixMillis(0)).unwrap();
            let next = plan.next(after).unwrap();
            prop_assert!(next > after, "{expression}");
            prop_assert_eq!(plan.next(UnixMillis(next.0 - 1)), Some(next));
            prop_assert_eq!(plan.last(next, UnixMillis(next.0 + 1)), next);
        }
    }

    /// No text makes the parser panic.
    #[test]
    fn any_text_is_an_answer(text in ".{0,40}") {
        let _ = parse(&text);
        let _ = parse(&format!("cron({text})"));
        let _ = parse(&format!("at({text})"));
        let _ = parse(&format!("rate({text})"));
    }
}
