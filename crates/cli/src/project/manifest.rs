//! `lambd.toml`: one function in one folder.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use lambd_types::{FunctionName, MemorySize, NetworkPolicy, OutOfRange, Timeout};
use serde::Deserialize;
use toml::Spanned;

use super::{Code, FunctionSpec, NETWORK_TAG, Problem};

/// The file's name.
pub(super) const FILE: &str = "lambd.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: Option<Spanned<String>>,
    description: Option<String>,
    runtime: Spanned<String>,
    handler: Option<Spanned<String>>,
    memory: Option<Spanned<i64>>,
    timeout: Option<Spanned<i64>>,
    network: Option<Spanned<String>>,
    build: Option<String>,
    package: Option<Spanned<PathBuf>>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

/// Reads the `lambd.toml` at `path`, which lies in `folder`.
pub(super) fn read(folder: &Path, path: &Path) -> Result<FunctionSpec, Problem> {
    let text =
        std::fs::read_to_string(path).map_err(|e| Problem::new(path, None, format!("cannot read: {e}")))?;
    parse(folder, path, &text)
}

fn parse(folder: &Path, path: &Path, text: &str) -> Result<FunctionSpec, Problem> {
    let problem = |span: Option<std::ops::Range<usize>>, message: String| {
        let line = span.map(|span| line_at(text, span.start));
        Problem::new(path, line, message)
    };
    let manifest: Manifest = toml::from_str(text).map_err(|e| problem(e.span(), one_line(e.message())))?;

    let (name, name_span) = match manifest.name {
        Some(name) => (name.get_ref().clone(), Some(name.span())),
        None => (folder_name(folder), None),
    };
    let name = FunctionName::parse(&name).map_err(|e| {
        let hint =
            if name_span.is_none() { "; give the function a name of its own: name = \"...\"" } else { "" };
        problem(name_span, format!("{e}: letters, digits, - and _ only{hint}"))
    })?;

    let range = |field: &'static str,
                 value: Option<Spanned<i64>>,
                 default: u32,
                 check: fn(i64) -> Result<u32, OutOfRange>| {
        let Some(value) = value else { return Ok(default) };
        check(*value.get_ref()).map_err(|e| problem(Some(value.span()), format!("{field}: {e}")))
    };
    let memory = range("memory", manifest.memory, MemorySize::default().get(), |v| {
        MemorySize::new(v).map(MemorySize::get)
    })?;
    let timeout =
        range("timeout", manifest.timeout, Timeout::default().get(), |v| Timeout::new(v).map(Timeout::get))?;

    let network = manifest.network.map(|network| match network.get_ref().parse::<NetworkPolicy>() {
        Ok(policy) => Ok((NETWORK_TAG.to_owned(), policy.to_string())),
        Err(reason) => {
            Err(problem(Some(network.span()), format!("network: {:?} is {reason}", network.get_ref())))
        }
    });
    let network = network.transpose()?;

    let runtime = manifest.runtime.get_ref().clone();
    if runtime.trim().is_empty() {
        return Err(problem(
            Some(manifest.runtime.span()),
            "runtime is empty; \"python\", \"nodejs\" or \"provided\"".into(),
        ));
    }
    let handler = match manifest.handler {
        Some(handler) => handler.get_ref().clone(),
        None if runtime.starts_with("provided") => "bootstrap".to_owned(),
        None => {
            let message =
                format!("handler is missing; for example handler = \"app.handler\" with runtime {runtime:?}");
            return Err(problem(Some(manifest.runtime.span()), message));
        }
    };
    let package = match manifest.package {
        Some(package) if leads_inside(package.get_ref()) => folder.join(package.get_ref()),
        Some(package) => {
            return Err(problem(Some(package.span()), "package must be a folder inside this one".into()));
        }
        None => folder.to_owned(),
    };
    Ok(FunctionSpec {
        name,
        runtime,
        handler,
        description: manifest.description.unwrap_or_default(),
        memory: MemorySize::new(memory.into()).unwrap_or_default(),
        timeout: Timeout::new(timeout.into()).unwrap_or_default(),
        environment: manifest.environment,
        tags: network.into_iter().collect(),
        code: Code::Folder { root: folder.to_owned(), package, build: manifest.build },
        source: path.to_owned(),
    })
}

