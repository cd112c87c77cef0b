use proptest::prelude::*;

use super::*;

const TRACKING: Tracking = Tracking { target: 0.7, out_cooldown: 0, in_cooldown: 0, disable_in: false };

fn situation(capacity: u32) -> Situation {
    Situation {
        now: UnixMillis(0),
        capacity,
        min: 1,
        max: 100,
        suspended: Suspended::default(),
        progress: Progress::default(),
        in_progress: false,
    }
}

fn minutes(count: usize, in_use: u32, allocated: u32) -> Points {
    let mut points = Points::default();
    (0..count).for_each(|_| points.add(Point { in_use, allocated }));
    points
}

fn scale(alarm: Alarm, to: u32) -> Decision {
    Decision::Scale { alarm, to }
}

/// CORE-186: three minutes above the target raise the capacity to what the use needs.
#[test]
fn three_minutes_above_the_target_raise_the_capacity_at_once() {
    assert_eq!(decide(&minutes(2, 10, 10), &TRACKING, &situation(10)), Decision::Nothing);
    assert_eq!(decide(&minutes(3, 10, 10), &TRACKING, &situation(10)), scale(Alarm::High, 15));
    assert_eq!(decide(&minutes(9, 7, 10), &TRACKING, &situation(10)), Decision::Nothing, "at the target");
    let mut broken = minutes(2, 10, 10);
    broken.add(Point { in_use: 7, allocated: 10 });
    (0..2).for_each(|_| broken.add(Point { in_use: 10, allocated: 10 }));
    assert_eq!(decide(&broken, &TRACKING, &situation(10)), Decision::Nothing);
    let mut gone = minutes(2, 10, 10);
    gone.add(Point { in_use: 0, allocated: 0 });
    gone.add(Point { in_use: 10, allocated: 10 });
    assert_eq!(decide(&gone, &TRACKING, &situation(10)), Decision::Nothing, "a minute without data");
}

/// CORE-186, CORE-187: fifteen minutes below 90 % of the target lower it, in small steps.
#[test]
fn fifteen_minutes_below_the_target_lower_the_capacity_slowly() {
    assert_eq!(decide(&minutes(14, 0, 100), &TRACKING, &situation(100)), Decision::Nothing);
    assert_eq!(decide(&minutes(15, 0, 100), &TRACKING, &situation(100)), scale(Alarm::Low, 90));
    assert_eq!(decide(&minutes(15, 0, 5), &TRACKING, &situation(5)), scale(Alarm::Low, 4));
    assert_eq!(decide(&minutes(15, 62, 100), &TRACKING, &situation(100)), scale(Alarm::Low, 90));
    assert_eq!(decide(&minutes(15, 63, 100), &TRACKING, &situation(100)), Decision::Nothing, "63 %");
    let mut mixed = minutes(1, 60, 100);
    (0..14).for_each(|_| mixed.add(Point { in_use: 1, allocated: 100 }));
    assert_eq!(decide(&mixed, &TRACKING, &situation(88)), scale(Alarm::Low, 86), "the busiest minute counts");
}

#[test]
fn the_bounds_hold() {
    let near = Situation { max: 12, ..situation(10) };
    assert_eq!(decide(&minutes(3, 10, 10), &TRACKING, &near), scale(Alarm::High, 12));
    let stay = |alarm, reason| Decision::Stay { alarm, reason };
    let full = Situation { max: 10, ..situation(10) };
    assert_eq!(decide(&minutes(3, 10, 10), &TRACKING, &full), stay(Alarm::High, NotScaled::Max));
    let low = Situation { min: 5, ..situation(5) };
    assert_eq!(decide(&minutes(15, 0, 5), &TRACKING, &low), stay(Alarm::Low, NotScaled::Min));
    let last = Situation { min: 0, ..situation(1) };
    assert_eq!(decide(&minutes(15, 0, 1), &TRACKING, &last), stay(Alarm::Low, NotScaled::Min));
    // What was asked for a minute ago is enough for what was measured before it came.
    assert_eq!(decide(&minutes(3, 10, 10), &TRACKING, &situation(15)), stay(Alarm::High, NotScaled::Desired));
}

