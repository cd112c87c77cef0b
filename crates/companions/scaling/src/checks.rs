//! What the operations check alike.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lambd_http::protocol::validation::Checks;
use lambd_types::FunctionTarget;
use serde::Deserialize;

use crate::error::ScalingError;
use crate::resource::{self, DIMENSION, NAMESPACE};
use crate::service::Context;

/// Most tags of a target.
pub(crate) const MAX_TAGS: usize = 50;
/// Largest and default page of a list.
const PAGE: i64 = 50;

const NAMESPACES: [&str; 15] = [
    "ecs",
    "elasticmapreduce",
    "ec2",
    "appstream",
    "dynamodb",
    "rds",
    "sagemaker",
    "custom-resource",
    "comprehend",
    "lambda",
    "cassandra",
    "kafka",
    "elasticache",
    "neptune",
    "workspaces",
];
const DIMENSIONS: [&str; 24] = [
    "ecs:service:DesiredCount",
    "ec2:spot-fleet-request:TargetCapacity",
    "elasticmapreduce:instancegroup:InstanceCount",
    "appstream:fleet:DesiredCapacity",
    "dynamodb:table:ReadCapacityUnits",
    "dynamodb:table:WriteCapacityUnits",
    "dynamodb:index:ReadCapacityUnits",
    "dynamodb:index:WriteCapacityUnits",
    "rds:cluster:ReadReplicaCount",
    "sagemaker:variant:DesiredInstanceCount",
    "custom-resource:ResourceType:Property",
    "comprehend:document-classifier-endpoint:DesiredInferenceUnits",
    "comprehend:entity-recognizer-endpoint:DesiredInferenceUnits",
    "lambda:function:ProvisionedConcurrency",
    "cassandra:table:ReadCapacityUnits",
    "cassandra:table:WriteCapacityUnits",
    "kafka:broker-storage:VolumeSize",
    "elasticache:cache-cluster:Nodes",
    "elasticache:replication-group:NodeGroups",
    "elasticache:replication-group:Replicas",
    "neptune:cluster:ReadReplicaCount",
    "sagemaker:variant:DesiredProvisionedConcurrency",
    "sagemaker:inference-component:DesiredCopyCount",
    "workspaces:workspacespool:DesiredUserSessions",
];
const TEXT: &str = r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*";

/// Turns violations into the error of the API.
pub(crate) fn finish(checks: Checks) -> Result<(), ScalingError> {
    checks.finish().map_err(ScalingError::Validation)
}

/// Checks a text of up to 1600 characters.
pub(crate) fn text(checks: &mut Checks, at: &str, text: &str) {
    checks.length(at, text, 1, 1600);
    checks.pattern(at, text, TEXT, |c| {
        (' '..'\u{fffe}').contains(&c) || c > '\u{ffff}' || "\r\n\t".contains(c)
    });
}

/// The three members by which a target is named.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Named {
    service_namespace: Option<String>,
    resource_id: Option<String>,
    scalable_dimension: Option<String>,
}

impl Named {
    /// Checks them where all are required, after which [`Self::target`] may be asked.
    pub(crate) fn required(&self, checks: &mut Checks) {
        let Self { service_namespace, resource_id, scalable_dimension } = self;
        for (at, value) in [
            ("serviceNamespace", service_namespace),
            ("resourceId", resource_id),
            ("scalableDimension", scalable_dimension),
        ] {
            if value.is_none() {
                checks.required::<String>(at, None);
            }
        }
        self.given(checks);
    }

    /// Checks them in a list, where the namespace alone is required.
    pub(crate) fn filter(&self, checks: &mut Checks) {
        if self.service_namespace.is_none() {
            checks.required::<String>("serviceNamespace", None);
        }
        self.given(checks);
    }

