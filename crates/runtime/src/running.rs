//! One environment of an instance: a sandbox, the Runtime API inside it, and what goes on in it.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lambd_types::invocation::InitializationType;
use lambd_types::{FunctionSnapshot, NetworkPolicy, random};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::api::{self, Dispatch, Mailbox, Reply, ReportedError};
use crate::catalogue::Launcher;
use crate::debugging::{self, Debugger};
use crate::environment;
use crate::instance::{InstancesOptions, StartError};
use crate::layout::{self, Layout};
use crate::log::InstanceLog;
use crate::ports::{Addresses, Base, Blueprint, Companions, Exit, Sandbox, View};
use crate::wrapper;

/// How long a runtime may write about an error that it has reported.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long an end and what came just before it may be apart.
const NEWS_OF_THE_END: Duration = Duration::from_millis(100);

/// How an event, or the initialisation before it, ended.
pub(crate) enum Ending {
    /// The runtime answered.
    Replied(Reply),
    /// The runtime reported that it cannot initialise.
    InitError(ReportedError),
    /// The process ended.
    Exited(Exit),
    /// The process ended without having asked for the event.
    Untaken(Exit),
    /// The time was over.
    TimedOut,
}

/// What the environments of an instance are to be, as far as it is known before a sandbox is.
pub(crate) struct Design {
    pub(crate) function: Arc<FunctionSnapshot>,
    /// Name of the instance's log stream.
    pub(crate) log_stream: String,
    pub(crate) initialization: InitializationType,
    pub(crate) launcher: Launcher,
    /// Of a function that is to be debugged.
    pub(crate) debugger: Option<Arc<Debugger>>,
    pub(crate) network: NetworkPolicy,
    /// See [`Blueprint`], as for the following.
    pub(crate) root: Option<PathBuf>,
    pub(crate) binds: Vec<(PathBuf, PathBuf)>,
    pub(crate) symlinks: Vec<(PathBuf, PathBuf)>,
}

impl Design {
    /// The port that a debugger is to listen on inside, for a function that is to be debugged.
    fn debugger_port(&self) -> Option<u16> {
        let shares_network = self.network == NetworkPolicy::Host;
        self.debugger.as_ref().map(|debugger| debugger.port_inside(shares_network))
    }

    fn blueprint(&self, id: String, view: &View, addresses: &Addresses, debugger: Option<u16>) -> Blueprint {
        let layout = Layout::new(view, &self.binds, &self.symlinks);
        let (binds, symlinks) = match view {
            View::OwnRoot => layout::beside(&self.binds, &self.symlinks),
            View::Host { .. } => (self.binds.clone(), self.symlinks.clone()),
        };
        let mut start = self.launcher.start(&layout);
        if let Some(port) = debugger {
            start = self.launcher.under_debugger(start, port, &layout);
        }
        if self.launcher.takes_wrapper() {
            start = wrapper::wrapped(start, &self.function.environment, &layout);
        }
        let env = environment::variables(
            &self.function,
            &self.log_stream,
            self.initialization,
            &start.env,
            &layout,
        );
        Blueprint {
            id,
            command: start.command,
            args: start.args,
            env: environment::with_addresses(&env, addresses),
            cwd: layout.task_root.into(),
            root: self.root.clone(),
            binds,
            symlinks,
            memory_bytes: match debugger {
                Some(_) => self.function.memory.bytes().max(debugging::MEMORY_MIN),
                None => self.function.memory.bytes(),
            },
            tmp_bytes: self.function.ephemeral_storage.bytes(),
            companions: Companions::default(),
        }
    }
}

/// What an environment is doing, so that it is never frozen while it has an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Busy,
    Idle,
    Frozen,
    /// It is being ended.
    Retired,
}

/// A living environment. Dropping it ends everything inside.
pub(crate) struct Running {
    command: PathBuf,
    started: Instant,
    init: Mutex<Option<oneshot::Receiver<Result<(), ReportedError>>>>,
    mailbox: Arc<Mailbox>,
    sandbox: Arc<dyn Sandbox>,
    ended: Arc<AtomicBool>,
    activity: Mutex<Activity>,
    debugger: Option<Arc<Debugger>>,
    at_full_cpu: AtomicBool,
    tasks: [AbortHandle; 2],
    _endpoint: Box<dyn Send + Sync>,
    _traces: Box<dyn Send + Sync>,
}