fn folder_name(folder: &Path) -> String {
    // `.` and `..` have a name only once resolved.
    let resolved = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    resolved.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn leads_inside(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<FunctionSpec, String> {
        let folder = Path::new("/home/ada/hello");
        parse(folder, &folder.join(FILE), text).map_err(|e| e.to_string())
    }

    #[test]
    fn the_smallest_manifest_has_good_defaults() {
        let f = check("runtime = \"python\"\nhandler = \"app.handler\"").unwrap();
        assert_eq!((f.name.as_str(), f.memory.get(), f.timeout.get()), ("hello", 128, 3));
        assert_eq!(f.code.watched(), Some(Path::new("/home/ada/hello")));
        assert_eq!(check("runtime = \"provided.al2023\"").unwrap().handler, "bootstrap");
    }

    #[test]
    fn everything_can_be_said() {
        let f = check(
            "name = \"n\"\nruntime = \"nodejs22.x\"\nhandler = \"i.h\"\nmemory = 256\ntimeout = 10\nnetwork = \"none\"\nbuild = \
             \"make\"\npackage = \"dist\"\ndescription = \"d\"\n[environment]\nSTAGE = \"dev\"",
        )
        .unwrap();
        assert_eq!((f.name.as_str(), f.memory.get(), f.timeout.get()), ("n", 256, 10));
        assert_eq!(f.environment["STAGE"], "dev");
        assert_eq!(f.tags["lambd:network"], "none");
        let code = Code::Folder {
            root: "/home/ada/hello".into(),
            package: "/home/ada/hello/dist".into(),
            build: Some("make".into()),
        };
        assert_eq!(f.code, code);
    }

    #[test]
    fn mistakes_name_file_and_line() {
        for (text, line, part) in [
            ("runtime = \"python\"\nhandler = \"a.b\"\nmemmory = 1", 3, "unknown field `memmory`"),
            ("runtime = \"python\"\nhandler = 1", 2, "expected a string"),
            ("runtime = \"python\"\nhandler = \"a", 2, ""),
            (
                "runtime = \"python\"\nhandler = \"a.b\"\n\nmemory = 64",
                4,
                "memory: 64 is not between 128 and 10240",
            ),
            ("runtime = \"python\"\nhandler = \"a.b\"\ntimeout = 901", 3, "timeout: 901"),
            ("name = \"a b\"\nruntime = \"python\"\nhandler = \"a.b\"", 1, "\"a b\""),
            (
                "runtime = \"python\"\nhandler = \"a.b\"\nnetwork = \"lan\"",
                3,
                "network: \"lan\" is not one of",
            ),
            ("runtime = \"python\"", 1, "handler is missing"),
            ("handler = \"a.b\"\nruntime = \"\"", 2, "runtime is empty"),
            ("runtime = \"python\"\nhandler = \"a.b\"\npackage = \"../x\"", 3, "inside this one"),
            ("runtime = \"python\"\nhandler = \"a.b\"\n[environment]\nA = 1", 4, "expected a string"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.starts_with(&format!("/home/ada/hello/lambd.toml:{line}: ")), "{text}: {error}");
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(check("").unwrap_err().contains("missing field `runtime`"));
    }

    #[test]
    fn a_folder_whose_name_is_no_function_name_needs_one() {
        let folder = Path::new("/home/ada/my.app");
        let error = parse(folder, &folder.join(FILE), "runtime = \"python\"\nhandler = \"a.b\"").unwrap_err();
        assert!(error.message.contains("name = "), "{error}");
    }
}
