//! `lambd runtimes add` and `lambd runtimes remove`.

use std::sync::Mutex;
use std::sync::PoisonError;

use crate::args::{AddArgs, Output, RemoveArgs};
use crate::console::{Console, bytes_text};
use crate::failure::{Exit, Failure};
use crate::ports::{AddProgress, AddRuntime, AddedRuntime, Installer};

/// Characters of the bar.
const BAR: usize = 24;

pub(crate) async fn add(
    args: AddArgs,
    installer: &impl Installer,
    console: &Console,
) -> Result<Exit, Failure> {
    let request = AddRuntime {
        toolchains: args.place.toolchains(),
        id: args.id.clone(),
        from: args.from,
        npm_registry: args.npm_registry,
        pypi_index: args.pypi_index,
        maven_repository: args.maven_repository,
        packages: args.packages,
    };
    let shown = Mutex::new(String::new());
    let progress = |progress: AddProgress| {
        let text = text(&args.id, &progress);
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        // A bar that has not grown is not drawn again; in a file each step is one line.
        let line = if console.err_is_terminal() { text.clone() } else { step(&args.id, &progress) };
        if *shown != line {
            console.progress(&line);
            *shown = line;
        }
    };
    let added = installer.add(request, &progress).await;
    console.progress_done();
    let added = added?;
    match args.output {
        Output::Json => console.out(&format!("{:#}", serde_json::json!(added)))?,
        Output::Text => console.out(&result(&added))?,
    }
    Ok(Exit::Good)
}

pub(crate) fn remove(
    args: &RemoveArgs,
    installer: &impl Installer,
    console: &Console,
) -> Result<Exit, Failure> {
    for name in installer.remove(&args.place.toolchains(), &args.id)? {
        console.out(&format!("removed {name}"))?;
    }
    Ok(Exit::Good)
}

fn result(added: &AddedRuntime) -> String {
    let AddedRuntime { id, name, directory, source, .. } = added;
    let state = if added.already { "is already installed" } else { "is installed" };
    let version = added.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let checked = match &added.checksum {
        Some(checksum) if !added.already => format!("\n  checksum  {checksum}"),
        _ => String::new(),
    };
    let restart = if added.needs_restart { "\n  restart lambd to have functions run on it" } else { "" };
    format!(
        "{id}{version} {state}: {name}\n  from      {source}{checked}\n  in        {}{restart}",
        directory.display()
    )
}

fn step(id: &str, progress: &AddProgress) -> String {
    match progress {
        AddProgress::Waiting => format!("{id}: waiting for another lambd that adds or removes a toolchain"),
        AddProgress::Asking { registry } => format!("{id}: asking {registry}"),
        AddProgress::Downloading { url, .. } => format!("{id}: downloading {url}"),
        AddProgress::Unpacking => format!("{id}: unpacking"),
        AddProgress::Trying => format!("{id}: trying it"),
    }
}

/// The same with a bar.
fn text(id: &str, progress: &AddProgress) -> String {
    match progress {
        AddProgress::Downloading { received, total: Some(total), .. } if *total > 0 => {
            let part = (*received).min(*total) as f64 / *total as f64;
            let full = (part * BAR as f64) as usize;
            let bar = format!("{}{}", "█".repeat(full), "░".repeat(BAR - full));
            format!("{id}: {bar} {:3.0} %  {} of {}", part * 100.0, bytes_text(*received), bytes_text(*total))
        }
        AddProgress::Downloading { received, .. } => format!("{id}: downloading, {}", bytes_text(*received)),
        other => step(id, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_with_what_came() {
        let at =
            |received, total| text("java21", &AddProgress::Downloading { url: "u".into(), received, total });
        assert_eq!(at(0, Some(2048)), format!("java21: {}   0 %  0 B of 2.0 KB", "░".repeat(24)));
        let half = format!("java21: {}{}  50 %  1.0 KB of 2.0 KB", "█".repeat(12), "░".repeat(12));
        assert_eq!(at(1024, Some(2048)), half);
        assert!(at(4096, Some(2048)).contains("100 %"));
        assert_eq!(at(1024, None), "java21: downloading, 1.0 KB");
    }
}