impl Running {
    /// Makes an environment by `design` under a new name; `log` reads its output from now on. It is
    /// initialising when this returns.
    pub(crate) async fn start(
        o: &InstancesOptions,
        design: &Design,
        log: &InstanceLog,
    ) -> Result<Self, StartError> {
        let started = Instant::now();
        let id = random::hex(&random::bytes::<16>());
        let base = Base { network: design.network, own_root: design.root.is_some() };
        let prepared = o.sandboxes.prepare(base).await?;
        let debugger_port = design.debugger_port();
        let blueprint = design.blueprint(id, &prepared.view(), &prepared.addresses(), debugger_port);
        let command = blueprint.command.clone();
        let mut sandbox = prepared.build(blueprint).await?;
        let machine = |what: &str| StartError::Machine(what.to_owned());
        let output = sandbox.take_output().ok_or_else(|| machine("the sandbox has no output"))?;
        log.attach(output).map_err(|e| machine(&e.to_string()))?;
        let listeners = sandbox.take_listeners().ok_or_else(|| machine("the sandbox has no listeners"))?;
        let runtime_api =
            TcpListener::from_std(listeners.runtime_api).map_err(|e| machine(&e.to_string()))?;
        let (mailbox, init) = Mailbox::new();
        let mailbox = Arc::new(mailbox);
        let server = tokio::spawn(api::serve(
            runtime_api,
            mailbox.clone(),
            listeners.gate.clone(),
            o.streamed_response,
        ))
        .abort_handle();
        let ended = Arc::new(AtomicBool::new(false));
        let watch = {
            let (exited, ended) = (sandbox.exited(), ended.clone());
            tokio::spawn(async move {
                exited.await;
                ended.store(true, Ordering::Release);
            })
            .abort_handle()
        };
        let sandbox: Arc<dyn Sandbox> = Arc::from(sandbox);
        if let (Some(debugger), Some(port)) = (&design.debugger, debugger_port) {
            debugger.present(&sandbox, port);
        }
        Ok(Self {
            command,
            started,
            init: Mutex::new(Some(init)),
            mailbox,
            sandbox,
            debugger: design.debugger.clone(),
            ended,
            activity: Mutex::new(Activity::Busy),
            at_full_cpu: AtomicBool::new(true),
            tasks: [server, watch],
            _endpoint: o.endpoint.serve(listeners.aws, listeners.gate, &design.function.key.scope),
            _traces: o.traces.serve(listeners.xray_udp, listeners.xray_tcp, &design.function.key),
        })
    }

    /// When its making began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Whether its process still runs.
    pub(crate) fn is_alive(&self) -> bool {
        !self.ended.load(Ordering::Acquire)
    }