#[test]
fn what_is_suspended_or_in_progress_waits() {
    let (high, low) = (minutes(3, 10, 10), minutes(15, 0, 10));
    let both = |s: &Situation, t: &Tracking| [decide(&high, t, s), decide(&low, t, s)];
    let out = Suspended { scale_out: true, scheduled: true, ..Suspended::default() };
    let suspended = Situation { suspended: out, ..situation(10) };
    assert_eq!(both(&suspended, &TRACKING), [Decision::Nothing, scale(Alarm::Low, 9)]);
    let suspended =
        Situation { suspended: Suspended { scale_in: true, ..Suspended::default() }, ..situation(10) };
    assert_eq!(both(&suspended, &TRACKING), [scale(Alarm::High, 15), Decision::Nothing]);
    let disabled = Tracking { disable_in: true, ..TRACKING };
    assert_eq!(both(&situation(10), &disabled), [scale(Alarm::High, 15), Decision::Nothing]);
    let busy = Situation { in_progress: true, ..situation(10) };
    assert_eq!(both(&busy, &TRACKING), [Decision::Nothing; 2]);
}

#[test]
fn cooldowns_hold_back_all_but_a_larger_step_out() {
    let tracking = Tracking { out_cooldown: 60_000, in_cooldown: 120_000, ..TRACKING };
    let after = |now, step_out| {
        let progress = Progress { scaled_out: Some(0), step_out, scaled_in: Some(0) };
        Situation { now: UnixMillis(now), progress, ..situation(10) }
    };
    let (high, low) = (minutes(3, 10, 10), minutes(15, 0, 10));
    assert_eq!(decide(&high, &tracking, &after(59_999, 5)), Decision::Nothing);
    assert_eq!(decide(&high, &tracking, &after(59_999, 4)), scale(Alarm::High, 15));
    assert_eq!(decide(&high, &tracking, &after(60_000, 5)), scale(Alarm::High, 15));
    assert_eq!(decide(&low, &tracking, &after(119_999, 5)), Decision::Nothing);
    assert_eq!(decide(&low, &tracking, &after(120_000, 5)), scale(Alarm::Low, 9));
}

proptest! {
    /// Under any load the capacity keeps its bounds, never falls below what the load of the last quarter of an hour
    /// needs, and falls in small steps; once the load is steady it settles and stays.
    #[test]
    fn any_load_is_followed(
        target in 0.1f64..0.9,
        (min, span) in (1u32..20, 0u32..300),
        loads in proptest::collection::vec((0u32..250, 1usize..40), 1..6),
    ) {
        let tracking = Tracking { target, ..TRACKING };
        let (max, mut capacity, mut points) = (min + span, min, Points::default());
        let mut history = Vec::new();
        let steady = (loads.last().unwrap().0, 400);
        for (load, length) in loads.into_iter().chain([steady]) {
            for _ in 0..length {
                points.add(Point { in_use: load.min(capacity), allocated: capacity });
                history.push(capacity);
                let situation = Situation { min, max, ..situation(capacity) };
                if let Decision::Scale { alarm, to } = decide(&points, &tracking, &situation) {
                    prop_assert!((min..=max).contains(&to));
                    match alarm {
                        Alarm::High => prop_assert!(to > capacity),
                        Alarm::Low => {
                            prop_assert!(to < capacity && capacity - to <= (capacity / 10).max(1));
                            let busiest = points.0.iter().map(|p| p.in_use).max().unwrap();
                            prop_assert!(f64::from(busiest) / f64::from(to) <= target + 1e-6);
                        }
                    }
                    capacity = to;
                }
            }
        }
        let settled = &history[history.len() - 30..];
        prop_assert!(settled.iter().all(|c| *c == capacity), "{settled:?}");
        let utilisation = f64::from(steady.0.min(capacity)) / f64::from(capacity);
        prop_assert!(capacity == max || utilisation <= target + 1e-6);
        prop_assert!(capacity == min || utilisation >= target * LOW_PART * f64::from(capacity - 1) / f64::from(capacity) - 1e-6);
    }
}
