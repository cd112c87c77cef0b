//! Telling outcomes: to queues, topics, buses and buckets through a port, to functions through the queue itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lambd_types::invocation::Event;
use lambd_types::{
    FunctionRef, FunctionTarget, Qualifier, RequestId, Scope, UnixMillis, Version, function_arn, limits,
    lineage,
};

use super::outcome::{Outcome, Told, qualified_arn};
use super::{InProgress, Inner};
use crate::ports::{Content, DeliveryError, FunctionQueue, Metric, Parcel, Progress, QueuedEvent, Stage};

/// Who sends records to functions.
const CALLER: &str = "lambda.amazonaws.com";

impl Inner {
    /// Tells the outcome of an event wherever it is still to be told, and writes what is left.
    pub(super) async fn deliver(
        self: Arc<Self>,
        queue: Arc<FunctionQueue>,
        event: QueuedEvent,
        progress: InProgress,
    ) {
        let Some(mut outcome) = event.progress.outcome.as_deref().and_then(Outcome::decode) else {
            tracing::error!(seq = event.seq, function = %queue.name, "an outcome cannot be read and is not told");
            let lost = Progress {
                stage: Stage::Unreadable,
                last_error: Some("its outcome cannot be read".to_owned()),
                ..event.progress.clone()
            };
            self.surely("the state", || self.parts.store.change(event.seq, lost.clone())).await;
            return;
        };
        let mut refused = None;
        let mut late = Vec::new();
        let mut why = String::new();
        for told in std::mem::take(&mut outcome.pending) {
            match self.tell(&queue, &event, &outcome, &told).await {
                Ok(()) => {}
                Err(DeliveryError::Refused(text)) => {
                    self.undelivered(&queue, &event, &told, &text);
                    refused = Some(text);
                }
                Err(DeliveryError::Later(text)) => {
                    why = text;
                    late.push(told);
                }
            }
        }
        if self.cut_off.load(Ordering::Acquire) && !late.is_empty() {
            return;
        }
        let now = self.now();
        let wait = self.options.retry.backoff(event.progress.system_errors);
        let due_at = UnixMillis(now.0.saturating_add(wait));
        if !late.is_empty() && due_at.0.saturating_sub(outcome.at) > self.options.delivery_age {
            for told in late.drain(..) {
                self.undelivered(&queue, &event, &told, &why);
            }
            refused = Some(why.clone());
        }
        if late.is_empty() {
            self.finish(&queue, &event, outcome, refused).await;
            return;
        }
        outcome.pending = late;
        let next = Progress {
            stage: Stage::Deliver,
            due_at,
            system_errors: event.progress.system_errors.saturating_add(1),
            last_error: Some(why),
            outcome: Some(outcome.encode()),
            ..event.progress.clone()
        };
        self.put_back(&queue, &event, next, progress).await;
    }

    fn undelivered(&self, queue: &FunctionQueue, event: &QueuedEvent, told: &Told, why: &str) {
        let metric = match told {
            Told::Record(_) => Metric::DestinationDeliveryFailures,
            Told::DeadLetter(_) => Metric::DeadLetterErrors,
        };
        self.count(queue, metric, 1);
        let request_id = &event.new.event.request_id;
        tracing::warn!(%request_id, function = %queue.name, to = told.arn(), error = why, "an outcome cannot be delivered");
    }

    async fn tell(
        self: &Arc<Self>,
        queue: &FunctionQueue,
        event: &QueuedEvent,
        outcome: &Outcome,
        told: &Told,
    ) -> Result<(), DeliveryError> {
        let new = &event.new;
        let content = outcome.content(told, new);
        let trace = lineage::entered(&new.event.trace_id, &function_arn(&queue.scope, &queue.name)).0;
        if told.arn().split(':').nth(2) == Some("lambda") {
            return self.tell_function(told.arn(), queue, content, trace).await;
        }
        let parcel = Parcel {
            destination: told.arn().to_owned(),
            scope: queue.scope.clone(),
            name: queue.name.clone(),
            function_arn: qualified_arn(new),
            request_id: new.event.request_id.to_string(),
            at: UnixMillis(outcome.at),
            trace,
            content,
        };
        self.parts.destinations.deliver(parcel).await
    }

    async fn tell_function(
        self: &Arc<Self>,
        arn: &str,
        queue: &FunctionQueue,
        content: Content,
        trace_id: String,
    ) -> Result<(), DeliveryError> {
        let refused = |text: &str| DeliveryError::Refused(format!("{arn}: {text}"));
        let named = FunctionRef::parse(arn).map_err(|error| refused(&error.to_string()))?;
        let target = FunctionTarget {
            scope: Scope {
                account: named.account.unwrap_or_else(|| queue.scope.account.clone()),
                region: named.region.unwrap_or_else(|| queue.scope.region.clone()),
            },
            name: named.name,
            qualifier: named.qualifier.unwrap_or(Qualifier::Version(Version::Latest)),
        };
        let (Content::Record { document, .. } | Content::DeadLetter { event: document, .. }) = content;
        if document.len() > limits::ASYNC_PAYLOAD {
            return Err(refused("the record is larger than an asynchronous event may be"));
        }
        // One that cannot run now exists all the same, and its event waits.
        if let Ok(None) = self.parts.functions.snapshot(&target).await {
            return Err(refused("function not found"));
        }
        let event = Event {
            request_id: RequestId::random(),
            payload: document.into(),
            invoked_arn: arn.to_owned(),
            trace_id,
            client_context: None,
        };
        let pushed = Box::pin(self.push(target, event, CALLER.to_owned())).await;
        pushed.map_err(|error| DeliveryError::Later(error.text))
    }
}
