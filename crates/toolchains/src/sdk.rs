//! AWS SDKs, which functions need not package: got by the package manager of their language, with its settings, as
//! people get them; or from a folder or an archive that has one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::add::{Added, Step, blocking, lock};
use crate::manifest::{FORMAT, Manifest, Place};
use crate::recipe::{Family, Wanted};
use crate::store::{Adding, Toolchains, store_error};
use crate::{ToolchainError, local, sdk_files, settle};

/// What the identifier of an SDK ends in.
const SUFFIX: &str = "-sdk";

/// The first Node.js for which AWS has version 3 of the SDK for JavaScript instead of version 2.
const NODE_OF_V3: u64 = 18;

/// Services whose clients are got where nobody says which: those that functions call most.
const SERVICES: &[&str] = &[
    "apigatewaymanagementapi",
    "cloudwatch",
    "cloudwatchlogs",
    "dynamodb",
    "eventbridge",
    "kinesis",
    "kms",
    "lambda",
    "s3",
    "secretsmanager",
    "sesv2",
    "sfn",
    "sns",
    "sqs",
    "ssm",
    "sts",
];

/// An SDK to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdkRequest {
    /// A language or a runtime, and `-sdk`: `python-sdk`, `nodejs16.x-sdk`.
    pub id: String,
    /// Packages to get instead of the usual ones, in the package manager's own words.
    pub packages: Vec<String>,
    /// An archive or a folder that has it; without one, it is got from the registry.
    pub from: Option<PathBuf>,
    /// Base URL of the npm registry, if npm is not to decide.
    pub npm_registry: Option<String>,
    /// Base URL of the index of Python packages, if pip is not to decide.
    pub pypi_index: Option<String>,
}

/// For which functions an SDK is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Audience {
    family: Family,
    /// The version of one runtime; without it, all that the SDK supports.
    line: Option<Vec<u64>>,
}

/// Whether an identifier asks for an SDK.
pub fn is_sdk(id: &str) -> bool {
    audience(id).is_some()
}

fn audience(id: &str) -> Option<Audience> {
    let of = id.strip_suffix(SUFFIX)?;
    let all = [Family::Python, Family::NodeJs, Family::Ruby];
    if let Some(family) = all.into_iter().find(|family| family.name() == of) {
        return Some(Audience { family, line: None });
    }
    let wanted = Wanted::of(of).ok().filter(|wanted| all.contains(&wanted.family))?;
    Some(Audience { family: wanted.family, line: Some(wanted.line) })
}

