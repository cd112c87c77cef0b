//! Target tracking as a machine: measured minutes in, the capacity to be set out (CORE-186, CORE-187).
//!
//! Two alarms as AWS makes them: high, when three minutes in a row were above the target; low, when fifteen were below
//! 90 % of it. High raises the capacity at once to what the use of the last minute needs; low lowers it in steps of a
//! tenth, to no less than what the highest use of the fifteen minutes needs.

use std::collections::VecDeque;

use lambd_store::scaling::{Progress, Suspended};
use lambd_types::UnixMillis;

const HIGH_MINUTES: usize = 3;
const LOW_MINUTES: usize = 15;
/// Part of the target below which a minute counts as low.
const LOW_PART: f64 = 0.9;
/// A step down is one part in so many.
const STEPS: u32 = 10;

/// What was measured in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    /// Highest number in use at once.
    pub(crate) in_use: u32,
    /// How many there were.
    pub(crate) allocated: u32,
}

impl Point {
    fn utilisation(self) -> f64 {
        f64::from(self.in_use) / f64::from(self.allocated)
    }
}

/// The last minutes, without a gap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Points(VecDeque<Point>);

impl Points {
    /// Adds a minute; one without anything allocated has no utilisation, and what was before is no longer in a row.
    pub(crate) fn add(&mut self, point: Point) {
        if point.allocated == 0 {
            return self.0.clear();
        }
        if self.0.len() == LOW_MINUTES {
            self.0.pop_front();
        }
        self.0.push_back(point);
    }

    /// Most minutes that count.
    pub(crate) const KEPT: usize = LOW_MINUTES;

    fn last(&self, count: usize) -> Option<impl Iterator<Item = Point>> {
        Some(self.0.iter().skip(self.0.len().checked_sub(count)?).copied())
    }

    fn alarm(&self, target: f64) -> Option<Alarm> {
        if self.last(HIGH_MINUTES)?.all(|point| point.utilisation() > target) {
            return Some(Alarm::High);
        }
        let is_low = self.last(LOW_MINUTES)?.all(|point| point.utilisation() < target * LOW_PART);
        is_low.then_some(Alarm::Low)
    }
}

/// What a policy wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tracking {
    /// Utilisation to be kept, from 0 to 1.
    pub(crate) target: f64,
    /// Milliseconds after raising the capacity in which it is raised again only by more.
    pub(crate) out_cooldown: i64,
    /// Milliseconds after lowering it in which it is not lowered again.
    pub(crate) in_cooldown: i64,
    /// Whether it is never lowered.
    pub(crate) disable_in: bool,
}

/// What a decision depends on beside the measurements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    pub(crate) now: UnixMillis,
    /// The capacity asked for.
    pub(crate) capacity: u32,
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) suspended: Suspended,
    pub(crate) progress: Progress,
    /// An earlier change is not fulfilled yet.
    pub(crate) in_progress: bool,
}

/// Which alarm is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    High,
    Low,
}

/// Why nothing is changed although an alarm is on: where the capacity is already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotScaled {
    Max,
    Min,
    Desired,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Nothing,
    Scale { alarm: Alarm, to: u32 },
    Stay { alarm: Alarm, reason: NotScaled },
}

/// Decides after a minute.
pub(crate) fn decide(points: &Points, tracking: &Tracking, situation: &Situation) -> Decision {
    if situation.in_progress {
        return Decision::Nothing;
    }
    match points.alarm(tracking.target) {
        Some(Alarm::High) if !situation.suspended.scale_out => raise(points, tracking, situation),
        Some(Alarm::Low) if !situation.suspended.scale_in && !tracking.disable_in => {
            lower(points, tracking, situation)
        }
        _ => Decision::Nothing,
    }
}

fn raise(points: &Points, tracking: &Tracking, situation: &Situation) -> Decision {
    let alarm = Alarm::High;
    let Situation { now, capacity, max, progress, .. } = *situation;
    if capacity >= max {
        return Decision::Stay { alarm, reason: NotScaled::Max };
    }
    let in_use = points.0.back().map_or(0, |point| point.in_use);
    let to = needed(in_use, tracking.target).min(max);
    if to <= capacity {
        return Decision::Stay { alarm, reason: NotScaled::Desired };
    }
    let cools = progress.scaled_out.is_some_and(|at| now.0 < at.saturating_add(tracking.out_cooldown));
    if cools && to - capacity <= progress.step_out {
        return Decision::Nothing;
    }
    Decision::Scale { alarm, to }
}

fn lower(points: &Points, tracking: &Tracking, situation: &Situation) -> Decision {
    let alarm = Alarm::Low;
    let Situation { now, capacity, min, progress, .. } = *situation;
    // With nothing left there would be nothing to measure, and it would never be raised again.
    let min = min.max(1);
    if capacity <= min {
        return Decision::Stay { alarm, reason: NotScaled::Min };
    }
    let in_use = points.0.iter().map(|point| point.in_use).max().unwrap_or_default();
    let needed = needed(in_use, tracking.target).max(min);
    if needed >= capacity {
        return Decision::Stay { alarm, reason: NotScaled::Desired };
    }
    if progress.scaled_in.is_some_and(|at| now.0 < at.saturating_add(tracking.in_cooldown)) {
        return Decision::Nothing;
    }
    let step = (capacity / STEPS).max(1);
    Decision::Scale { alarm, to: needed.max(capacity - step) }
}

/// The lowest capacity whose utilisation is not above the target.
fn needed(in_use: u32, target: f64) -> u32 {
    // 0.7 has no exact form: seven in use need ten, whichever way the division is rounded.
    (f64::from(in_use) / target - 1e-9).ceil() as u32
}

#[cfg(test)]
mod tests;
