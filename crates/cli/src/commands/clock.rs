//! `lambd clock`.

use std::time::Duration;

use serde::Deserialize;

use crate::args::{ClockAction, ClockArgs};
use crate::client::{Client, ClientError};
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// What the daemon tells of its clock.
#[derive(Debug, Deserialize)]
pub(crate) struct ClockShown {
    clock: String,
    now: String,
}

pub(crate) async fn run(args: ClockArgs, console: &Console) -> Result<Exit, Failure> {
    let shown = match args.action {
        None => Client::from_flags(&args.client)?.clock().await?,
        Some(ClockAction::Advance { by, client }) => advance(&Client::from_flags(&client)?, by).await?,
    };
    console.out(&format!("{} ({})", shown.now, shown.clock))?;
    Ok(Exit::Good)
}

async fn advance(client: &Client, by: Duration) -> Result<ClockShown, ClientError> {
    client.advance_clock(by).await
}
