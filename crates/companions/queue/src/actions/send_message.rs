//! `SendMessage`

use crate::error::SqsError;
use crate::outgoing::{self, Outgoing, Sent};
use crate::service::Context;

pub(crate) async fn run(cx: &Context<'_>, mut input: Outgoing) -> Result<Sent, SqsError> {
    let url = input.queue_url.take();
    // Which queue it is comes first: a wrong message to a queue that is not there is told the latter.
    cx.queue(url.as_deref())?;
    input.id = None;
    let message = outgoing::check(input)?;
    let mut gone = None;
    loop {
        let queue = cx.queue_after(url.as_deref(), &mut gone).await?;
        let now = cx.now();
        let message = message.clone().prepare(cx, &queue, now)?;
        if let Some(sent) =
            outgoing::put(cx, &queue, now, vec![message]).await?.and_then(|mut sent| sent.pop())
        {
            return Ok(sent);
        }
        gone = Some(queue.id());
    }
}