/// Installs an SDK beside those of other versions, of which functions get the newest.
///
/// # Errors
/// It cannot be had, is no SDK, or cannot be stored.
pub async fn add_sdk(
    toolchains: &Toolchains,
    request: &SdkRequest,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Added, ToolchainError> {
    let unknown = || ToolchainError::Unknown { id: request.id.clone() };
    let audience = audience(&request.id).ok_or_else(unknown)?;
    let adding = lock(toolchains, progress).await?;
    let all = adding.path.join("all");
    let source = match &request.from {
        Some(path) => {
            progress(Step::Unpacking);
            let path = path
                .canonicalize()
                .map_err(|source| ToolchainError::Unreadable { path: path.clone(), source })?;
            let (from, into) = (path.clone(), all.clone());
            blocking(move || match from.is_dir() {
                true => local::copy(&from, &into),
                false => {
                    let file = fs::File::open(&from)
                        .map_err(|source| ToolchainError::Unreadable { path: from.clone(), source })?;
                    local::unpack(file, &into)
                }
            })
            .await?;
            path.display().to_string()
        }
        None => {
            fs::create_dir(&all).map_err(|source| store_error(&all, source))?;
            got(&audience, request, &all, progress).await?
        }
    };
    progress(Step::Trying);
    let id = request.id.clone();
    blocking(move || keep(&adding, &audience, id, source, &all)).await
}

/// Gives what was unpacked its place and its name.
fn keep(
    adding: &Adding,
    audience: &Audience,
    id: String,
    source: String,
    all: &Path,
) -> Result<Added, ToolchainError> {
    settle::settle(all)?;
    let found = sdk_files::find(audience.family, all).ok_or_else(|| ToolchainError::NoProgram {
        program: format!("AWS SDK for {}", audience.family.title()),
    })?;
    let new = adding.path.join("new");
    let place = PathBuf::from(sdk_files::place(audience.family));
    let moved = fs::create_dir(&new).and_then(|()| fs::rename(&found.directory, new.join(&place)));
    moved.map_err(|source| store_error(&new, source))?;
    let name = format!("{id}-{}", found.version);
    let manifest = Manifest {
        format: FORMAT,
        runtime: id,
        family: audience.family.name().to_owned(),
        version: found.version,
        place: Place::Sdk { directory: place, since: found.since },
        source,
        checksum: None,
    };
    let directory = adding.directory.join(&name);
    if let Some(there) = Manifest::read(&directory) {
        if there == manifest && there.source.starts_with(MANAGER) {
            return Ok(Added { installed: crate::Installed { manifest, directory }, already: true });
        }
        // The same version with other packages, or from a folder that may have changed.
        fs::rename(&directory, adding.path.join("old")).map_err(|source| store_error(&directory, source))?;
    }
    let installed = adding.keep(&new, &name, &manifest)?;
    Ok(Added { installed, already: false })
}

/// What a source begins with that is no path.
const MANAGER: &str = "by ";

/// Has the package manager get the SDK, and returns what it was asked.
async fn got(
    audience: &Audience,
    request: &SdkRequest,
    into: &Path,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<String, ToolchainError> {
    let (program, mut args): (_, Vec<String>) = match audience.family {
        Family::Python => ("python3", pip(audience, request)),
        Family::Ruby => ("gem", ["install", "--no-document", "--quiet"].map(str::to_owned).into()),
        _ => ("npm", npm(request)),
    };
    progress(Step::Asking { registry: manager(audience.family).to_owned() });
    let packages = match request.packages.is_empty() {
        false => request.packages.clone(),
        true => usual(audience, request).await?,
    };
    let place = into.join(sdk_files::place(audience.family));
    let into = if program == "npm" { into } else { place.as_path() };
    let option = match program {
        "npm" => "--prefix",
        "gem" => "--install-dir",
        _ => "--target",
    };
    args.extend([option.to_owned(), into.display().to_string()]);
    args.extend(packages.iter().cloned());
    // Whatever else is asked for, it is packages of the registry.
    run(program, &args, audience.family).await?;
    let what = match packages.as_slice() {
        [first, _, _, _, .., last] if request.packages.is_empty() => {
            format!("{} packages from {first} to {last}", packages.len())
        }
        few => few.join(" "),
    };
    Ok(format!("{MANAGER}{}: {what}", manager(audience.family)))
}

fn pip(audience: &Audience, request: &SdkRequest) -> Vec<String> {
    let mut args = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"].to_vec();
    args.extend(["--only-binary", ":all:"]);
    let mut args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    if let Some(line) = &audience.line {
        let version: Vec<String> = line.iter().map(ToString::to_string).collect();
        args.extend(["--python-version".to_owned(), version.join(".")]);
    }
    if let Some(index) = &request.pypi_index {
        args.extend(["--index-url".to_owned(), index.clone()]);
    }
    args
}

fn npm(request: &SdkRequest) -> Vec<String> {
    let args = ["install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"];
    let mut args: Vec<String> = args.map(str::to_owned).into();
    args.extend(["--omit=dev", "--loglevel=error"].map(str::to_owned));
    if let Some(registry) = &request.npm_registry {
        args.extend(["--registry".to_owned(), registry.clone()]);
    }
    args
}

/// The packages where nobody says which.
async fn usual(audience: &Audience, request: &SdkRequest) -> Result<Vec<String>, ToolchainError> {
    match audience.family {
        Family::Python => Ok(vec!["boto3".to_owned()]),
        Family::Ruby => Ok(SERVICES.iter().map(|name| format!("aws-sdk-{}", of_ruby(name))).collect()),
        _ => {
            let major = match audience.line.as_deref() {
                Some([major, ..]) => *major,
                _ => node_of_machine().await?,
            };
            if major < NODE_OF_V3 {
                return Ok(vec!["aws-sdk@2".to_owned()]);
            }
            let newest = newest_for_node(major, request).await?;
            let clients = SERVICES.iter().map(|name| format!("client-{}", of_node(name)));
            let others = ["lib-dynamodb", "lib-storage", "util-dynamodb", "s3-request-presigner"];
            // Not every package has every version.
            let all = clients.chain(others.map(str::to_owned));
            Ok(all.map(|name| format!("@aws-sdk/{name}@3.0.0 - {newest}")).collect())
        }
    }
}

fn of_node(service: &str) -> &str {
    match service {
        "cloudwatchlogs" => "cloudwatch-logs",
        "secretsmanager" => "secrets-manager",
        other => other,
    }
}

fn of_ruby(service: &str) -> &str {
    match service {
        "sfn" => "states",
        other => other,
    }
}

/// The major version of the Node.js that npm itself runs on.
async fn node_of_machine() -> Result<u64, ToolchainError> {
    let text = run("node", &["--version".to_owned()], Family::NodeJs).await?;
    let major = text.trim().strip_prefix('v').and_then(|text| text.split('.').next()?.parse().ok());
    major.ok_or_else(|| ToolchainError::PackageManager {
        manager: "npm",
        reason: format!("node --version says {text:?}"),
    })
}

/// The newest version 3 of the SDK for JavaScript that a Node.js runs.
async fn newest_for_node(major: u64, request: &SdkRequest) -> Result<String, ToolchainError> {
    let mut args: Vec<String> =
        ["view", "@aws-sdk/client-lambda@3", "version", "engines.node", "--json"].map(str::to_owned).into();
    if let Some(registry) = &request.npm_registry {
        args.extend(["--registry".to_owned(), registry.clone()]);
    }
    let text = run("npm", &args, Family::NodeJs).await?;
    newest_of(&text, major).ok_or_else(|| ToolchainError::NoVersion {
        registry: "npm".to_owned(),
        package: "@aws-sdk/client-lambda".to_owned(),
        line: format!("for Node.js {major}"),
    })
}

fn newest_of(text: &str, major: u64) -> Option<String> {
    let document: serde_json::Value = serde_json::from_str(text).ok()?;
    let versions = match document {
        serde_json::Value::Array(versions) => versions,
        one => vec![one],
    };
    let fitting = versions.iter().filter_map(|about| {
        let version = about.get("version")?.as_str()?;
        let needs = about.get("engines.node").and_then(|engine| sdk_files::at_least(engine.as_str()?));
        let fits = needs.is_none_or(|needs| needs.first().is_some_and(|needs| *needs <= major));
        fits.then(|| Some((crate::version::Release::parse(version)?, version)))?
    });
    fitting.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, version)| version.to_owned())
}

