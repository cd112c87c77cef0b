//! One attempt of an event, and what follows from it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lambd_types::invocation::Wants;
use lambd_types::{FunctionSnapshot, UnixMillis, function_arn, lineage};

use super::lanes::Signal;
use super::outcome::{Condition, Ended, Outcome, Told};
use super::{InProgress, Inner};
use crate::InvokeError;
use crate::machine::retry::{Attempt, Next};
use crate::ports::{EventSettings, FunctionQueue, Metric, PortError, Progress, QueuedEvent, Stage};

/// What follows.
#[derive(Debug)]
enum Step {
    Retry(Progress),
    Over(Outcome),
}

impl Inner {
    /// Tries an event, and writes what follows from it.
    pub(super) async fn invoke(
        self: Arc<Self>,
        queue: Arc<FunctionQueue>,
        event: QueuedEvent,
        mut progress: InProgress,
    ) {
        let target = &event.new.target;
        let settings = self.parts.functions.event_settings(target).await.unwrap_or_else(|error| {
            tracing::error!(%error, "cannot look up how an event is to be treated");
            EventSettings::default()
        });
        let function = self.parts.functions.snapshot(target).await;
        let dead_letter = match &function {
            Ok(Some(function)) => function.dead_letter.clone(),
            _ => event.new.dead_letter.clone(),
        };
        let ended = self.attempt(&queue, &event, &settings, function).await;
        let ran = matches!(ended, Ended::Answered { error: None, .. });
        if ended == Ended::CutOff || (!ran && self.cut_off.load(Ordering::Acquire)) {
            return;
        }
        progress.signal = match ended {
            Ended::Answered { .. } => Some(Signal::Through),
            Ended::Throttled { .. } => Some(Signal::Throttled),
            _ => None,
        };
        match self.step(&event, &settings, ended) {
            Step::Retry(next) => self.put_back(&queue, &event, next, progress).await,
            Step::Over(mut outcome) => {
                outcome.pending = places(&outcome, &event, settings, dead_letter);
                self.conclude(&queue, event, outcome, progress).await;
            }
        }
    }

    async fn attempt(
        &self,
        queue: &FunctionQueue,
        event: &QueuedEvent,
        settings: &EventSettings,
        function: Result<Option<Arc<FunctionSnapshot>>, PortError>,
    ) -> Ended {
        let function = match function {
            Ok(Some(function)) => function,
            Ok(None) => return Ended::Gone,
            Err(error) => return Ended::Fault { status: 500, message: error.text },
        };
        // An event that waited for its turn may be too old for a first attempt (CORE-261).
        let now = self.now();
        let age = now.0.saturating_sub(event.new.accepted_at.0).max(0);
        if self.options.retry.within(settings).is_too_old(event.new.accepted_at, now) {
            return Ended::TooOld;
        }
        let arn = function_arn(&queue.scope, &queue.name);
        let (trace_id, before) = lineage::entered(&event.new.event.trace_id, &arn);
        if before >= lineage::RECURSION_LIMIT && !settings.may_recurse {
            self.count(queue, Metric::RecursiveInvocationsDropped, 1);
            tracing::warn!(function = %queue.name, "a recursive loop was stopped");
            return Ended::Loop;
        }
        self.count(queue, Metric::AsyncEventAge, age.unsigned_abs());
        let version = function.key.version.to_string();
        let mut tried = event.new.event.clone();
        tried.trace_id = trace_id;
        match self.parts.invoker.invoke_accepted(function, tried, Wants::default()).await {
            Ok(outcome) => Ended::Answered {
                version,
                payload: String::from_utf8_lossy(&outcome.payload).into_owned(),
                error: outcome.error,
            },
            Err(InvokeError::Reserved { limit: 0 }) => Ended::ZeroReserved,
            Err(InvokeError::Runtime(message)) => Ended::Fault { status: 502, message },
            Err(InvokeError::Environment(message)) => {
                tracing::warn!(request_id = %event.new.event.request_id, error = %message, "an event must wait");
                Ended::Fault { status: 500, message }
            }
            Err(error) => Ended::Throttled { message: format!("Rate Exceeded: {error}") },
        }
    }

