//! SnapStart: a version is initialised once, and its instances begin with the image of that process.
//!
//! Which processes can have an image is decided in the sandbox; here is when one is taken and used, and what the log
//! has of it. Where there is none, instances initialise as ever.

use std::sync::Arc;
use std::time::Duration;

use lambd_types::invocation::InitializationType;
use lambd_types::{FunctionKey, FunctionSnapshot, limits};

use crate::instance::{Instance, Instances};
use crate::ports::{Image, Origin};
use crate::report::{InitPhase, PlatformEvent};
use crate::running::{Design, Running};

/// By which number a process that is to be captured keeps its end of the door, where it then waits. Below all that
/// restoring uses, above all that a program has open at its start.
pub(crate) const DOOR: i32 = 63;
/// Tells the bootstrap that number.
pub(crate) const VARIABLE: &str = "_LAMBD_SNAPSHOT";

/// How often is looked whether somebody else has taken an image.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Instances {
    /// Takes the image of a version with SnapStart. When this resolves there is one, or there will be none.
    pub async fn take_image(&self, function: Arc<FunctionSnapshot>) {
        if !self.can_have_image(&function) {
            return;
        }
        let Some(claim) = self.images.claim(&function) else {
            // Whoever waits for the image waits for that of somebody else.
            while self.images.is_expected(&function) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            return;
        };
        let _turn = self.images.turn().await;
        claim.settle(self.captured(function).await);
    }

    /// The same in the background, for a version whose image is gone: that of a daemon that was restarted.
    pub(crate) fn expect_image(&self, function: &Arc<FunctionSnapshot>) {
        if function.snap_start && self.images.is_missing(function) {
            let (instances, function) = (self.clone(), function.clone());
            tokio::spawn(async move { instances.take_image(function).await });
        }
    }

    /// Drops the images of versions that are gone.
    pub fn forget_images(&self, is_gone: impl Fn(&FunctionKey) -> bool) {
        self.images.forget(is_gone);
    }

    fn can_have_image(&self, function: &FunctionSnapshot) -> bool {
        let o = &self.options;
        function.snap_start
            && o.sandboxes.takes_images()
            && o.debuggers.of(&function.key.name).is_none()
            && o.catalogue
                .current()
                .plan(function)
                .is_ok_and(|plan| plan.launcher.is_ok_and(|launcher| launcher.waits_for_its_image()))
    }

    async fn captured(&self, function: Arc<FunctionSnapshot>) -> Option<Image> {
        match self.make(function, InitializationType::SnapStart, true) {
            Ok((instance, _)) => instance.capture().await,
            Err(error) => {
                tracing::warn!(%error, "cannot initialise a version for its image");
                None
            }
        }
    }
}

impl Instance {
    /// Initialises, and takes the image of the process. The log tells why there is none.
    async fn capture(&self) -> Option<Image> {
        let captured = self.try_capture().await;
        if let Err(reason) = &captured {
            self.tell([PlatformEvent::NoImage { reason }]);
        }
        self.log.detach();
        self.log.settle().await;
        captured.ok()
    }

    async fn try_capture(&self) -> Result<Image, String> {
        const EXTENSIONS: &str = "the function has extensions";
        let design = self.design.as_ref().map_err(String::clone)?;
        if !design.extensions.is_empty() {
            return Err(EXTENSIONS.to_owned());
        }
        self.start_environment(design, InitPhase::Init).await.map_err(|error| error.to_string())?;
        let limit = Duration::from_secs(limits::PROVISIONED_INIT_SECONDS);
        let limit = limit.max(self.function.timeout.duration());
        let initialised = self.first_environment(limit).await;
        let (running, _) = initialised.map_err(|_| "the initialisation failed".to_owned())?;
        if !running.crew().list().is_empty() {
            return Err(EXTENSIONS.to_owned());
        }
        let image = running.capture().await?;
        if image.bytes > self.function.memory.bytes() {
            return Err("the process uses more memory than the function has".to_owned());
        }
        Ok(image)
    }

    /// An environment with the image of the function's version; `None` where there is none, or it cannot be used.
    pub(crate) async fn restore(&self, design: &Design) -> Option<Running> {
        if self.is_template
            || self.initialization != InitializationType::SnapStart
            || design.debugger.is_some()
        {
            return None;
        }
        let image = self.images.of(&self.function)?;
        self.tell([PlatformEvent::RestoreStart { function: &self.function }]);
        let origin = Origin::Image(image);
        match Running::start(&self.options, design, &self.log, &self.telemetry, origin).await {
            Ok(running) => Some(running),
            Err(error) => {
                let function = &self.function.arn;
                tracing::warn!(%error, function, "cannot restore an instance: it is initialised instead");
                self.images.failed(&self.function);
                None
            }
        }
    }
}
