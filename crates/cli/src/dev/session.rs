//! A project in the daemon: what is deployed, and what a change of files means for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lambd_types::Scope;
use serde::Deserialize as _;
use tokio::sync::watch;

use super::deploy::{Change, Deployed, Target};
use super::event::try_event;
use super::screen::Screen;
use super::tail::{Followed, follow};
use super::watch::{Watcher, full};
use crate::args::{DevArgs, RuntimeSubstitution};
use crate::client::{Client, FunctionConfiguration};
use crate::failure::{Exit, Failure};
use crate::ports::RunningDaemon;
use crate::ports::RuntimeSubstitutions;
use crate::project::{self, Code, FunctionSpec, Problem, Project, is_installed};

/// The work of `lambd dev` between the start and the stop of the daemon.
pub(super) struct Session {
    dir: PathBuf,
    scope: Scope,
    target: Target,
    screen: Screen,
    event: Option<Vec<u8>>,
    /// Functions that get the event; all if empty.
    chosen: Vec<String>,
    once: bool,
    substitution: RuntimeSubstitutions,
    deployed: BTreeMap<String, Known>,
    warned: BTreeSet<String>,
    followed: watch::Sender<Followed>,
}

/// A function as it was last deployed, or tried to be.
struct Known {
    spec: FunctionSpec,
    build_ended: SystemTime,
    /// Whether the last deploy answered changes that its own build had made.
    was_echo: bool,
}

impl Session {
    pub(super) fn new(
        args: &DevArgs,
        running: &RunningDaemon,
        scope: Scope,
        client: Client,
        event: Option<Vec<u8>>,
        screen: Screen,
    ) -> Self {
        let role = format!("arn:aws:iam::{}:role/lambd-dev", scope.account);
        Self {
            dir: args.dir.clone(),
            scope,
            target: Target { client, runtimes: running.runtimes.clone(), role },
            screen,
            event,
            chosen: args.functions.clone(),
            once: args.once,
            substitution: args.serve.runtimes.substitutions(),
            deployed: BTreeMap::new(),
            warned: BTreeSet::new(),
            followed: watch::Sender::new(Followed::default()),
        }
    }

    /// Deploys `project` and, unless it is to end then, keeps following it.
    pub(super) async fn run(mut self, project: Project, watcher: Option<Watcher>) -> Result<Exit, Failure> {
        let ready = self.deploy_all(&project).await;
        self.remove_leftovers(&project).await?;
        if self.once {
            let all_good = self.try_all(&ready).await && ready.len() == project.functions.len();
            return Ok(if all_good { Exit::Good } else { Exit::Bad });
        }
        let log =
            tokio::spawn(follow(self.target.client.clone(), self.screen.clone(), self.followed.subscribe()));
        self.try_all(&ready).await;
        self.screen.watching(self.deployed.len());
        let ended = self.watch(watcher).await;
        log.abort();
        ended
    }

    async fn watch(&mut self, watcher: Option<Watcher>) -> Result<Exit, Failure> {
        let Some(mut watcher) = watcher else { return Ok(Exit::Good) };
        loop {
            for known in self.deployed.values() {
                if let Some(path) = known.spec.code.watched().filter(|path| path.exists()) {
                    watcher.also(path)?;
                }
            }
            let changed = watcher.next().await;
            self.react(&changed).await;
        }
    }

    /// Returns the names of those that could be deployed.
    async fn deploy_all(&mut self, project: &Project) -> Vec<String> {
        if !project.warnings.is_empty() {
            self.screen.gap();
            self.warn(&project.warnings);
        }
        self.screen.make_room_for(project.functions.iter().map(|f| f.name.as_str()));
        let mut results = Vec::new();
        for spec in &project.functions {
            results.push((spec, self.target.deploy(spec).await));
            self.remember(spec, false);
        }
        self.screen.deployed(&results);
        let done = results.iter().filter_map(|(spec, result)| Some((*spec, result.as_ref().ok()?)));
        let notices: Vec<String> =
            done.filter_map(|(spec, done)| self.substitute_notice(spec, done)).collect();
        if !notices.is_empty() {
            self.screen.gap();
            self.screen.notices(&notices);
        }
        self.follow_deployed();
        results.iter().filter(|(_, result)| result.is_ok()).map(|(spec, _)| spec.name.to_string()).collect()
    }

    fn remember(&mut self, spec: &FunctionSpec, was_echo: bool) {
        let known = Known { spec: spec.clone(), build_ended: SystemTime::now(), was_echo };
        self.deployed.insert(spec.name.to_string(), known);
    }

    fn follow_deployed(&self) {
        let functions: Vec<String> = self.deployed.keys().cloned().collect();
        self.followed.send_modify(|followed| followed.functions = functions);
    }

    /// Each warning once, however often the project is read.
    fn warn(&mut self, warnings: &[Problem]) {
        for warning in warnings {
            if self.warned.insert(warning.to_string()) {
                self.screen.warning(warning);
            }
        }
    }

    /// Says, once, that another version than asked for runs a function.
    fn substitute_notice(&mut self, spec: &FunctionSpec, done: &Deployed) -> Option<String> {
        let nearest = self.substitution.rule(&done.runtime) == RuntimeSubstitution::Nearest;
        if !nearest || is_installed(&done.runtime, &self.target.runtimes) {
            return None;
        }
        let (name, runtime) = (&spec.name, &done.runtime);
        let text = format!("{name}: {runtime} is not on this machine, the nearest installed version runs it");
        self.warned.insert(text.clone()).then_some(text)
    }

