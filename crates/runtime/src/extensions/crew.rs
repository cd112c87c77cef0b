//! The extensions of one environment: the meeting point of the engine, the Extensions API and the processes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::watch;

use super::registry::{Failure, Invoked, Notice, Refused, Registered, Registry, ShutdownReason, State};
use crate::ports::Exit;

/// The extensions of one environment. Waiting is for changes of the registry, which every call makes known.
#[derive(Debug)]
pub(crate) struct Crew {
    registry: Mutex<Registry>,
    changes: watch::Sender<()>,
    /// Whether there is any extension, for the many functions that have none.
    is_manned: AtomicBool,
    has_failed: AtomicBool,
}

impl Crew {
    /// A crew with external extensions of these names.
    pub(crate) fn new(external: &[String]) -> Self {
        let registry = Registry::new(external);
        Self {
            is_manned: AtomicBool::new(!registry.is_empty()),
            has_failed: AtomicBool::new(registry.failure().is_some()),
            registry: Mutex::new(registry),
            changes: watch::Sender::new(()),
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something and wakes whoever waits.
    fn change<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        let mut registry = self.registry();
        let result = change(&mut registry);
        self.is_manned.store(!registry.is_empty(), Ordering::Release);
        self.has_failed.store(registry.failure().is_some(), Ordering::Release);
        drop(registry);
        self.changes.send_replace(());
        result
    }

    /// Waits until there is something to find.
    async fn wait_for<T>(&self, mut find: impl FnMut(&mut Registry) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(found) = find(&mut self.registry()) {
                return found;
            }
            // The sender is part of this; it cannot be gone.
            let _ = changes.changed().await;
        }
    }

    async fn wait_until(&self, condition: impl Fn(&Registry) -> bool) {
        self.wait_for(|registry| condition(registry).then_some(())).await;
    }

    /// Whether there is any extension.
    pub(crate) fn is_manned(&self) -> bool {
        self.is_manned.load(Ordering::Acquire)
    }

    /// Whether one has a process of its own.
    pub(crate) fn has_external(&self) -> bool {
        self.is_manned() && self.registry().has_external()
    }

    /// Whether the environment cannot go on because of an extension.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Resolves when the environment cannot go on.
    pub(crate) async fn failure(&self) -> Failure {
        self.wait_for(|registry| registry.failure().cloned()).await
    }

    /// All of them as the log shows them.
    pub(crate) fn list(&self) -> Vec<Registered> {
        if self.is_manned() { self.registry().list() } else { Vec::new() }
    }

    /// Engine side: waits until every external extension has registered.
    pub(crate) async fn registered(&self) {
        self.wait_until(Registry::are_registered).await;
    }

    /// Engine side: the runtime is ready. Waits until all extensions are as well.
    pub(crate) async fn ready(&self) {
        self.change(Registry::close);
        self.at_rest().await;
    }

    /// Engine side: tells of an event.
    pub(crate) fn invoke(&self, invoked: Invoked) {
        self.change(|registry| registry.invoke(invoked));
    }

    /// Engine side: whether every extension is done with the last event.
    pub(crate) fn is_at_rest(&self) -> bool {
        !self.is_manned() || self.registry().rest()
    }

    /// Engine side: waits until every extension is done with the last event.
    pub(crate) async fn at_rest(&self) {
        self.wait_until(Registry::rest).await;
    }

    /// Engine side: whatever ends from now on is no failure.
    pub(crate) fn end(&self) {
        self.change(Registry::end);
    }

    /// Engine side: tells of the end, and waits until all are gone who wanted to be told.
    pub(crate) async fn shut_down(&self, reason: ShutdownReason, deadline: i64) {
        self.change(|registry| registry.shut_down(reason, deadline));
        self.wait_until(|registry| !registry.linger()).await;
    }

    /// Follows the processes of external extensions until the last has ended.
    pub(crate) async fn follow(self: Arc<Self>, mut ends: BoxStream<'static, (usize, Exit)>) {
        while let Some((index, exit)) = ends.next().await {
            self.change(|registry| registry.ended(index, &exit));
        }
    }