    /// Most memory that was in use at one time, in bytes; zero when nobody knows.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.sandbox.memory_peak_bytes().unwrap_or(0)
    }

    /// Resolves when its process has ended; does not keep it alive.
    pub(crate) fn ended(&self) -> BoxFuture<'static, Exit> {
        self.sandbox.exited()
    }

    /// Ends the init phase's full CPU. Nobody waits for it.
    fn limit_cpu(&self) {
        static SAID: AtomicBool = AtomicBool::new(false);
        let sandbox = self.sandbox.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = sandbox.limit_cpu()
                && !SAID.swap(true, Ordering::Relaxed)
            {
                tracing::warn!(%error, "cannot limit the CPU of an instance; this is said only once");
            }
        });
    }

    async fn exited(&self) -> Exit {
        match self.sandbox.exited().await {
            Exit::NotStarted(reason) => {
                Exit::NotStarted(format!("fork/exec {}: {reason}", self.command.display()))
            }
            exit => exit,
        }
    }

    /// Resolves at `until`, unless the function is being debugged; then it may take longer.
    async fn time_over(&self, until: Instant) {
        match &self.debugger {
            None => tokio::time::sleep_until(until).await,
            Some(debugger) => {
                let again = until.saturating_duration_since(Instant::now());
                debugger.time_over(until, again).await;
            }
        }
    }

    /// Waits until the runtime is ready, but not for longer than `until`.
    pub(crate) async fn initialise(&self, until: Instant) -> Result<(), Ending> {
        let init = self.init.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(init) = init else { return Ok(()) };
        tokio::select! {
            biased;
            Ok(result) = init => result.map_err(Ending::InitError),
            exit = self.exited() => Err(Ending::Exited(exit)),
            () = self.time_over(until) => Err(Ending::TimedOut),
        }
    }

    /// Hands an event to the runtime and waits for its end, but not for longer than `until`. The first
    /// event ends the time at full CPU.
    pub(crate) async fn process(&self, dispatch: Arc<Dispatch>, until: Instant) -> Ending {
        let mut reply = self.mailbox.post(dispatch);
        if self.at_full_cpu.swap(false, Ordering::AcqRel) {
            self.limit_cpu();
        }
        let ending = tokio::select! {
            biased;
            Ok(reply) = &mut reply => self.unless_it_ended(reply).await,
            exit = self.exited() => match self.mailbox.nobody_asked() {
                true => Ending::Untaken(exit),
                false => self.last_words(reply, exit).await,
            },
            () = self.time_over(until) => Ending::TimedOut,
        };
        if let Ending::Replied(Reply::Error(_)) = &ending {
            self.comes_back().await;
        }
        ending
    }

    /// Waits until a runtime that reported an error has come back for the next event, or has ended: that of Java
    /// writes about an error after it has reported it, and its log would have that behind the end (LANG1-161).
    async fn comes_back(&self) {
        let over = async {
            tokio::select! {
                () = self.mailbox.asked() => {}
                _ = self.exited() => {}
            }
        };
        // One that dawdles has nothing to say.
        let _ = tokio::time::timeout(LAST_WORDS, over).await;
    }

    /// A response breaks off when its process ends, which is news from elsewhere and says more.
    async fn unless_it_ended(&self, reply: Reply) -> Ending {
        if reply != Reply::Truncated {
            return Ending::Replied(reply);
        }
        let exit = tokio::time::timeout(NEWS_OF_THE_END, self.exited()).await;
        exit.map_or(Ending::Replied(reply), Ending::Exited)
    }

    /// What a process wrote of its response before it ended is still on its way.
    async fn last_words(&self, reply: oneshot::Receiver<Reply>, exit: Exit) -> Ending {
        if self.mailbox.is_answering()
            && let Ok(Ok(reply)) = tokio::time::timeout(NEWS_OF_THE_END, reply).await
            && reply != Reply::Truncated
        {
            return Ending::Replied(reply);
        }
        Ending::Exited(exit)
    }

    /// Ends everything inside and waits for that, but not for longer than `patience`.
    pub(crate) async fn kill(&self, patience: Duration) {
        self.sandbox.kill();
        let _ = tokio::time::timeout(patience, self.sandbox.exited()).await;
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event is coming: what is frozen goes on.
    pub(crate) fn wake(&self) -> io::Result<()> {
        match std::mem::replace(&mut *self.activity(), Activity::Busy) {
            Activity::Frozen => self.sandbox.thaw(),
            Activity::Busy | Activity::Idle | Activity::Retired => Ok(()),
        }
    }

    /// The event, or the initialisation before any, has ended.
    pub(crate) fn rest(&self) {
        let mut activity = self.activity();
        if *activity != Activity::Retired {
            *activity = Activity::Idle;
        }
    }

    /// Whether it is being ended because nobody needs it any more.
    pub(crate) fn is_retired(&self) -> bool {
        *self.activity() == Activity::Retired
    }

    /// Stops everything inside where it is. One that is busy is left alone.
    pub(crate) fn freeze(&self) -> io::Result<()> {
        let mut activity = self.activity();
        // Somebody who debugs expects answers, also between events.
        if *activity == Activity::Idle && self.debugger.is_none() {
            self.sandbox.freeze()?;
            *activity = Activity::Frozen;
        }
        Ok(())
    }

    /// Lets the process end by itself, and ends what is left after `grace`. Resolves when nothing is left.
    pub(crate) async fn retire(&self, grace: Duration) {
        if std::mem::replace(&mut *self.activity(), Activity::Retired) == Activity::Frozen
            && let Err(error) = self.sandbox.thaw()
        {
            tracing::warn!(%error, "cannot thaw an instance that is to end");
        }
        self.sandbox.terminate(grace).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.sandbox.kill();
        // The Runtime API is served until the last process is dead: one that saw its connection break
        // would still have the time to complain in the log.
        let (exited, tasks) = (self.sandbox.exited(), self.tasks.clone());
        let end = move || tasks.iter().for_each(AbortHandle::abort);
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move {
                    exited.await;
                    end();
                });
            }
            // The event loop is gone, and every task with it.
            Err(_) => end(),
        }
    }
}
