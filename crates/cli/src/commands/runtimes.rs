//! `lambd runtimes`.

use crate::args::{Output, RuntimesAction, RuntimesArgs};
use crate::commands::toolchains;
use crate::console::{Console, Paint, table};
use crate::failure::{Exit, Failure};
use crate::ports::{Inspector, Installer, RuntimesQuery};
use crate::report::{RootStatus, RuntimeProgram, RuntimeState, RuntimeStatus};

const HEADER: [&str; 4] = ["RUNTIME", "VERSION", "DEPRECATED", "FROM"];

/// Digits of a digest that people need to tell two apart.
const DIGEST_SHOWN: usize = "sha256:".len() + 12;

pub(crate) async fn run(
    args: RuntimesArgs,
    inspector: &(impl Inspector + Installer),
    console: &Console,
) -> Result<Exit, Failure> {
    match args.action {
        Some(RuntimesAction::Add(args)) => return toolchains::add(args, inspector, console).await,
        Some(RuntimesAction::Remove(args)) => return toolchains::remove(&args, inspector, console),
        None => {}
    }
    let query = RuntimesQuery {
        data: args.place.data(),
        toolchains: args.place.toolchains(),
        runtime_substitution: args.runtimes.substitutions(),
        runtime_roots: args.runtimes.runtime_roots,
        java_runtime_client: args.runtimes.java_runtime_client,
    };
    let mut runtimes = inspector.runtimes(query).await?;
    // What works first; within that, the order is the inspector's.
    runtimes.sort_by_key(|runtime| match runtime.state {
        RuntimeState::Available => 0,
        RuntimeState::Substituted => 1,
        RuntimeState::Missing => 2,
    });
    match args.output {
        Output::Json => console.out(&format!("{:#}", serde_json::json!(runtimes)))?,
        Output::Text => console.out(&text(&runtimes, console.out_paint()))?,
    }
    Ok(Exit::Good)
}

fn text(runtimes: &[RuntimeStatus], paint: Paint) -> String {
    let rows: Vec<Vec<String>> = runtimes
        .iter()
        .map(|runtime| {
            let or_dash = |text: Option<&String>| text.cloned().unwrap_or_else(|| "-".into());
            let deprecation = runtime.deprecation.as_ref().filter(|_| runtime.deprecated);
            vec![runtime.id.clone(), or_dash(runtime.version.as_ref()), or_dash(deprecation), from(runtime)]
        })
        .collect();
    table(&HEADER, &rows, paint)
}

fn from(runtime: &RuntimeStatus) -> String {
    let what = match &runtime.runs {
        Some(RuntimeProgram::Interpreter { path }) => match &runtime.toolchain {
            Some(name) => format!("toolchain {name}"),
            None => path.display().to_string(),
        },
        Some(RuntimeProgram::Root) => "its own runtime".to_owned(),
        Some(RuntimeProgram::Function) => "the function's own program".to_owned(),
        None => String::new(),
    };
    let place = match &runtime.root {
        None | Some(RootStatus::Host) => String::new(),
        Some(RootStatus::Directory { path }) => format!("in directory {}", path.display()),
        Some(RootStatus::Image { path, digest }) => {
            let digest = digest.get(..DIGEST_SHOWN).unwrap_or(digest);
            format!("in image {digest} of {}", path.display())
        }
    };
    let sdk = runtime.sdk.as_ref().map(|name| format!("with {name}")).unwrap_or_default();
    let remedy = runtime.remedy.as_ref().map(|remedy| match runtime.state {
        RuntimeState::Substituted => format!("instead; to have it, {remedy}"),
        RuntimeState::Available | RuntimeState::Missing => format!("missing; {remedy}"),
    });
    [what, place, sdk, remedy.unwrap_or_default()]
        .iter()
        .filter(|part| !part.is_empty())
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime(id: &str, state: RuntimeState) -> RuntimeStatus {
        RuntimeStatus {
            id: id.into(),
            state,
            version: None,
            runs: None,
            root: None,
            toolchain: None,
            sdk: None,
            deprecation: None,
            deprecated: false,
            remedy: None,
        }
    }

    #[test]
    fn each_line_says_where_from_or_what_to_do() {
        let interpreter = |path: &str| Some(RuntimeProgram::Interpreter { path: path.into() });
        let image =
            RootStatus::Image { path: "/images/py".into(), digest: format!("sha256:{}", "ab".repeat(32)) };
        let runtimes = [
            RuntimeStatus {
                version: Some("3.12.4".into()),
                runs: interpreter("/usr/local/bin/python3.12"),
                root: Some(image.clone()),
                ..runtime("python3.12", RuntimeState::Available)
            },
            RuntimeStatus {
                runs: Some(RuntimeProgram::Root),
                root: Some(image),
                deprecation: Some("2040-01-01".into()),
                ..runtime("java21", RuntimeState::Available)
            },
            RuntimeStatus {
                runs: Some(RuntimeProgram::Function),
                root: Some(RootStatus::Directory { path: "/srv/al".into() }),
                ..runtime("provided", RuntimeState::Available)
            },
            RuntimeStatus {
                version: Some("20.1.0".into()),
                runs: interpreter("/usr/bin/node"),
                sdk: Some("nodejs-sdk-3.990.0".into()),
                root: Some(RootStatus::Host),
                remedy: Some("install Node.js 22".into()),
                ..runtime("nodejs22.x", RuntimeState::Substituted)
            },
            RuntimeStatus {
                remedy: Some("choose an image".into()),
                deprecation: Some("2020-01-01".into()),
                deprecated: true,
                ..runtime("ruby3.4", RuntimeState::Missing)
            },
        ];
        let expected = "\
RUNTIME     VERSION  DEPRECATED  FROM
python3.12  3.12.4   -           /usr/local/bin/python3.12 in image sha256:abababababab of /images/py
java21      -        -           its own runtime in image sha256:abababababab of /images/py
provided    -        -           the function's own program in directory /srv/al
nodejs22.x  20.1.0   -           /usr/bin/node with nodejs-sdk-3.990.0 instead; to have it, install Node.js 22
ruby3.4     -        2020-01-01  missing; choose an image";
        assert_eq!(text(&runtimes, Paint(false)), expected);
    }
}