fn manager(family: Family) -> &'static str {
    match family {
        Family::Python => "pip",
        Family::Ruby => "gem",
        _ => "npm",
    }
}

/// Runs a package manager, and returns what it prints.
async fn run(program: &str, args: &[String], family: Family) -> Result<String, ToolchainError> {
    let failed = |reason: String| ToolchainError::PackageManager { manager: manager(family), reason };
    let mut command = tokio::process::Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(format!("{program} is not installed")),
        _ => failed(error.to_string()),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let lines = || said.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty());
    let line =
        lines().find(|line| line.to_ascii_lowercase().contains("error")).or_else(|| lines().next_back());
    Err(failed(line.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_name_a_language_or_a_runtime() {
        let of = |id| audience(id).map(|audience| (audience.family, audience.line));
        assert_eq!(of("python-sdk"), Some((Family::Python, None)));
        assert_eq!(of("nodejs16.x-sdk"), Some((Family::NodeJs, Some(vec![16]))));
        assert_eq!(of("ruby3.3-sdk"), Some((Family::Ruby, Some(vec![3, 3]))));
        for none in ["python3.12", "java21-sdk", "sdk", "-sdk", "cobol-sdk", "provided-sdk"] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn the_newest_sdk_that_a_node_runs_is_taken() {
        let about = r#"[{"version":"3.9.0","engines.node":">=10.0.0"},{"version":"3.980.0","engines.node":">=18.0.0"},
            {"version":"3.1001.0","engines.node":">=20.0.0"},{"version":"3.1000.0","engines.node":">=20.0.0"}]"#;
        assert_eq!(newest_of(about, 22).as_deref(), Some("3.1001.0"));
        assert_eq!(newest_of(about, 18).as_deref(), Some("3.980.0"));
        assert_eq!(newest_of(about, 8), None);
        assert_eq!(newest_of(r#"{"version":"3.1.0"}"#, 18).as_deref(), Some("3.1.0"));
        assert_eq!(newest_of("", 18), None);
    }

    #[tokio::test]
    async fn an_sdk_comes_from_a_folder_and_the_newest_stays_beside_others() {
        let (place, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let toolchains = Toolchains::at(&place.path().join("toolchains"));
        let request = SdkRequest {
            id: "python-sdk".into(),
            packages: Vec::new(),
            from: Some(folder.path().to_owned()),
            npm_registry: None,
            pypi_index: None,
        };
        let add = async || add_sdk(&toolchains, &request, &|_| {}).await;
        assert!(add().await.unwrap_err().to_string().contains("no AWS SDK for Python in it"));
        let about = |version: &str| {
            let about = folder.path().join(format!("site/boto3-{version}.dist-info"));
            fs::create_dir_all(&about).unwrap();
            fs::write(about.join("METADATA"), format!("Version: {version}\nRequires-Python: >= 3.10\n"))
                .unwrap();
        };
        fs::create_dir_all(folder.path().join("site/boto3")).unwrap();
        about("1.43.0");
        let added = add().await.unwrap();
        assert_eq!((added.already, added.installed.name().as_str()), (false, "python-sdk-1.43.0"));
        let expected = Place::Sdk { directory: "python".into(), since: vec![3, 10] };
        assert_eq!(added.installed.manifest.place, expected);
        assert!(added.installed.directory.join("python/boto3").is_dir());
        fs::rename(
            folder.path().join("site/boto3-1.43.0.dist-info"),
            folder.path().join("site/boto3-1.44.0.dist-info"),
        )
        .unwrap();
        about("1.44.0");
        assert_eq!(add().await.unwrap().installed.name(), "python-sdk-1.44.0");
        assert_eq!(toolchains.list().len(), 2);
        assert_eq!(toolchains.remove("python-sdk").unwrap().len(), 2);
    }
}