    /// Removes what an earlier run of this project deployed and the project no longer has. The data
    /// directory is the project's own, but a person may have created more in it, with another role.
    async fn remove_leftovers(&self, project: &Project) -> Result<(), Failure> {
        for function in self.target.client.list_functions().await? {
            let Ok(function) = FunctionConfiguration::deserialize(&function) else { continue };
            let ours = function.role.as_deref() == Some(self.target.role.as_str());
            if ours && !project.functions.iter().any(|f| f.name.as_str() == function.function_name) {
                self.target.client.delete_function(&function.function_name).await?;
                self.screen.removed(&function.function_name);
            }
        }
        Ok(())
    }

    /// Sends the event, if there is one, to those of `names` that are to have it.
    async fn try_all(&self, names: &[String]) -> bool {
        let mut all_good = true;
        let Some(event) = &self.event else { return all_good };
        self.followed.send_modify(|followed| followed.paused = true);
        for name in names.iter().filter(|name| self.chosen.is_empty() || self.chosen.contains(name)) {
            match try_event(&self.target.client, name, event).await {
                Ok(tried) => {
                    all_good &= tried.succeeded();
                    if let Some(id) = tried.done.request_id.clone() {
                        self.followed.send_modify(|followed| {
                            followed.shown.insert(id);
                        });
                    }
                    self.screen.tried(name, event, &tried);
                }
                Err(error) => {
                    all_good = false;
                    self.screen.not_tried(name, &error);
                }
            }
        }
        self.followed.send_modify(|followed| followed.paused = false);
        all_good
    }

    /// Brings the daemon to what the files say now.
    async fn react(&mut self, changed: &BTreeSet<PathBuf>) {
        let project = project::load(&self.dir, &self.scope);
        let stale: Vec<(FunctionSpec, bool)> = project
            .functions
            .iter()
            .filter_map(|spec| Some((spec.clone(), self.staleness(spec, changed)?)))
            .collect();
        self.warn(&project.warnings);
        if !project.problems.is_empty() {
            self.screen.problems(&project.problems);
        }
        let mut fresh = Vec::new();
        for (spec, was_echo) in stale {
            match self.target.deploy(&spec).await {
                Ok(done) => {
                    if done.change != Change::None {
                        self.screen.redeployed(spec.name.as_str(), &done);
                        let notice = self.substitute_notice(&spec, &done);
                        self.screen.notices(notice.as_slice());
                        fresh.push(spec.name.to_string());
                    }
                }
                Err(error) => self.screen.deploy_failed(&spec, &error),
            }
            self.remember(&spec, was_echo);
        }
        // A file with a mistake may be the source of what seems to be gone.
        if project.problems.is_empty() {
            self.remove_gone(&project).await;
        }
        self.follow_deployed();
        self.try_all(&fresh).await;
    }

    async fn remove_gone(&mut self, project: &Project) {
        let gone = |name: &String| !project.functions.iter().any(|f| f.name.as_str() == name);
        let names: Vec<String> = self.deployed.keys().filter(|name| gone(name)).cloned().collect();
        for name in names {
            match self.target.client.delete_function(&name).await {
                Ok(()) => self.screen.removed(&name),
                Err(error) if error.is_not_found() => {}
                Err(error) => self.screen.not_tried(&name, &error),
            }
            self.deployed.remove(&name);
        }
    }

    /// `None` if the function is as it was deployed; else whether only its own build changed it.
    fn staleness(&self, spec: &FunctionSpec, changed: &BTreeSet<PathBuf>) -> Option<bool> {
        let Some(known) = self.deployed.get(spec.name.as_str()) else { return Some(false) };
        if known.spec != *spec {
            return Some(false);
        }
        let concerning: Vec<&PathBuf> = changed.iter().filter(|path| concerns(&spec.code, path)).collect();
        if concerning.is_empty() {
            return None;
        }
        let has_build = matches!(&spec.code, Code::Folder { build: Some(_), .. });
        if !has_build || concerning.iter().any(|path| changed_at(path) > known.build_ended) {
            return Some(false);
        }
        // A build may write beside its sources, and a person may save while it runs. One more build
        // serves the second; a second one would only follow the first around.
        (!known.was_echo).then_some(true)
    }
}

/// Whether a change of `path` can change what a function's package holds.
fn concerns(code: &Code, path: &Path) -> bool {
    if path.as_os_str().is_empty() {
        return true;
    }
    if path.components().any(|part| part.as_os_str() == ".git" || part.as_os_str() == "__pycache__") {
        return false;
    }
    let output = match code {
        Code::Folder { root, package, build: Some(_) } if root != package => Some(full(package)),
        _ => None,
    };
    let watched = code.watched().is_some_and(|root| path.starts_with(full(root)));
    watched && !output.is_some_and(|output| path.starts_with(output))
}

/// When a path changed; of one that is gone, when its folder did.
fn changed_at(path: &Path) -> SystemTime {
    let modified = path.ancestors().find_map(|path| std::fs::symlink_metadata(path).ok()?.modified().ok());
    modified.unwrap_or_else(SystemTime::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builds_output_does_not_call_for_a_build() {
        let code =
            Code::Folder { root: "/p/f".into(), package: "/p/f/dist".into(), build: Some("make".into()) };
        assert!(concerns(&code, Path::new("/p/f/main.ts")));
        assert!(!concerns(&code, Path::new("/p/f/dist/main.js")));
        assert!(!concerns(&code, Path::new("/p/g/main.ts")));
        assert!(!concerns(&code, Path::new("/p/f/.git/index")));
        assert!(concerns(&code, Path::new("")), "lost events concern everything");
        let plain = Code::Folder { root: "/p/f".into(), package: "/p/f".into(), build: None };
        assert!(concerns(&plain, Path::new("/p/f/dist/main.js")));
    }
}
