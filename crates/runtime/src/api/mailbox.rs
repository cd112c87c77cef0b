//! What the platform and the runtime inside have to say to each other: one event at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lambd_types::UnixMillis;
use lambd_types::invocation::Event;
use lambd_types::streaming::ResponseSink;
use tokio::sync::{Notify, oneshot};

/// An event with the moment at which its function times out.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) event: Event,
    pub(crate) deadline: UnixMillis,
    /// Takes a response that is streamed.
    pub(crate) stream: Option<Arc<dyn ResponseSink>>,
}

/// The runtime's answer to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The handler's response, any bytes.
    Response(Bytes),
    /// The handler failed.
    Error(ReportedError),
    /// The handler's response has gone through the event's sink.
    Streamed,
    /// The response is over the limit, in bytes.
    TooLarge { size: u64, limit: u64 },
    /// The response broke off after its beginning.
    Truncated,
}

/// An error that the runtime reported, of an event or of its own initialisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportedError {
    /// For the caller, any JSON.
    pub(crate) document: Bytes,
    /// The type that the runtime gave it.
    pub(crate) error_type: String,
}

/// A call that does not fit the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The request id is not the one being processed.
    InvalidRequestId,
    /// The call comes at the wrong time, such as a second response while the first is still being sent.
    InvalidStateTransition,
}

enum State {
    /// The runtime has not asked for an event yet.
    Initialising(oneshot::Sender<Result<(), ReportedError>>),
    /// Nothing to do.
    Idle,
    /// An event waits for the runtime to take it.
    Pending(Arc<Dispatch>, oneshot::Sender<Reply>),
    /// The runtime works on it.
    Running(Arc<Dispatch>, oneshot::Sender<Reply>),
}

struct Inside {
    state: State,
    /// Calls of `next` that wait now; a runtime may have several processes.
    waiting: usize,
    /// The runtime has asked for an event since its last answer.
    asked: bool,
    /// An answer is being received.
    answering: bool,
    /// It is initialised for an image alone.
    is_template: bool,
}

/// The meeting point of one environment's engine side and its runtime.
pub(crate) struct Mailbox {
    inside: Mutex<Inside>,
    arrived: Notify,
    came_back: Notify,
}

impl Mailbox {
    /// A mailbox and the news of the initialisation's end.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Result<(), ReportedError>>) {
        let (sender, receiver) = oneshot::channel();
        let state = State::Initialising(sender);
        let inside = Inside { state, waiting: 0, asked: false, answering: false, is_template: false };
        (Self { inside: Mutex::new(inside), arrived: Notify::new(), came_back: Notify::new() }, receiver)
    }

    /// The same for a runtime of which an image is to be taken. It is initialised when it asks for its restoration.
    pub(crate) fn of_template() -> (Self, oneshot::Receiver<Result<(), ReportedError>>) {
        let (mailbox, init) = Self::new();
        mailbox.lock().is_template = true;
        (mailbox, init)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Engine side: leaves an event for the runtime.
    pub(crate) fn post(&self, dispatch: Arc<Dispatch>) -> oneshot::Receiver<Reply> {
        let (sender, receiver) = oneshot::channel();
        self.lock().state = State::Pending(dispatch, sender);
        self.arrived.notify_one();
        receiver
    }

    /// Engine side: whether an event waits for a runtime that has not come back from the one before.
    pub(crate) fn nobody_asked(&self) -> bool {
        let inside = self.lock();
        matches!(inside.state, State::Pending(..)) && !inside.asked
    }

    /// Engine side: waits until the runtime asks for an event after its last answer.
    pub(crate) async fn asked(&self) {
        while !self.lock().asked {
            self.came_back.notified().await;
        }
    }

    /// Engine side: whether an answer is being received.
    pub(crate) fn is_answering(&self) -> bool {
        self.lock().answering
    }

    /// Runtime side: waits for the next event, without limit (RT-65). A runtime that has not answered the
    /// last one gets it once more, as from the service: its connection may have broken.
    pub(crate) async fn next(&self) -> Arc<Dispatch> {
        let _waiting = Waiting::begin(self);
        loop {
            {
                let mut inside = self.lock();
                inside.asked = true;
                self.came_back.notify_one();
                match std::mem::replace(&mut inside.state, State::Idle) {
                    State::Initialising(done) => {
                        let _ = done.send(Ok(()));
                    }
                    State::Idle => {}
                    State::Pending(dispatch, reply) | State::Running(dispatch, reply) => {
                        inside.state = State::Running(dispatch.clone(), reply);
                        return dispatch;
                    }
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Runtime side: it asks for its restoration. One that is not to be captured needs none.
    pub(crate) fn restore(&self) {
        let mut inside = self.lock();
        if inside.is_template
            && let State::Initialising(done) = std::mem::replace(&mut inside.state, State::Idle)
        {
            let _ = done.send(Ok(()));
        }
    }

    /// Runtime side: an answer to the event `id` begins to arrive (RT-71).
    pub(crate) fn answer(&self, id: &str) -> Result<Answering<'_>, Refused> {
        let mut inside = self.lock();
        match &inside.state {
            State::Running(dispatch, _) if dispatch.event.request_id.as_str() == id => {}
            _ => return Err(Refused::InvalidRequestId),
        }
        self.begin_answer(&mut inside)
    }

    /// Runtime side: the report that it could not initialise begins to arrive (RT-69).
    pub(crate) fn fail_init(&self) -> Result<Answering<'_>, Refused> {
        let mut inside = self.lock();
        match &inside.state {
            State::Initialising(_) => self.begin_answer(&mut inside),
            _ => Err(Refused::InvalidStateTransition),
        }
    }

    /// Only one answer at a time is taken in.
    fn begin_answer(&self, inside: &mut Inside) -> Result<Answering<'_>, Refused> {
        match std::mem::replace(&mut inside.answering, true) {
            false => Ok(Answering { mailbox: self }),
            true => Err(Refused::InvalidStateTransition),
        }
    }
}

/// Counts a call of `next` while it waits, however it ends.
struct Waiting<'a>(&'a Mailbox);

