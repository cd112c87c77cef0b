//! How the environments of an instance begin: initialised, or restored from an image.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::extensions::{Registered, ShutdownReason};
use crate::instance::{Instance, Invocation, StartError, end_status};
use crate::ports::{Exit, Origin};
use crate::report::{Beginning, InitPhase, PlatformEvent, Status};
use crate::running::{Design, Ending, Running};
use crate::snapstart;

/// How long the second try of an initialisation waits for the first one's processes to be dead.
const DEATH_AFTER_INIT: Duration = Duration::from_millis(200);

/// The end of an initialisation, or of a restoration.
struct EndOfInit<'a> {
    phase: InitPhase,
    status: &'a Status,
    duration: Duration,
    is_restored: bool,
}

impl EndOfInit<'_> {
    /// In an environment that is ready.
    fn good(beginning: Beginning, phase: InitPhase) -> Self {
        let (duration, is_restored) = match beginning {
            Beginning::Init(duration) => (duration, false),
            Beginning::Restore { duration, .. } => (duration, true),
        };
        Self { phase, status: &Status::Ok, duration, is_restored }
    }
}

impl Instance {
    /// Makes the instance's first environment, or another in place of the one before.
    pub(crate) async fn start_environment(
        &self,
        design: &Design,
        phase: InitPhase,
    ) -> Result<Arc<Running>, StartError> {
        self.telemetry.begin();
        let running = match self.restore(design).await {
            Some(running) => running,
            None => {
                let (initialization, function) = (self.initialization, &*self.function);
                self.tell([PlatformEvent::InitStart { initialization, phase, function }]);
                let origin = match self.is_template {
                    true => Origin::ToBeCaptured { door: snapstart::DOOR },
                    false => Origin::Program,
                };
                Running::start(&self.options, design, &self.log, &self.telemetry, origin).await?
            }
        };
        let running = Arc::new(running);
        *self.running() = Some(running.clone());
        Ok(running)
    }

    /// Waits for the end of the init phase; `None` when it failed.
    pub(crate) async fn end_of_init(&self, invocation: &mut Invocation) -> Option<Arc<Running>> {
        let outcome = self.first_environment(self.options.init_limit).await;
        invocation.began = Instant::now();
        match outcome {
            Ok((running, beginning)) => {
                invocation.beginning = Some(beginning);
                Some(running)
            }
            Err(peak_bytes) => {
                invocation.peak_bytes = peak_bytes;
                None
            }
        }
    }

    /// The first environment and what came before its first event, which may last `limit`. When it fails, the most
    /// memory that was in use.
    pub(crate) async fn first_environment(&self, limit: Duration) -> Result<(Arc<Running>, Beginning), u64> {
        let running = self.running().clone();
        let Some(running) = running else {
            return Err(self.init_failed(Instant::now(), InitPhase::Init, &self.no_entrypoint()).await);
        };
        let started = running.started();
        match running.initialise(started + limit).await {
            Ok(()) => {
                let beginning = running.beginning();
                self.tell_of_init(&EndOfInit::good(beginning, InitPhase::Init), &running.crew().list());
                Ok((running, beginning))
            }
            // Nobody needs it any more: that is no failure to tell of.
            Err(_) if running.is_retired() => Err(running.peak_bytes()),
            Err(ending) => Err(self.init_failed(started, InitPhase::Init, &ending).await),
        }
    }

    /// Initialises a new environment as part of an event, in the function's own time.
    pub(crate) async fn initialise_again(
        &self,
        invocation: &mut Invocation,
    ) -> Result<Result<Arc<Running>, Ending>, StartError> {
        let started = Instant::now();
        let ending = match &self.design {
            Ok(design) => {
                let running = self.start_environment(design, InitPhase::Invoke).await?;
                match running.initialise(self.end_of_time(invocation)).await {
                    Ok(()) => {
                        let end = EndOfInit::good(running.beginning(), InitPhase::Invoke);
                        self.tell_of_init(&end, &running.crew().list());
                        return Ok(Ok(running));
                    }
                    Err(ending) => ending,
                }
            }
            Err(_) => self.no_entrypoint(),
        };
        invocation.peak_bytes = self.init_failed(started, InitPhase::Invoke, &ending).await;
        Ok(Err(ending))
    }

    /// There is nothing to start: told like a start that failed.
    fn no_entrypoint(&self) -> Ending {
        Ending::Exited(Exit::NotStarted(self.design.as_ref().err().cloned().unwrap_or_default()))
    }

    /// Destroys an environment whose initialisation failed, and tells of it. Returns the most memory that was in
    /// use.
    async fn init_failed(&self, started: Instant, phase: InitPhase, ending: &Ending) -> u64 {
        let duration = started.elapsed();
        let running = self.running().take();
        let is_restored = running.as_ref().is_some_and(|running| running.is_restored());
        let (mut peak_bytes, mut extensions) = (0, Vec::new());
        if let Some(running) = running {
            extensions = running.crew().list();
            let reason = match ending {
                Ending::TimedOut => ShutdownReason::Timeout,
                _ => ShutdownReason::Failure,
            };
            running.end(reason, DEATH_AFTER_INIT).await;
            peak_bytes = running.peak_bytes();
        }
        self.log.detach();
        let status = &end_status(ending);
        self.tell_of_init(&EndOfInit { phase, status, duration, is_restored }, &extensions);
        peak_bytes
    }

    /// Tells of the end of an initialisation, or restoration, with these extensions.
    fn tell_of_init(&self, end: &EndOfInit<'_>, extensions: &[Registered]) {
        let initialization = self.initialization;
        let EndOfInit { phase, status, duration, is_restored } = *end;
        let (first, last) = match is_restored {
            true => (
                PlatformEvent::RestoreRuntimeDone { status },
                PlatformEvent::RestoreReport { status, duration },
            ),
            false => (
                PlatformEvent::InitRuntimeDone { initialization, phase, status },
                PlatformEvent::InitReport { initialization, phase, status, duration },
            ),
        };
        let extensions = extensions.iter().map(PlatformEvent::Extension);
        self.tell([first].into_iter().chain(extensions).chain([last]));
        self.telemetry.close();
    }
}
