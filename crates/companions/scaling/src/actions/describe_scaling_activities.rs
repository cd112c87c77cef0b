//! `DescribeScalingActivities`: the latest first.

use lambd_http::protocol::validation::Checks;
use lambd_store::scaling::{ActivityFilter, ActivityRow};
use lambd_types::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::activities::{Activity, Status};
use crate::checks::{Filter, Named, Paging, finish};
use crate::error::ScalingError;
use crate::resource::{DIMENSION, NAMESPACE};
use crate::service::Context;
use crate::shapes::{NotScaledReason, maybe_seconds, seconds};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    #[serde(flatten)]
    named: Named,
    #[serde(flatten)]
    paging: Paging,
    include_not_scaled_activities: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Output {
    scaling_activities: Vec<ScalingActivity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ScalingActivity {
    activity_id: String,
    service_namespace: &'static str,
    resource_id: String,
    scalable_dimension: &'static str,
    description: String,
    cause: String,
    #[serde(serialize_with = "seconds")]
    start_time: UnixMillis,
    #[serde(serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    end_time: Option<UnixMillis>,
    status_code: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_scaled_reasons: Vec<NotScaledReason>,
}

impl ScalingActivity {
    fn of(row: ActivityRow) -> Result<Self, ScalingError> {
        let activity = Activity::of(&row)?;
        Ok(Self {
            activity_id: activity.id,
            service_namespace: NAMESPACE,
            resource_id: row.resource,
            scalable_dimension: DIMENSION,
            description: activity.description,
            cause: activity.cause,
            start_time: row.started,
            end_time: activity.ended.map(UnixMillis),
            status_code: activity.status,
            status_message: activity.message,
            not_scaled_reasons: activity.not_scaled.into_iter().collect(),
        })
    }
}

pub(crate) async fn run(cx: &Context<'_>, input: Input) -> Result<Output, ScalingError> {
    let mut checks = Checks::new();
    input.named.filter(&mut checks);
    input.paging.check(&mut checks);
    finish(checks)?;
    let filter = input.named.resource()?;
    let before = match input.paging.after::<1>()? {
        Some([number]) => Some(number.parse().map_err(|_| ScalingError::InvalidNextToken)?),
        None => None,
    };
    let Filter::Resource(resource) = filter else {
        return Ok(Output { scaling_activities: Vec::new(), next_token: None });
    };
    let filter = ActivityFilter { resource, unscaled: input.include_not_scaled_activities.unwrap_or(false) };
    let limit = input.paging.limit();
    let mut rows = cx.store().list_scaling_activities(cx.scope, filter, before, limit).await?;
    let next_token = input.paging.cut(&mut rows, |row| [row.number.to_string()]);
    let scaling_activities = rows.into_iter().map(ScalingActivity::of).collect::<Result<_, _>>()?;
    Ok(Output { scaling_activities, next_token })
}