impl<'a> Waiting<'a> {
    fn begin(mailbox: &'a Mailbox) -> Self {
        mailbox.lock().waiting += 1;
        Self(mailbox)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

/// An answer that is being received. One that breaks off leaves everything as it was.
pub(crate) struct Answering<'a> {
    mailbox: &'a Mailbox,
}

impl Answering<'_> {
    /// Who takes the response if it is streamed.
    pub(crate) fn sink(&self) -> Option<Arc<dyn ResponseSink>> {
        match &self.mailbox.lock().state {
            State::Running(dispatch, _) => dispatch.stream.clone(),
            _ => None,
        }
    }

    /// The answer to an event is complete.
    pub(crate) fn give(self, reply: Reply) {
        let mut inside = self.mailbox.lock();
        match std::mem::replace(&mut inside.state, State::Idle) {
            State::Running(_, sender) => {
                // Others of the runtime's processes may be waiting already.
                inside.asked = inside.waiting > 0;
                let _ = sender.send(reply);
            }
            other => inside.state = other,
        }
    }

    /// The error is complete, whatever it is about.
    pub(crate) fn give_error(self, error: ReportedError) {
        let mut inside = self.mailbox.lock();
        match std::mem::replace(&mut inside.state, State::Idle) {
            State::Initialising(done) => {
                let _ = done.send(Err(error));
            }
            other => {
                inside.state = other;
                drop(inside);
                self.give(Reply::Error(error));
            }
        }
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.mailbox.lock().answering = false;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use lambd_types::RequestId;

    use super::*;

    fn dispatch(id: &str) -> Arc<Dispatch> {
        let event = Event {
            request_id: RequestId::from_stored(id.into()),
            payload: Bytes::from_static(b"{}"),
            invoked_arn: String::new(),
            trace_id: String::new(),
            client_context: None,
        };
        Arc::new(Dispatch { event, deadline: UnixMillis(0), stream: None })
    }

    fn response() -> Reply {
        Reply::Response(Bytes::from_static(b"ok"))
    }

    fn refused(answering: Result<Answering<'_>, Refused>) -> Refused {
        answering.err().expect("refused")
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
        assert_eq!(taken.event.request_id.as_str(), "1");
        let reply = reply.into_inner().unwrap().unwrap();
        assert_eq!(refused(mailbox.answer("2")), Refused::InvalidRequestId);
        mailbox.answer("1").ok().unwrap().give(response());
        assert_eq!(refused(mailbox.answer("1")), Refused::InvalidRequestId, "only once");
        assert_eq!(reply.await.unwrap(), response());
    }

    #[tokio::test]
    async fn an_event_is_given_again_until_it_is_answered() {
        let (mailbox, _init) = Mailbox::new();
        let reply = mailbox.post(dispatch("1"));
        for _ in 0..2 {
            assert_eq!(mailbox.next().await.event.request_id.as_str(), "1");
        }
        // An answer that breaks off changes nothing.
        drop(mailbox.answer("1").ok().unwrap());
        let answering = mailbox.answer("1").ok().unwrap();
        assert_eq!(refused(mailbox.answer("1")), Refused::InvalidStateTransition, "one at a time");
        answering.give(response());
        assert_eq!(reply.await.unwrap(), response());
    }

    #[tokio::test]
    async fn it_is_known_whether_anybody_asked() {
        let (mailbox, _init) = Mailbox::new();
        let _first = mailbox.post(dispatch("1"));
        mailbox.next().await;
        let other = mailbox.next();
        mailbox.answer("1").ok().unwrap().give(response());
        let _second = mailbox.post(dispatch("2"));
        assert!(mailbox.nobody_asked(), "the process that answered has not come back");
        mailbox.next().await;
        assert!(!mailbox.nobody_asked(), "taken");
        // A second process that waits in time is as good as the first coming back.
        assert!(other.now_or_never().is_some(), "it gets the event too");
        let mut waiting = Box::pin(mailbox.next());
        mailbox.answer("2").ok().unwrap().give(response());
        assert!((&mut waiting).now_or_never().is_none());
        let _third = mailbox.post(dispatch("3"));
        assert!(!mailbox.nobody_asked());
    }

    #[tokio::test]
    async fn one_that_waits_for_its_image_is_initialised() {
        let (plain, init) = Mailbox::new();
        plain.restore();
        assert!(init.now_or_never().is_none(), "it asks for its first event as well");
        let (template, init) = Mailbox::of_template();
        template.restore();
        assert_eq!(init.await.unwrap(), Ok(()));
        assert_eq!(refused(template.fail_init()), Refused::InvalidStateTransition);
    }

    #[tokio::test]
    async fn a_failed_initialisation_is_told_once() {
        let (mailbox, init) = Mailbox::new();
        let error = || ReportedError { document: Bytes::from_static(b"{}"), error_type: "E".into() };
        mailbox.fail_init().ok().unwrap().give_error(error());
        assert_eq!(refused(mailbox.fail_init()), Refused::InvalidStateTransition);
        assert_eq!(init.await.unwrap(), Err(error()));
    }
}
