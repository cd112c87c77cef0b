//! Who is registered and in which state: the machine of the Extensions API.

use std::sync::Arc;

use lambd_types::random;

use crate::error_document::exit_text;
use crate::ports::Exit;

/// Most extensions of one environment, internal and external together.
pub(crate) const MOST: usize = 10;

/// What an extension can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subscription {
    Invoke,
    Shutdown,
}

impl Subscription {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Invoke => "INVOKE",
            Self::Shutdown => "SHUTDOWN",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::Invoke, Self::Shutdown].into_iter().find(|event| event.as_str() == name)
    }
}

/// An event that the function has, as extensions are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invoked {
    pub(crate) request_id: String,
    pub(crate) function_arn: String,
    /// Empty without one.
    pub(crate) trace_id: String,
    /// In milliseconds since the epoch.
    pub(crate) deadline: i64,
}

/// Why an environment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShutdownReason {
    Spindown,
    Timeout,
    Failure,
}

impl ShutdownReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Spindown => "spindown",
            Self::Timeout => "timeout",
            Self::Failure => "failure",
        }
    }
}

/// What `event/next` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    Invoke(Invoked),
    Shutdown { reason: ShutdownReason, deadline: i64 },
}

/// Where an extension is in its life, by the service's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Started,
    Registered,
    Ready,
    Running,
    InitError,
    ExitError,
    LaunchError,
    /// Its process has ended.
    Exited,
    /// The same, but not well, although it was asked to.
    ShutdownFailed,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::Registered => "Registered",
            Self::Ready => "Ready",
            Self::Running => "Running",
            Self::InitError => "InitError",
            Self::ExitError => "ExitError",
            Self::LaunchError => "LaunchError",
            Self::Exited => "Exited",
            Self::ShutdownFailed => "ShutdownFailed",
        }
    }
}

/// A call that is refused, as the service words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl Refused {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    fn transition(from: State, to: State, who: &str) -> Self {
        let (from, to) = (from.as_str(), to.as_str());
        let text = format!(
            "State transition from {from} to {to} failed for extension {who}. Error: State transition is not allowed"
        );
        Self::new("Extension.InvalidExtensionState", text)
    }
}

/// Why an environment cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Such as `Extension.Crash`.
    pub(crate) kind: &'static str,
    /// What the error document says.
    pub(crate) message: String,
}

/// An extension as the platform's log lines show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) name: String,
    pub(crate) state: &'static str,
    pub(crate) events: Vec<&'static str>,
    pub(crate) error_type: Option<String>,
}

#[derive(Debug)]
struct Extension {
    name: String,
    id: String,
    /// It has a process of its own.
    is_external: bool,
    state: State,
    events: Vec<Subscription>,
    error_type: Option<String>,
    /// What it has not taken yet.
    inbox: Option<Arc<Notice>>,
    /// A call of `next` waits now.
    waits: bool,
}

impl Extension {
    fn new(name: &str, is_external: bool) -> Self {
        Self {
            name: name.to_owned(),
            id: random::uuid(),
            is_external,
            state: State::Started,
            events: Vec::new(),
            error_type: None,
            inbox: None,
            waits: false,
        }
    }

    fn wants(&self, event: Subscription) -> bool {
        self.events.contains(&event)
    }

    /// Whether it has nothing to do.
    fn rests(&self) -> bool {
        self.state == State::Ready && self.inbox.is_none()
    }
}

/// The extensions of one environment. External ones come first, in the order of their processes.
#[derive(Debug)]
pub(crate) struct Registry {
    all: Vec<Extension>,
    /// Whether internal ones may still come.
    is_open: bool,
    is_ending: bool,
    failure: Option<Failure>,
}

