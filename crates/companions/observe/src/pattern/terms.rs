//! Patterns of terms.

use regex_lite::Regex;

use super::PatternError;

#[derive(Debug)]
enum Term {
    Text(String),
    Expression(Regex),
}

impl Term {
    fn found_in(&self, message: &str) -> bool {
        match self {
            Self::Text(text) => message.contains(text),
            Self::Expression(regex) => regex.is_match(message),
        }
    }
}

/// Terms by the sign in front of them.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// No sign: all of them occur.
    required: Vec<Term>,
    /// `-`: none of them occurs.
    excluded: Vec<Term>,
    /// `?`: one of them occurs. Ignored beside other terms, as the service does.
    optional: Vec<Term>,
}

impl Terms {
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let mut terms = Self::default();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let list = match first {
                '-' => &mut terms.excluded,
                '?' => &mut terms.optional,
                _ => &mut terms.required,
            };
            let body = rest.strip_prefix(['-', '?']).unwrap_or(rest);
            let (term, after) = term(body)?;
            list.push(term);
            rest = after.trim_start();
        }
        Ok(terms)
    }

    pub(crate) fn matches(&self, message: &str) -> bool {
        let found = |term: &Term| term.found_in(message);
        if self.required.is_empty() && self.excluded.is_empty() {
            return self.optional.iter().any(found);
        }
        self.required.iter().all(found) && !self.excluded.iter().any(found)
    }
}

/// Reads one term and returns it with what follows.
fn term(text: &str) -> Result<(Term, &str), PatternError> {
    match text.chars().next() {
        Some('"') => quoted(&text[1..]).map(|(value, after)| (Term::Text(value), after)),
        Some('%') => {
            let (source, after) = text[1..].split_once('%').ok_or(PatternError::Syntax("a % is missing"))?;
            let regex = Regex::new(source).map_err(|_| PatternError::Syntax("not a regular expression"))?;
            Ok((Term::Expression(regex), after))
        }
        Some(c) if !c.is_whitespace() => {
            let end = text.find(char::is_whitespace).unwrap_or(text.len());
            Ok((Term::Text(text[..end].to_owned()), &text[end..]))
        }
        _ => Err(PatternError::Syntax("a term is missing")),
    }
}

/// Reads up to the closing quote; a backslash takes the next character as it is.
pub(super) fn quoted(text: &str) -> Result<(String, &str), PatternError> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    Err(PatternError::Syntax("a quote is not closed"))
}

#[cfg(test)]
mod tests {
    use super::super::{Pattern, PatternError};

    fn matching(pattern: &str, messages: &[&'static str]) -> Vec<&'static str> {
        let pattern = Pattern::parse(pattern).unwrap();
        messages.iter().copied().filter(|m| pattern.matches(m)).collect()
    }

    const LINES: &[&str] = &["ERROR one", "ERROR two timeout", "WARN one", "say \"hi\" now", "INFO"];

    #[test]
    fn terms_phrases_and_signs() {
        for (pattern, expected) in [
            ("", LINES),
            ("  ", LINES),
            ("ERROR", &["ERROR one", "ERROR two timeout"][..]),
            ("error", &[]),
            ("ERROR one", &["ERROR one"]),
            ("ERROR -timeout", &["ERROR one"]),
            ("-ERROR -WARN -INFO", &["say \"hi\" now"]),
            ("?WARN ?INFO", &["WARN one", "INFO"]),
            ("?WARN two", &["ERROR two timeout"]),
            ("\"ERROR two\"", &["ERROR two timeout"]),
            ("-\"ERROR two\" one", &["ERROR one", "WARN one"]),
            ("\"say \\\"hi\\\"\"", &["say \"hi\" now"]),
            ("%^(WARN|INFO)%", &["WARN one", "INFO"]),
        ] {
            assert_eq!(matching(pattern, LINES), expected, "{pattern}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_said() {
        for bad in ["\"open", "a -", "%(%", "%x"] {
            assert!(matches!(Pattern::parse(bad), Err(PatternError::Syntax(_))), "{bad}");
        }
        assert!(matches!(Pattern::parse("[ip, user]"), Err(PatternError::Fields)));
    }
}
