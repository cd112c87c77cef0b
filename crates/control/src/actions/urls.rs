//! What the actions on function URLs share (API-410..414).

use std::net::IpAddr;

use lambd_api::requests::attached as requests;
use lambd_api::responses::attached as responses;
use lambd_api::{ApiError, Route, Violations, patterns};
use lambd_http::RequestHead;
use lambd_store::attached::{Cors, Holder, UrlConfig};
use lambd_types::{Qualifier, UnixMillis, function_arn, iso8601_millis, random};

use super::lookup;
use crate::Control;
use crate::checks::{self, all};
use crate::context::store_error;
use crate::functions::Target;

/// The function or alias of a request; versions have no URL.
pub(super) fn target(
    head: &RequestHead,
    route: &Route,
    mut violations: Violations,
) -> Result<Target, ApiError> {
    if let Some(qualifier) = head.query.get("Qualifier") {
        let is_alias = !qualifier.is_empty()
            && !all(qualifier, |b| b.is_ascii_digit())
            && all(qualifier, |b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !is_alias {
            violations.pattern(qualifier, "qualifier", patterns::URL_QUALIFIER);
        }
    }
    violations.into_result()?;
    let target = Target::of(head, route.function_name())?;
    match &target.qualifier {
        Some(Qualifier::Version(_)) => Err(ApiError::InvalidParameterValue(
            "Function URLs are for functions and aliases. Versions do not have one.".to_owned(),
        )),
        _ => Ok(target),
    }
}

/// Refuses a function or alias that does not exist, in the words of these operations.
pub(super) async fn exists(control: &Control, target: &Target) -> Result<(), ApiError> {
    lookup::row(control, target).await.map(drop).map_err(|error| match error {
        ApiError::ResourceNotFound(_) => ApiError::ResourceNotFound("Function does not exist".to_owned()),
        other => other,
    })
}

/// The URL of a function or alias, which must have one.
pub(super) async fn configured(control: &Control, target: &Target) -> Result<UrlConfig, ApiError> {
    let found = control.store().attached(&target.holder()).await.map_err(store_error)?;
    found.ok_or_else(not_configured)
}

/// The refusal of everything that needs a URL.
pub(super) fn not_configured() -> ApiError {
    ApiError::ResourceNotFound("The resource you requested does not exist.".to_owned())
}

/// The constraints of the API model.
pub(super) fn check(body: &requests::FunctionUrlConfig) -> Violations {
    let mut violations = Violations::default();
    let v = &mut violations;
    checks::one_of(v, "authType", body.auth_type.as_ref(), &["NONE", "AWS_IAM"]);
    checks::one_of(v, "invokeMode", body.invoke_mode.as_ref(), &["BUFFERED", "RESPONSE_STREAM"]);
    let Some(cors) = &body.cors else { return violations };
    for (list, at, most, shortest, longest) in [
        (&cors.allow_headers, "cors.allowHeaders", 100, 0, 1024),
        (&cors.allow_methods, "cors.allowMethods", 6, 0, 6),
        (&cors.allow_origins, "cors.allowOrigins", 100, 1, 253),
        (&cors.expose_headers, "cors.exposeHeaders", 100, 0, 1024),
    ] {
        let Some(list) = list else { continue };
        let shown = format!("[{}]", list.join(", "));
        if list.len() > most {
            v.too_long(&shown, at, most);
        }
        if list.iter().any(|item| !(shortest..=longest).contains(&item.chars().count())) {
            let text = format!(
                "Member must satisfy constraint: [Member must have length less than or equal to {longest}, Member must \
                 have length greater than or equal to {shortest}, Member must satisfy regular expression pattern: .*]"
            );
            v.custom(&shown, at, &text);
        }
    }
    if let Some(age) = cors.max_age {
        v.range(age, "cors.maxAge", 0, 86_400);
    }
    violations
}

/// A new URL with the service's defaults.
pub(super) fn fresh(now: i64) -> UrlConfig {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let id = random::bytes::<32>().iter().map(|byte| char::from(DIGITS[usize::from(byte % 32)])).collect();
    UrlConfig {
        id,
        auth_type: String::new(),
        cors: None,
        invoke_mode: "BUFFERED".to_owned(),
        created: now,
        last_modified: now,
    }
}

/// Applies what a request says.
pub(super) fn apply(body: requests::FunctionUrlConfig, config: &mut UrlConfig, now: i64) {
    if let Some(auth_type) = body.auth_type {
        config.auth_type = auth_type;
    }
    if let Some(mode) = body.invoke_mode {
        config.invoke_mode = mode;
    }
    if let Some(cors) = body.cors {
        let rules = Cors {
            allow_credentials: cors.allow_credentials,
            allow_headers: cors.allow_headers,
            allow_methods: cors.allow_methods,
            allow_origins: cors.allow_origins,
            expose_headers: cors.expose_headers,
            // Checked: within its range.
            max_age: cors.max_age.and_then(|age| u32::try_from(age).ok()),
        };
        // An empty object takes the rules away.
        config.cors = (rules != Cors::default()).then_some(rules);
    }
    config.last_modified = now;
}

/// What the client sees, on the host that it used.
pub(super) fn describe(host: &str, holder: &Holder, config: &UrlConfig) -> responses::FunctionUrlConfig {
    let arn = function_arn(&holder.scope, &holder.name);
    responses::FunctionUrlConfig {
        function_url: format!("http://{}.lambda-url.{}.{}/", config.id, holder.scope.region, base(host)),
        function_arn: match &holder.qualifier {
            Some(qualifier) => format!("{arn}:{qualifier}"),
            None => arn,
        },
        auth_type: config.auth_type.clone(),
        cors: config.cors.clone().map(|cors| responses::Cors {
            allow_credentials: cors.allow_credentials,
            allow_headers: cors.allow_headers,
            allow_methods: cors.allow_methods,
            allow_origins: cors.allow_origins,
            expose_headers: cors.expose_headers,
            max_age: cors.max_age,
        }),
        creation_time: iso8601_millis(UnixMillis(config.created)),
        last_modified_time: Some(iso8601_millis(UnixMillis(config.last_modified))),
        invoke_mode: config.invoke_mode.clone(),
    }
}

/// Names below an address do not exist; those below localhost do.
fn base(host: &str) -> String {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if all(port, |b| b.is_ascii_digit()) => (name, format!(":{port}")),
        _ => (host, String::new()),
    };
    let address: Option<IpAddr> = name.trim_matches(['[', ']']).parse().ok();
    match address.is_some_and(|address| address.is_loopback()) {
        true => format!("localhost{port}"),
        false => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_below_a_name() {
        for (host, expected) in [
            ("localhost:4566", "localhost:4566"),
            ("127.0.0.1:4566", "localhost:4566"),
            ("[::1]:4566", "localhost:4566"),
            ("127.0.0.1", "localhost"),
            ("lambda.example.com", "lambda.example.com"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(base(host), expected);
        }
    }
}