impl Registry {
    /// One with external extensions of these names.
    pub(crate) fn new(external: &[String]) -> Self {
        let all = external.iter().map(|name| Extension::new(name, true)).collect();
        let mut registry = Self { all, is_open: true, is_ending: false, failure: None };
        if let Some(extension) = registry.all.get_mut(MOST) {
            extension.state = State::LaunchError;
            extension.error_type = Some("TooManyExtensions".to_owned());
            registry.fail("Extension.LaunchError", format!("Extension limit ({MOST}) reached"));
        }
        registry
    }

    fn find(&mut self, id: &str) -> Result<&mut Extension, Refused> {
        let unknown =
            || Refused::new("Extension.UnknownExtensionIdentifier", format!("Unknown extension {id}"));
        self.all.iter_mut().find(|extension| extension.id == id).ok_or_else(unknown)
    }

    /// `extension/register`; the identifier.
    pub(crate) fn register(&mut self, name: &str, events: &[String]) -> Result<String, Refused> {
        let external = self.all.iter().position(|extension| extension.is_external && extension.name == name);
        let mut subscriptions = Vec::new();
        for event in events {
            match Subscription::of(event) {
                Some(Subscription::Shutdown) if external.is_none() => {
                    let text = format!("{event}: ShutdownEventNotSupportedForInternalExtension");
                    return Err(Refused::new("Extension.InvalidEventType", text));
                }
                Some(event) if subscriptions.contains(&event) => {}
                Some(event) => subscriptions.push(event),
                None => {
                    let text = format!("{event}: ErrorInvalidEventType");
                    return Err(Refused::new("Extension.InvalidEventType", text));
                }
            }
        }
        let index = match external {
            Some(index) => index,
            None => self.add_internal(name)?,
        };
        let extension = &mut self.all[index];
        if extension.state != State::Started {
            return Err(Refused::transition(extension.state, State::Registered, name));
        }
        extension.state = State::Registered;
        extension.events = subscriptions;
        Ok(extension.id.clone())
    }

    fn add_internal(&mut self, name: &str) -> Result<usize, Refused> {
        if !self.is_open {
            let text = "Extension registration closed already";
            return Err(Refused::new("Extension.RegistrationClosed", text));
        }
        if self.all.len() >= MOST {
            let text = format!("Extension limit ({MOST}) reached");
            return Err(Refused::new("Extension.TooManyExtensions", text));
        }
        if self.all.iter().any(|extension| extension.name == name) {
            let text = "Extension with this name already registered";
            return Err(Refused::new("Extension.InvalidExtensionState", text));
        }
        self.all.push(Extension::new(name, false));
        Ok(self.all.len() - 1)
    }

    /// `event/next` begins.
    pub(crate) fn ready(&mut self, id: &str) -> Result<(), Refused> {
        let extension = self.find(id)?;
        match extension.state {
            State::Registered | State::Running => {}
            // The connection of the call before broke.
            State::Ready if !extension.waits => {}
            state => return Err(Refused::transition(state, State::Ready, id)),
        }
        extension.state = State::Ready;
        extension.waits = true;
        Ok(())
    }

    /// What the call of `event/next` that waits answers, once there is something.
    pub(crate) fn take(&mut self, id: &str) -> Option<Arc<Notice>> {
        let extension = self.find(id).ok()?;
        let notice = extension.inbox.take()?;
        extension.state = State::Running;
        Some(notice)
    }

    /// The call of `event/next` has ended in whichever way.
    pub(crate) fn waits_no_more(&mut self, id: &str) {
        if let Ok(extension) = self.find(id) {
            extension.waits = false;
        }
    }

    /// `init/error` or `exit/error`.
    pub(crate) fn report(&mut self, id: &str, to: State, error_type: &str) -> Result<(), Refused> {
        let extension = self.find(id)?;
        match (extension.state, to) {
            (State::Registered, State::InitError) | (State::InitError, State::InitError) => {}
            (State::Registered | State::Ready | State::Running | State::ExitError, State::ExitError) => {}
            (from, to) => return Err(Refused::transition(from, to, id)),
        }
        extension.state = to;
        extension.error_type = Some(error_type.to_owned());
        // One without a process of its own cannot be waited for.
        if !extension.is_external {
            self.fail(error_of(to), error_type.to_owned());
        }
        Ok(())
    }

