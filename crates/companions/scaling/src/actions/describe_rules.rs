//! What `DescribeScalingPolicies` and `DescribeScheduledActions` have in common.

use lambd_http::protocol::validation::Checks;
use lambd_store::scaling::{RuleFilter, RuleKind, RuleRow};

use crate::checks::{self, Filter, Named, Paging, finish};
use crate::error::ScalingError;
use crate::service::Context;

/// The names that are asked for, and what the API calls them; all where there are none.
pub(crate) struct Names {
    pub(crate) field: &'static str,
    pub(crate) names: Vec<String>,
}

/// A page of rules, and the token of the next one. Those of other namespaces are none.
pub(crate) async fn listed(
    cx: &Context<'_>,
    kind: RuleKind,
    named: &Named,
    paging: &Paging,
    Names { field, names }: &Names,
) -> Result<(Vec<RuleRow>, Option<String>), ScalingError> {
    let mut checks = Checks::new();
    named.filter(&mut checks);
    paging.check(&mut checks);
    checks.members(field, names.len(), 0, 50);
    names.iter().for_each(|name| checks::text(&mut checks, field, name));
    finish(checks)?;
    let filter = named.resource()?;
    let after = paging.after::<2>()?;
    let Filter::Resource(resource) = filter else { return Ok((Vec::new(), None)) };
    let filter = RuleFilter { resource, names };
    let after = after.as_ref().map(|[resource, name]| (resource.as_str(), name.as_str()));
    let mut rows = cx.store().list_scaling_rules(cx.scope, kind, filter, after, paging.limit()).await?;
    let next_token = paging.cut(&mut rows, |row| [row.resource.clone(), row.name.clone()]);
    Ok((rows, next_token))
}
