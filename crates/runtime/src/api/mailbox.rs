//! What the platform and the runtime inside have to say to each other: one event at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lambd_types::invocation::Event;
use lambd_types::{RequestId, UnixMillis};
use tokio::sync::{Notify, oneshot};

/// An event with the moment at which its function times out.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) event: Event,
    pub(crate) deadline: UnixMillis,
}

/// The runtime's answer to an event, or to its own initialisation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The handler's response, any bytes.
    Response(Bytes),
    /// An error document, with the type that the runtime gave it.
    Error { document: Bytes, error_type: String },
    /// The response is over the limit.
    TooLarge { size: usize },
}

/// A call that does not fit the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The request id is not the one being processed.
    InvalidRequestId,
    /// The runtime asked for the next event before it answered the last one.
    InvalidStateTransition,
}

enum State {
    /// The runtime has not asked for an event yet.
    Initialising(oneshot::Sender<Result<(), Reply>>),
    /// Nothing to do.
    Idle,
    /// An event waits for the runtime to take it.
    Pending(Box<Dispatch>, oneshot::Sender<Reply>),
    /// The runtime works on it.
    Running(RequestId, oneshot::Sender<Reply>),
}

/// The meeting point of one instance's engine side and its runtime.
pub(crate) struct Mailbox {
    state: Mutex<State>,
    arrived: Notify,
}

impl Mailbox {
    /// A mailbox and the news of the initialisation's end.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Result<(), Reply>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { state: Mutex::new(State::Initialising(sender)), arrived: Notify::new() }, receiver)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Engine side: leaves an event for the runtime.
    pub(crate) fn post(&self, dispatch: Dispatch) -> oneshot::Receiver<Reply> {
        let (sender, receiver) = oneshot::channel();
        *self.lock() = State::Pending(Box::new(dispatch), sender);
        self.arrived.notify_one();
        receiver
    }

    /// Runtime side: waits for the next event, without limit (RT-65).
    pub(crate) async fn next(&self) -> Result<Box<Dispatch>, Refused> {
        loop {
            {
                let mut state = self.lock();
                match std::mem::replace(&mut *state, State::Idle) {
                    State::Initialising(done) => {
                        let _ = done.send(Ok(()));
                    }
                    State::Idle => {}
                    State::Pending(dispatch, reply) => {
                        *state = State::Running(dispatch.event.request_id.clone(), reply);
                        return Ok(dispatch);
                    }
                    running @ State::Running(..) => {
                        *state = running;
                        return Err(Refused::InvalidStateTransition);
                    }
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Runtime side: answers the event `id` (RT-71).
    pub(crate) fn answer(&self, id: &str, reply: Reply) -> Result<(), Refused> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Idle) {
            State::Running(running, sender) if running.as_str() == id => {
                let _ = sender.send(reply);
                Ok(())
            }
            other => {
                *state = other;
                Err(Refused::InvalidRequestId)
            }
        }
    }

    /// Runtime side: reports that it could not initialise (RT-69).
    pub(crate) fn fail_init(&self, reply: Reply) -> Result<(), Refused> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Idle) {
            State::Initialising(done) => {
                let _ = done.send(Err(reply));
                Ok(())
            }
            other => {
                *state = other;
                Err(Refused::InvalidStateTransition)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispatch(id: &str) -> Dispatch {
        let event = Event {
            request_id: RequestId::from_stored(id.into()),
            payload: Bytes::from_static(b"{}"),
            invoked_arn: String::new(),
            trace_id: String::new(),
            client_context: None,
        };
        Dispatch { event, deadline: UnixMillis(0) }
    }

    #[tokio::test]
    async fn an_event_goes_round() {
        let (mailbox, init) = Mailbox::new();
        let reply = std::sync::Mutex::new(None);
        let posted = async {
            init.await.unwrap().unwrap();
            *reply.lock().unwrap() = Some(mailbox.post(dispatch("1")));
        };
        let (taken, ()) = tokio::join!(mailbox.next(), posted);
        assert_eq!(taken.unwrap().event.request_id.as_str(), "1");
        let reply = reply.into_inner().unwrap().unwrap();
        assert_eq!(mailbox.answer("2", Reply::Response(Bytes::new())), Err(Refused::InvalidRequestId));
        assert_eq!(mailbox.next().await.unwrap_err(), Refused::InvalidStateTransition);
        let response = || Reply::Response(Bytes::from_static(b"ok"));
        assert_eq!(mailbox.answer("1", response()), Ok(()));
        assert_eq!(mailbox.answer("1", response()), Err(Refused::InvalidRequestId), "only once");
        assert_eq!(reply.await.unwrap(), response());
    }

    #[tokio::test]
    async fn a_failed_initialisation_is_told_once() {
        let (mailbox, init) = Mailbox::new();
        let error = || Reply::Error { document: Bytes::from_static(b"{}"), error_type: "E".into() };
        assert_eq!(mailbox.fail_init(error()), Ok(()));
        assert_eq!(mailbox.fail_init(error()), Err(Refused::InvalidStateTransition));
        assert_eq!(init.await.unwrap(), Err(error()));
    }
}