    /// The name of a registered extension.
    pub(crate) fn name_of(&mut self, id: &str) -> Result<String, Refused> {
        self.find(id).map(|extension| extension.name.clone())
    }

    /// The process of an external extension has ended; the first time counts.
    pub(crate) fn ended(&mut self, index: usize, exit: &Exit) {
        let Some(extension) = self.all.get_mut(index) else { return };
        if matches!(extension.state, State::LaunchError | State::Exited | State::ShutdownFailed) {
            return;
        }
        let state = extension.state;
        if self.is_ending {
            extension.state = if *exit == Exit::Exited(0) { State::Exited } else { State::ShutdownFailed };
            return;
        }
        if let Exit::NotStarted(reason) = exit {
            extension.state = State::LaunchError;
            let is_permission = reason == "permission denied";
            extension.error_type =
                Some(if is_permission { "PermissionDenied" } else { "UnknownError" }.to_owned());
            let message = format!("fork/exec /opt/extensions/{}: {reason}", extension.name);
            return self.fail("Extension.LaunchError", message);
        }
        if !matches!(state, State::InitError | State::ExitError) {
            extension.state = State::Exited;
        }
        self.fail(error_of(state), exit_text(exit));
    }

    fn fail(&mut self, kind: &'static str, message: String) {
        self.failure.get_or_insert(Failure { kind, message });
    }

    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Whether every external extension has registered.
    pub(crate) fn are_registered(&self) -> bool {
        self.all.iter().all(|extension| extension.state != State::Started)
    }

    /// The runtime is ready: no internal extension may register any more.
    pub(crate) fn close(&mut self) {
        self.is_open = false;
    }

    /// Whether every extension has nothing to do.
    pub(crate) fn rest(&self) -> bool {
        self.all.iter().all(Extension::rests)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Tells those of an event who want to know.
    pub(crate) fn invoke(&mut self, invoked: Invoked) {
        let notice = Arc::new(Notice::Invoke(invoked));
        for extension in self.all.iter_mut().filter(|extension| extension.wants(Subscription::Invoke)) {
            extension.inbox = Some(notice.clone());
        }
    }

    /// Tells of the end; from now on none that ends is a failure.
    pub(crate) fn shut_down(&mut self, reason: ShutdownReason, deadline: i64) {
        let notice = Arc::new(Notice::Shutdown { reason, deadline });
        let told =
            |extension: &&mut Extension| extension.is_external && extension.wants(Subscription::Shutdown);
        for extension in self.all.iter_mut().filter(told) {
            extension.inbox = Some(notice.clone());
        }
    }

    /// The environment is about to end.
    pub(crate) fn end(&mut self) {
        self.is_ending = true;
    }

    /// Whether an extension that was told of the end still runs.
    pub(crate) fn linger(&self) -> bool {
        let has_ended = |state| {
            matches!(state, State::Exited | State::ShutdownFailed | State::LaunchError | State::Started)
        };
        self.all.iter().any(|extension| {
            extension.is_external && extension.wants(Subscription::Shutdown) && !has_ended(extension.state)
        })
    }

    /// Whether one has a process of its own.
    pub(crate) fn has_external(&self) -> bool {
        self.all.iter().any(|extension| extension.is_external)
    }

    /// All of them as the log shows them.
    pub(crate) fn list(&self) -> Vec<Registered> {
        let shown = |extension: &Extension| Registered {
            name: extension.name.clone(),
            state: extension.state.as_str(),
            events: extension.events.iter().map(|event| event.as_str()).collect(),
            error_type: extension.error_type.clone(),
        };
        self.all.iter().map(shown).collect()
    }
}

/// What the end of a process means that was in this state.
fn error_of(state: State) -> &'static str {
    match state {
        State::InitError => "Extension.InitError",
        State::ExitError => "Extension.ExitError",
        _ => "Extension.Crash",
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
