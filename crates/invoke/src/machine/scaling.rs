//! How fast instances may become more (CORE-303..305, CORE-307).

use std::collections::HashMap;
use std::time::Duration;

use lambd_types::{FunctionName, ScalingRule, Scope};
use tokio::time::Instant;

use super::rate::{Bucket, Rate};

/// From here on, what nobody needs any more is looked for.
const MANY: usize = 1024;

/// Instances that have been started lately. One that ends makes room for another at once: the limit is about more
/// instances, not about other ones.
#[derive(Debug)]
pub(crate) struct Scaling {
    rule: ScalingRule,
    buckets: HashMap<Holder, Bucket>,
}

/// Who scales: the functions of an account and region together, or one of them. Provisioned instances are apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Holder {
    scope: Scope,
    function: Option<FunctionName>,
    provisioned: bool,
}

impl Scaling {
    pub(crate) fn new(rule: ScalingRule) -> Self {
        Self { rule, buckets: HashMap::new() }
    }

    /// One more instance, or how long it takes until there may be one.
    pub(crate) fn more(
        &mut self,
        scope: &Scope,
        name: &FunctionName,
        provisioned: bool,
        now: Instant,
    ) -> Result<(), Duration> {
        let Some((holder, rate)) = self.holder(scope, name, provisioned) else { return Ok(()) };
        if self.buckets.len() >= MANY {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        self.buckets.entry(holder).or_default().take(rate, now)
    }

    /// One instance less.
    pub(crate) fn less(&mut self, scope: &Scope, name: &FunctionName, provisioned: bool) {
        let Some((holder, rate)) = self.holder(scope, name, provisioned) else { return };
        if let Some(bucket) = self.buckets.get_mut(&holder) {
            bucket.put_back(rate);
        }
    }

    fn holder(&self, scope: &Scope, name: &FunctionName, provisioned: bool) -> Option<(Holder, Rate)> {
        let (burst, function) = match self.rule {
            ScalingRule::Off => return None,
            ScalingRule::Region(burst) => (burst, None),
            ScalingRule::Function(burst) => (burst, Some(name.clone())),
        };
        let at_once = burst.at_once_in(scope.region.as_str());
        let rate = Rate::new(at_once.into(), burst.per_minute.into(), Duration::from_secs(60));
        Some((Holder { scope: scope.clone(), function, provisioned }, rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::key;

    fn more(scaling: &mut Scaling, name: &str, provisioned: bool, now: Instant) -> Result<(), Duration> {
        scaling.more(&key(name).scope, &key(name).name, provisioned, now)
    }

    /// CORE-303, CORE-304, CORE-307: 3,000 in us-east-1, then 500 in a minute, for all functions of the region.
    #[tokio::test(start_paused = true)]
    async fn a_region_has_its_burst_and_then_more_by_the_minute() {
        let (mut scaling, start) = (Scaling::new(ScalingRule::REGION), Instant::now());
        for _ in 0..1500 {
            more(&mut scaling, "f", false, start).unwrap();
            more(&mut scaling, "g", false, start).unwrap();
        }
        assert_eq!(more(&mut scaling, "h", false, start), Err(Duration::from_millis(120)));
        more(&mut scaling, "h", true, start).unwrap();
        let minute = start + Duration::from_secs(60);
        for _ in 0..500 {
            more(&mut scaling, "f", false, minute).unwrap();
        }
        more(&mut scaling, "f", false, minute).unwrap_err();
        scaling.less(&key("g").scope, &key("g").name, false);
        more(&mut scaling, "f", false, minute).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn or_each_function_has_its_own() {
        let (mut scaling, start) = (Scaling::new(ScalingRule::FUNCTION), Instant::now());
        for _ in 0..1000 {
            more(&mut scaling, "f", false, start).unwrap();
        }
        assert_eq!(more(&mut scaling, "f", false, start), Err(Duration::from_millis(10)));
        more(&mut scaling, "g", false, start).unwrap();
        let later = start + Duration::from_secs(10);
        for _ in 0..1000 {
            more(&mut scaling, "f", false, later).unwrap();
        }
        more(&mut scaling, "f", false, later).unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn or_there_is_no_limit() {
        let mut scaling = Scaling::new(ScalingRule::Off);
        for _ in 0..10_000 {
            more(&mut scaling, "f", false, Instant::now()).unwrap();
        }
        assert!(scaling.buckets.is_empty());
    }
}