    fn step(&self, event: &QueuedEvent, settings: &EventSettings, ended: Ended) -> Step {
        let now = self.now();
        let Progress { function_errors, system_errors, .. } = event.progress;
        let over = |ended, condition, runs| Step::Over(Outcome::of(ended, condition, runs, now));
        let attempt = match &ended {
            Ended::Answered { error: None, .. } => Attempt::Succeeded,
            Ended::Answered { error: Some(_), .. } => Attempt::FunctionError,
            Ended::Throttled { .. } | Ended::Fault { .. } => Attempt::SystemError,
            Ended::ZeroReserved => return over(ended, Condition::ZeroReservedConcurrency, function_errors),
            Ended::Loop | Ended::Gone => return over(ended, Condition::RetriesExhausted, function_errors),
            Ended::TooOld | Ended::CutOff => {
                // The last answer counts, if there was one.
                let last = event.progress.outcome.as_deref().and_then(Outcome::decode);
                let condition = Condition::EventAgeExceeded;
                return match last {
                    Some(last) => Step::Over(Outcome { condition, at: now.0, ..last }),
                    None => over(ended, condition, function_errors),
                };
            }
        };
        let policy = self.options.retry.within(settings);
        let accepted_at = event.new.accepted_at;
        let ran = u32::from(matches!(ended, Ended::Answered { .. }));
        let runs = function_errors.saturating_add(ran);
        match policy.next(attempt, function_errors, system_errors, accepted_at, now) {
            Next::Done => over(ended, Condition::Success, runs),
            Next::GiveUpRetries => over(ended, Condition::RetriesExhausted, runs),
            Next::GiveUpAge => over(ended, Condition::EventAgeExceeded, runs),
            Next::RetryAt(due_at) => {
                let last = Outcome::of(ended, Condition::RetriesExhausted, runs, now);
                Step::Retry(Progress {
                    stage: Stage::Invoke,
                    due_at,
                    function_errors: runs,
                    system_errors: system_errors.saturating_add(1 - ran),
                    last_error: Some(last.message.clone()),
                    // Should it get too old, what was answered last is told.
                    outcome: Some(last.encode()),
                })
            }
        }
    }

    /// Puts an event back for a later attempt of its stage.
    pub(super) async fn put_back(
        &self,
        queue: &Arc<FunctionQueue>,
        event: &QueuedEvent,
        next: Progress,
        progress: InProgress,
    ) {
        let (key, due_at) = (progress.key, next.due_at);
        let written =
            self.surely("the next attempt", || self.parts.store.change(event.seq, next.clone())).await;
        // It must not be among those in progress when its time comes.
        drop(progress);
        if written {
            self.lanes().later(key, queue, due_at, self.now());
            self.changed.notify_one();
        }
    }

    /// The last attempt is over: the outcome is told where somebody wants to know it, and the event goes.
    async fn conclude(
        self: &Arc<Self>,
        queue: &Arc<FunctionQueue>,
        event: QueuedEvent,
        outcome: Outcome,
        progress: InProgress,
    ) {
        if !outcome.succeeded() {
            self.count(queue, Metric::AsyncEventsDropped, 1);
            tracing::warn!(
                request_id = %event.new.event.request_id,
                function = %queue.name,
                condition = ?outcome.condition,
                error = %outcome.message,
                "an asynchronous event has failed"
            );
        }
        if outcome.pending.is_empty() {
            self.finish(queue, &event, outcome, None).await;
            return;
        }
        let next = Progress {
            stage: Stage::Deliver,
            due_at: self.now(),
            system_errors: 0,
            last_error: None,
            outcome: Some(outcome.encode()),
            ..event.progress
        };
        let mark = self.lanes().mark();
        if self.surely("the outcome", || self.parts.store.change(event.seq, next.clone())).await {
            self.hand_over(queue.clone(), QueuedEvent { progress: next, ..event }, mark);
        }
        drop(progress);
    }

    /// Nothing is left to be told: an event that succeeded goes, one that failed is kept for a while.
    pub(super) async fn finish(
        &self,
        queue: &FunctionQueue,
        event: &QueuedEvent,
        outcome: Outcome,
        undelivered: Option<String>,
    ) {
        let seq = event.seq;
        if outcome.succeeded() {
            self.surely("the end", || self.parts.store.remove(seq)).await;
            return;
        }
        let now = self.now();
        let last_error = match undelivered {
            Some(why) => format!("{}; not delivered: {why}", outcome.message),
            None => outcome.message.clone(),
        };
        let kept = Progress {
            stage: Stage::Failed,
            due_at: UnixMillis(now.0.saturating_add(self.options.failed_events_age)),
            last_error: Some(last_error),
            outcome: Some(outcome.encode()),
            ..event.progress.clone()
        };
        if self.surely("the failure", || self.parts.store.change(seq, kept.clone())).await
            && let Err(error) = self.parts.store.trim(queue.id, now, self.options.failed_events_kept).await
        {
            tracing::error!(%error, "cannot remove old events that have failed");
        }
    }
}

/// Where an outcome is to be told, each place once.
fn places(
    outcome: &Outcome,
    event: &QueuedEvent,
    settings: EventSettings,
    dead_letter: Option<String>,
) -> Vec<Told> {
    if outcome.succeeded() {
        return settings.on_success.map(Told::Record).into_iter().collect();
    }
    // A function that is gone has no settings any more.
    let gone = outcome.status == Some(404) && settings.on_failure.is_none();
    let on_failure = if gone { event.new.on_failure.clone() } else { settings.on_failure };
    on_failure.map(Told::Record).into_iter().chain(dead_letter.map(Told::DeadLetter)).collect()
}