    fn given(&self, checks: &mut Checks) {
        if let Some(namespace) = &self.service_namespace {
            checks.one_of("serviceNamespace", namespace, &NAMESPACES);
        }
        if let Some(resource) = &self.resource_id {
            text(checks, "resourceId", resource);
        }
        if let Some(dimension) = &self.scalable_dimension {
            checks.one_of("scalableDimension", dimension, &DIMENSIONS);
        }
    }

    /// What is named: a resource id that is scaled here, and the function behind it.
    pub(crate) fn target(&self, cx: &Context<'_>) -> Result<(String, FunctionTarget), ScalingError> {
        let is_ours = self.service_namespace.as_deref() == Some(NAMESPACE)
            && self.scalable_dimension.as_deref() == Some(DIMENSION);
        let resource = self.resource_id.clone().filter(|_| is_ours).ok_or(ScalingError::Unsupported)?;
        let function = resource::parse(cx.scope, &resource).ok_or(ScalingError::Unsupported)?;
        Ok((resource, function))
    }

    /// What a list is about.
    pub(crate) fn resource(&self) -> Result<Filter<'_>, ScalingError> {
        if self.scalable_dimension.is_some() && self.resource_id.is_none() {
            return Err(ScalingError::invalid("A scalable dimension needs a resource ID"));
        }
        Ok(match self.is_elsewhere() {
            true => Filter::Nothing,
            false => Filter::Resource(self.resource_id.as_deref()),
        })
    }

    /// Whether a namespace or dimension is named in which nothing is.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.service_namespace.as_deref() != Some(NAMESPACE)
            || self.scalable_dimension.as_deref().is_some_and(|dimension| dimension != DIMENSION)
    }

    pub(crate) fn dimension(&self) -> Option<&str> {
        self.scalable_dimension.as_deref()
    }
}

/// What a list is about.
pub(crate) enum Filter<'a> {
    /// Services that are not here.
    Nothing,
    /// One resource, or all.
    Resource(Option<&'a str>),
}

/// The members of a list by which pages are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Paging {
    max_results: Option<i64>,
    next_token: Option<String>,
}

impl Paging {
    pub(crate) fn check(&self, checks: &mut Checks) {
        checks.range("maxResults", self.size(), 1, PAGE);
    }

    fn size(&self) -> i64 {
        self.max_results.unwrap_or(PAGE)
    }

    /// How many rows to ask for: one more tells whether there is a next page.
    pub(crate) fn limit(&self) -> usize {
        self.size() as usize + 1
    }

    /// What the last page ended with, in `N` parts.
    pub(crate) fn after<const N: usize>(&self) -> Result<Option<[String; N]>, ScalingError> {
        let Some(token) = &self.next_token else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| ScalingError::InvalidNextToken)?;
        let parts: Vec<String> =
            serde_json::from_slice(&bytes).map_err(|_| ScalingError::InvalidNextToken)?;
        parts.try_into().map(Some).map_err(|_| ScalingError::InvalidNextToken)
    }

    /// Cuts a list to a page; the token for the next one is made of the last item.
    pub(crate) fn cut<T, const N: usize>(
        &self,
        rows: &mut Vec<T>,
        parts: impl Fn(&T) -> [String; N],
    ) -> Option<String> {
        if rows.len() < self.limit() {
            return None;
        }
        rows.pop();
        let parts = serde_json::json!(rows.last().map(parts)?.to_vec());
        Some(URL_SAFE_NO_PAD.encode(parts.to_string()))
    }
}

/// Checks tags.
pub(crate) fn tags(checks: &mut Checks, tags: &BTreeMap<String, String>) {
    for (key, value) in tags {
        checks.length("tags", key, 1, 128);
        checks.length("tags", value, 0, 256);
    }
}

/// Checks the name of a rule, given as the member `at`; `is_allowed` and `pattern` say the same.
pub(crate) fn name(checks: &mut Checks, at: &str, name: &str, pattern: &str, is_allowed: fn(char) -> bool) {
    checks.length(at, name, 1, 256);
    checks.pattern(at, name, pattern, is_allowed);
}
