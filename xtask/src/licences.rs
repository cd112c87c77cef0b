//! Licences of everything that is linked, against the list in `deny.toml`.
//!
//! `cargo deny` checks more (advisories, sources) where it is installed; this part needs no
//! further tool and no network, so it runs always.

use crate::metadata::Package;

/// Packages whose licence expression is not satisfied by `deny.toml`'s `allow` list.
pub(crate) fn breaches(deny: &str, packages: &[Package]) -> Vec<String> {
    let allowed = allowed(deny);
    packages
        .iter()
        .filter_map(|package| match &package.licence {
            None => Some(format!("{} states no licence", package.name)),
            Some(licence) if satisfied(licence, &allowed) => None,
            Some(licence) => {
                Some(format!("{} is under {licence}, which deny.toml does not allow", package.name))
            }
        })
        .collect()
}

/// The strings of the first `allow = [...]` of `deny.toml`.
fn allowed(deny: &str) -> Vec<&str> {
    let Some((_, rest)) = deny.split_once("\nallow = [") else { return Vec::new() };
    rest.split(']').next().unwrap_or_default().split('"').skip(1).step_by(2).collect()
}

/// Whether an SPDX expression can be met: `OR` needs one side, `AND` both. The old form with a
/// slash means `OR`.
fn satisfied(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any(&words, &mut at, allowed);
    met && at == words.len()
}

fn any(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut met = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all(words, at, allowed);
    }
    met
}

fn all(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let Some(&word) = words.get(*at) else { return false };
    *at += 1;
    if word == "(" {
        let met = any(words, at, allowed);
        *at += 1;
        return met;
    }
    if words.get(*at) == Some(&"WITH") {
        let with = format!("{word} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
        return allowed.contains(&with.as_str());
    }
    allowed.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::{allowed, satisfied};

    #[test]
    fn expressions() {
        let list = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"];
        let cases = [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
            ("GPL-2.0 WITH Classpath-exception-2.0", false),
            ("MIT/GPL-3.0", true),
        ];
        for (expression, expected) in cases {
            assert_eq!(satisfied(expression, &list), expected, "{expression}");
        }
    }

    #[test]
    fn the_list_is_read_from_deny_toml() {
        assert_eq!(allowed("[licenses]\nallow = [\n  \"MIT\",\n  \"ISC\",\n]\n"), ["MIT", "ISC"]);
    }
}
