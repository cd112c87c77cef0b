//! Runtime families: `python` is the newest Python of this machine.

use crate::ports::RuntimeFound;

/// The identifier for `wanted`, a family or an identifier already. The error is a message for people.
pub(crate) fn resolve_runtime(wanted: &str, found: &[RuntimeFound]) -> Result<String, String> {
    if !is_family(wanted) {
        return Ok(wanted.to_owned());
    }
    let newest = found.iter().filter_map(|r| Some((version_in(wanted, &r.id)?, &r.created_as))).max();
    match newest {
        Some((_, id)) => Ok(id.clone()),
        None => Err(format!("no {wanted} on this machine; install it, then see `lambd doctor`")),
    }
}

/// Whether `id` runs on this machine without a substitute.
pub(crate) fn is_installed(id: &str, found: &[RuntimeFound]) -> bool {
    id.starts_with("provided") || found.iter().any(|r| r.id == id)
}

/// A family is letters only; `provided` is an identifier.
fn is_family(runtime: &str) -> bool {
    runtime != "provided" && runtime.bytes().all(|b| b.is_ascii_lowercase())
}

/// The version numbers of an identifier of this family: `[3, 12]` of `python3.12`.
fn version_in(family: &str, id: &str) -> Option<Vec<u32>> {
    let rest = id.strip_prefix(family)?;
    rest.split('.').map_while(|part| if part == "x" { None } else { Some(part.parse().ok()) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ids: &[&str]) -> Vec<RuntimeFound> {
        let one = |id: &&str| RuntimeFound {
            id: (*id).into(),
            created_as: (*id).into(),
            path: "/bin/x".into(),
            version: "1".into(),
        };
        ids.iter().map(one).collect()
    }

    #[test]
    fn families_are_the_newest_by_number() {
        let machine = found(&["python3.9", "python3.12", "nodejs18.x", "nodejs20.x", "pythonista9"]);
        assert_eq!(resolve_runtime("python", &machine).unwrap(), "python3.12");
        assert_eq!(resolve_runtime("nodejs", &machine).unwrap(), "nodejs20.x");
        let mut ruby = found(&["ruby3.1"]);
        ruby[0].created_as = "ruby3.2".into();
        assert_eq!(resolve_runtime("ruby", &ruby).unwrap(), "ruby3.2", "Lambda has had no 3.1");
        assert!(resolve_runtime("ruby", &machine).unwrap_err().contains("no ruby on this machine"));
    }

    #[test]
    fn identifiers_stay() {
        assert_eq!(resolve_runtime("python3.14", &[]).unwrap(), "python3.14");
        assert_eq!(resolve_runtime("provided", &[]).unwrap(), "provided");
        assert!(is_installed("provided.al2023", &[]));
        assert!(!is_installed("python3.14", &found(&["python3.12"])));
    }
}