    /// Extension side: `register`; the identifier.
    pub(crate) fn register(&self, name: &str, events: &[String]) -> Result<String, Refused> {
        self.change(|registry| registry.register(name, events))
    }

    /// Extension side: `event/next`, without limit.
    pub(crate) async fn next(&self, id: &str) -> Result<Arc<Notice>, Refused> {
        self.change(|registry| registry.ready(id))?;
        let _waiting = Waiting { crew: self, id };
        Ok(self.wait_for(|registry| registry.take(id)).await)
    }

    /// Extension side: `init/error` or `exit/error`.
    pub(crate) fn report(&self, id: &str, to: State, error_type: &str) -> Result<(), Refused> {
        self.change(|registry| registry.report(id, to, error_type))
    }

    /// The name of a registered extension.
    pub(crate) fn name_of(&self, id: &str) -> Result<String, Refused> {
        self.registry().name_of(id)
    }
}

/// A call of `event/next`, however it ends.
struct Waiting<'a> {
    crew: &'a Crew,
    id: &'a str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.crew.registry().waits_no_more(self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn an_environment_is_ready_when_the_last_extension_is() {
        let crew = Crew::new(&["a".to_owned()]);
        assert!(crew.registered().now_or_never().is_none());
        let a = crew.register("a", &["INVOKE".to_owned()]).unwrap();
        crew.registered().await;
        let b = crew.register("b", &["INVOKE".to_owned()]).unwrap();
        let mut ready = Box::pin(crew.ready());
        assert!((&mut ready).now_or_never().is_none());
        let (mut next_a, mut next_b) = (Box::pin(crew.next(&a)), Box::pin(crew.next(&b)));
        assert!((&mut next_a).now_or_never().is_none());
        assert!((&mut ready).now_or_never().is_none(), "b has not asked");
        assert!((&mut next_b).now_or_never().is_none());
        ready.await;
        crew.invoke(Invoked {
            request_id: "r".into(),
            function_arn: "arn".into(),
            trace_id: String::new(),
            deadline: 1,
        });
        assert!(matches!(*next_a.await.unwrap(), Notice::Invoke(_)));
        next_b.await.unwrap();
        assert!(!crew.is_at_rest());
        let (mut next_a, mut next_b) = (Box::pin(crew.next(&a)), Box::pin(crew.next(&b)));
        assert!((&mut next_a).now_or_never().is_none() && !crew.is_at_rest());
        assert!((&mut next_b).now_or_never().is_none() && crew.is_at_rest());
    }

    #[tokio::test]
    async fn a_broken_call_may_be_repeated() {
        let crew = Crew::new(&[]);
        assert!(!crew.is_manned());
        let id = crew.register("a", &[]).unwrap();
        assert!(crew.is_manned());
        let mut broken = Box::pin(crew.next(&id));
        assert!((&mut broken).now_or_never().is_none());
        let second = crew.next(&id).await.unwrap_err();
        assert_eq!(second.kind, "Extension.InvalidExtensionState");
        drop(broken);
        assert!(crew.next(&id).now_or_never().is_none(), "it waits");
    }

    #[tokio::test]
    async fn the_end_waits_for_those_who_were_told() {
        let crew = Arc::new(Crew::new(&["a".to_owned(), "b".to_owned()]));
        let a = crew.register("a", &["SHUTDOWN".to_owned()]).unwrap();
        crew.register("b", &["INVOKE".to_owned()]).unwrap();
        let (ends, ended) = tokio::sync::mpsc::unbounded_channel();
        let ended =
            futures_util::stream::unfold(ended, |mut ended| async { Some((ended.recv().await?, ended)) });
        let follow = tokio::spawn(crew.clone().follow(ended.boxed()));
        crew.end();
        let mut gone = Box::pin(crew.shut_down(ShutdownReason::Spindown, 7));
        assert!((&mut gone).now_or_never().is_none());
        let notice = crew.next(&a).await.unwrap();
        assert_eq!(*notice, Notice::Shutdown { reason: ShutdownReason::Spindown, deadline: 7 });
        ends.send((0, Exit::Exited(0))).unwrap();
        gone.await;
        assert!(!crew.has_failed());
        drop(ends);
        follow.await.unwrap();
    }
}
