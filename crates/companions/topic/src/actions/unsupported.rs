//! What there is none of.

use crate::error::SnsError;
use crate::service::{Context, Reply};

/// Tools that look for what is there before they make anything are told the truth.
pub(super) async fn no_platform_applications(_cx: &Context<'_>) -> Result<Reply, SnsError> {
    Ok(Reply::of(|xml| {
        xml.element("PlatformApplications", |_| {});
    }))
}
