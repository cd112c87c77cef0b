//! Images of initialised processes, each for one version of one function as it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lambd_types::{FunctionKey, FunctionSnapshot, RevisionId};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::ports::Image;

/// Bytes of all images together; beyond, those go that were not used for longest.
const BYTES_MAX: u64 = 1 << 30;
/// Versions that are initialised for their image at one time: each takes a whole core.
const AT_ONCE: usize = 4;
/// Images from which nothing could be restored, after which none is taken any more.
const FAILURES_MAX: u32 = 3;

/// The images that there are.
pub(crate) struct Images {
    kept: Mutex<HashMap<FunctionKey, Kept>>,
    turns: Semaphore,
}

struct Kept {
    revision: RevisionId,
    state: State,
    used: Instant,
    failures: u32,
}

enum State {
    Missing,
    /// By the claim with this mark.
    Expected(Arc<()>),
    Taken(Image),
    /// There will be none.
    Refused,
}

impl Default for Images {
    fn default() -> Self {
        Self { kept: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Images {
    /// The image of a function's version.
    pub(crate) fn of(&self, function: &FunctionSnapshot) -> Option<Image> {
        let mut kept = self.kept();
        let found = kept.get_mut(&function.key).filter(|kept| kept.revision == function.revision)?;
        found.used = Instant::now();
        match &found.state {
            State::Taken(image) => Some(image.clone()),
            State::Missing | State::Expected(_) | State::Refused => None,
        }
    }

    /// Whether there is none yet that nobody takes.
    pub(crate) fn is_missing(&self, function: &FunctionSnapshot) -> bool {
        let kept = self.kept();
        let found = kept.get(&function.key).filter(|kept| kept.revision == function.revision);
        found.is_none_or(|kept| matches!(kept.state, State::Missing))
    }

    /// Whether somebody takes it.
    pub(crate) fn is_expected(&self, function: &FunctionSnapshot) -> bool {
        let kept = self.kept();
        let found = kept.get(&function.key).filter(|kept| kept.revision == function.revision);
        found.is_some_and(|kept| matches!(kept.state, State::Expected(_)))
    }

    /// The right to take the image, where there is none and nobody else takes it.
    pub(crate) fn claim(self: &Arc<Self>, function: &FunctionSnapshot) -> Option<Claim> {
        let mut kept = self.kept();
        let mark = Arc::new(());
        let failures = match kept.get(&function.key).filter(|kept| kept.revision == function.revision) {
            Some(Kept { state: State::Missing, failures, .. }) => *failures,
            Some(_) => return None,
            None => 0,
        };
        let entry = Kept {
            revision: function.revision.clone(),
            state: State::Expected(mark.clone()),
            used: Instant::now(),
            failures,
        };
        kept.insert(function.key.clone(), entry);
        Some(Claim { images: self.clone(), key: function.key.clone(), mark })
    }

    /// Waits until a process may be initialised for its image.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turns.acquire().await.ok()
    }

    /// Nothing could be restored from the image: another may be taken, unless that has happened too often.
    pub(crate) fn failed(&self, function: &FunctionSnapshot) {
        let mut kept = self.kept();
        let found = kept.get_mut(&function.key).filter(|kept| kept.revision == function.revision);
        if let Some(kept) = found
            && matches!(kept.state, State::Taken(_))
        {
            kept.failures += 1;
            kept.state = if kept.failures < FAILURES_MAX { State::Missing } else { State::Refused };
        }
    }

    /// Drops the images of versions that are gone.
    pub(crate) fn forget(&self, is_gone: impl Fn(&FunctionKey) -> bool) {
        self.kept().retain(|key, _| !is_gone(key));
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<FunctionKey, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to take an image. Dropped, it is given back.
pub(crate) struct Claim {
    images: Arc<Images>,
    key: FunctionKey,
    mark: Arc<()>,
}

impl Claim {
    /// Keeps the image, unless its version is gone or has changed meanwhile; `None`: there will be none.
    pub(crate) fn settle(self, image: Option<Image>) {
        let mut kept = self.images.kept();
        if let Some(entry) = self.entry(&mut kept) {
            entry.state = image.map_or(State::Refused, State::Taken);
            make_room(&mut kept, &self.key);
        }
    }

    fn entry<'a>(&self, kept: &'a mut HashMap<FunctionKey, Kept>) -> Option<&'a mut Kept> {
        let is_mine =
            |kept: &&mut Kept| matches!(&kept.state, State::Expected(mark) if Arc::ptr_eq(mark, &self.mark));
        kept.get_mut(&self.key).filter(is_mine)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(entry) = self.entry(&mut self.images.kept()) {
            entry.state = State::Missing;
        }
    }
}

/// Drops images, but not this one, until the rest fits.
fn make_room(kept: &mut HashMap<FunctionKey, Kept>, newest: &FunctionKey) {
    let bytes = |kept: &Kept| match &kept.state {
        State::Taken(image) => image.bytes,
        State::Missing | State::Expected(_) | State::Refused => 0,
    };
    while kept.values().map(bytes).sum::<u64>() > BYTES_MAX {
        let others = kept.iter_mut().filter(|(key, kept)| *key != newest && bytes(kept) > 0);
        let Some((_, oldest)) = others.min_by_key(|(_, kept)| kept.used) else { return };
        oldest.state = State::Missing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambd_types::Version;

    fn function(version: u64) -> FunctionSnapshot {
        let mut function = crate::catalogue::tests::function("python3.12");
        function.key.version = Version::Published(version);
        function
    }

    fn image(bytes: u64) -> Image {
        Image { handle: Arc::new(()), bytes }
    }

    fn keep(images: &Arc<Images>, function: &FunctionSnapshot, bytes: u64) {
        images.claim(function).expect("nobody has claimed it").settle(Some(image(bytes)));
    }

    #[test]
    fn an_image_is_for_one_version_as_it_is() {
        let images = Arc::new(Images::default());
        let (one, other) = (function(1), function(2));
        let claim = images.claim(&one).expect("missing");
        assert!(images.claim(&one).is_none(), "somebody takes it");
        drop(claim);
        keep(&images, &one, 5);
        assert!(images.of(&one).is_some() && images.of(&other).is_none());
        let changed = FunctionSnapshot { revision: RevisionId::random(), ..one.clone() };
        assert!(images.of(&changed).is_none(), "another build of the same version");
        keep(&images, &changed, 5);
        assert!(images.of(&one).is_none(), "one that ended meanwhile must not be kept");
    }

    #[test]
    fn one_that_is_gone_has_none() {
        let images = Arc::new(Images::default());
        let one = function(1);
        keep(&images, &one, 5);
        images.forget(|key| *key == one.key);
        assert!(images.of(&one).is_none());
        let claim = images.claim(&one).expect("missing");
        images.forget(|key| *key == one.key);
        claim.settle(Some(image(5)));
        assert!(images.of(&one).is_none(), "it was deleted while its image was taken");
    }

    #[test]
    fn one_that_is_of_no_use_is_taken_again_for_a_while() {
        let images = Arc::new(Images::default());
        let one = function(1);
        for _ in 0..FAILURES_MAX {
            keep(&images, &one, 5);
            images.failed(&one);
            assert!(images.of(&one).is_none());
        }
        assert!(images.claim(&one).is_none());
    }

    #[test]
    fn the_memory_of_all_is_limited() {
        let images = Arc::new(Images::default());
        let functions: Vec<_> = (1..=4).map(function).collect();
        for function in &functions[..3] {
            keep(&images, function, BYTES_MAX / 3);
        }
        images.of(&functions[0]);
        keep(&images, &functions[3], BYTES_MAX / 3);
        let there: Vec<_> = functions.iter().map(|function| images.of(function).is_some()).collect();
        assert_eq!(there, [true, false, true, true], "the one that was not used for longest");
        assert!(images.claim(&functions[1]).is_some(), "it may be taken again");
    }
}
