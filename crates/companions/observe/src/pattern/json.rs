//! Patterns over messages that are JSON objects.
//!
//! `{ ($.level = "error" || $.code >= 500) && $.user.name = "a*" && $.list[0] IS NULL }`

use serde_json::Value;

use super::PatternError;
use super::terms::quoted;

/// A condition on a document.
#[derive(Debug)]
pub(crate) enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Compare(Vec<Step>, Operator, Literal),
    /// `IS NULL`, `IS TRUE`, `IS FALSE`.
    Is(Vec<Step>, Value),
    NotExists(Vec<Step>),
}

#[derive(Debug)]
pub(crate) enum Step {
    Field(String),
    Index(usize),
    /// `[*]` or `.*`: one of the members.
    Each,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug)]
pub(crate) enum Literal {
    Number(f64),
    /// `*` stands for any text.
    Text(String),
}

impl Expression {
    pub(crate) fn matches(&self, document: &Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|p| p.matches(document)),
            Self::Any(parts) => parts.iter().any(|p| p.matches(document)),
            Self::Compare(path, operator, literal) => {
                select(document, path, &|found| compare(found, *operator, literal))
            }
            Self::Is(path, value) => select(document, path, &|found| found == value),
            Self::NotExists(path) => !select(document, path, &|_| true),
        }
    }
}

/// Whether `test` holds for a value that `path` leads to.
fn select(value: &Value, path: &[Step], test: &dyn Fn(&Value) -> bool) -> bool {
    let Some((step, rest)) = path.split_first() else { return test(value) };
    let go_on = |next: &Value| select(next, rest, test);
    match step {
        Step::Field(name) => value.get(name).is_some_and(go_on),
        Step::Index(index) => value.get(index).is_some_and(go_on),
        Step::Each => match value {
            Value::Array(items) => items.iter().any(go_on),
            Value::Object(fields) => fields.values().any(go_on),
            _ => false,
        },
    }
}

fn compare(found: &Value, operator: Operator, literal: &Literal) -> bool {
    match (literal, found) {
        (Literal::Number(wanted), Value::Number(found)) => {
            let Some(found) = found.as_f64() else { return false };
            match operator {
                Operator::Equal => found == *wanted,
                Operator::NotEqual => found != *wanted,
                Operator::Less => found < *wanted,
                Operator::LessOrEqual => found <= *wanted,
                Operator::Greater => found > *wanted,
                Operator::GreaterOrEqual => found >= *wanted,
            }
        }
        (Literal::Text(wanted), Value::String(found)) => match operator {
            Operator::Equal => like(wanted, found),
            Operator::NotEqual => !like(wanted, found),
            _ => false,
        },
        // Values of another type are different, and neither less nor greater.
        _ => operator == Operator::NotEqual,
    }
}

/// Whether `text` is `wanted`, in which `*` stands for anything.
fn like(wanted: &str, text: &str) -> bool {
    let mut parts = wanted.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

pub(crate) fn parse(text: &str) -> Result<Expression, PatternError> {
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}'));
    let mut parser = Parser { rest: inner.ok_or(PatternError::Syntax("a } is missing"))? };
    let expression = parser.any()?;
    parser.skip_space();
    if parser.rest.is_empty() { Ok(expression) } else { Err(PatternError::Syntax("text after the end")) }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        let found = self.rest.strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// Takes a word that is followed by something else than a letter.
    fn keyword(&mut self, word: &str) -> bool {
        self.skip_space();
        let Some((head, tail)) = self.rest.split_at_checked(word.len()) else { return false };
        let found = head.eq_ignore_ascii_case(word) && !tail.starts_with(char::is_alphanumeric);
        if found {
            self.rest = tail;
        }
        found
    }

    fn any(&mut self) -> Result<Expression, PatternError> {
        let mut parts = vec![self.all()?];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(Expression::Any(parts))
    }

    fn all(&mut self) -> Result<Expression, PatternError> {
        let mut parts = vec![self.one()?];
        while self.take("&&") {
            parts.push(self.one()?);
        }
        Ok(Expression::All(parts))
    }

    fn one(&mut self) -> Result<Expression, PatternError> {
        if self.take("(") {
            let inner = self.any()?;
            return if self.take(")") { Ok(inner) } else { Err(PatternError::Syntax("a ) is missing")) };
        }
        let path = self.path()?;
        if self.keyword("NOT") {
            let complete = self.keyword("EXISTS");
            return if complete {
                Ok(Expression::NotExists(path))
            } else {
                Err(PatternError::Syntax("NOT what?"))
            };
        }
        if self.keyword("IS") {
            for (word, value) in [("NULL", Value::Null), ("TRUE", true.into()), ("FALSE", false.into())] {
                if self.keyword(word) {
                    return Ok(Expression::Is(path, value));
                }
            }
            return Err(PatternError::Syntax("IS is followed by NULL, TRUE or FALSE"));
        }
        let operator = self.operator()?;
        Ok(Expression::Compare(path, operator, self.literal()?))
    }

    fn path(&mut self) -> Result<Vec<Step>, PatternError> {
        if !self.take("$") {
            return Err(PatternError::Syntax("a field begins with $"));
        }
        let mut path = Vec::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix('.') {
                let end =
                    rest.find(|c: char| !(c.is_alphanumeric() || "_-*@".contains(c))).unwrap_or(rest.len());
                path.push(match &rest[..end] {
                    "" => return Err(PatternError::Syntax("a field name is missing")),
                    "*" => Step::Each,
                    name => Step::Field(name.to_owned()),
                });
                self.rest = &rest[end..];
            } else if let Some(rest) = self.rest.strip_prefix('[') {
                let (index, rest) = rest.split_once(']').ok_or(PatternError::Syntax("a ] is missing"))?;
                path.push(index_step(index)?);
                self.rest = rest;
            } else {
                return Ok(path);
            }
        }
    }

    fn operator(&mut self) -> Result<Operator, PatternError> {
        let operators = [
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("=", Operator::Equal),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let found = operators.into_iter().find(|(sign, _)| self.take(sign));
        found.map(|(_, operator)| operator).ok_or(PatternError::Syntax("a comparison is missing"))
    }

    fn literal(&mut self) -> Result<Literal, PatternError> {
        self.skip_space();
        if let Some(rest) = self.rest.strip_prefix('"') {
            let (value, rest) = quoted(rest)?;
            self.rest = rest;
            return Ok(Literal::Text(value));
        }
        let end =
            self.rest.find(|c: char| c.is_whitespace() || "()&|".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "" => Err(PatternError::Syntax("a value is missing")),
            word => Ok(word.parse().map_or_else(|_| Literal::Text(word.to_owned()), Literal::Number)),
        }
    }
}

fn index_step(index: &str) -> Result<Step, PatternError> {
    let index = index.trim();
    if index == "*" {
        return Ok(Step::Each);
    }
    if let Some(name) = index.strip_prefix(['"', '\'']).and_then(|i| i.strip_suffix(['"', '\''])) {
        return Ok(Step::Field(name.to_owned()));
    }
    index
        .parse()
        .map(Step::Index)
        .map_err(|_| PatternError::Syntax("an index is a number, a name in quotes or *"))
}

#[cfg(test)]
mod tests {
    use super::super::Pattern;

    const DOCUMENT: &str =
        r#"{"level":"error","code":503,"user":{"name":"alice","tags":["x","y"]},"ok":false,"none":null}"#;

    #[test]
    fn conditions_on_a_document() {
        for (pattern, expected) in [
            (r#"{ $.level = "error" }"#, true),
            ("{ $.level = error }", true),
            (r#"{ $.level = "err*" }"#, true),
            (r#"{ $.level = "*rr*r" }"#, true),
            (r#"{ $.level = "*x*" }"#, false),
            (r#"{ $.level != "info" }"#, true),
            ("{ $.code = 503 }", true),
            ("{ $.code >= 500 && $.code < 503 }", false),
            ("{ ($.code>=500&&$.code<504) }", true),
            (r#"{ $.level = "info" || $.code > 5e2 }"#, true),
            (r#"{ $.level = "info" && $.code = 503 || $.ok IS FALSE }"#, true),
            (r#"{ $.user.name = "alice" }"#, true),
            (r#"{ $["user"].tags[1] = "y" }"#, true),
            (r#"{ $.user.tags[*] = "z" }"#, false),
            (r#"{ $.user.* = "alice" }"#, true),
            ("{ $.none IS NULL }", true),
            ("{ $.ok is true }", false),
            ("{ $.missing NOT EXISTS }", true),
            ("{ $.none NOT EXISTS }", false),
            (r#"{ $.missing != "a" }"#, false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(DOCUMENT), expected, "{pattern}");
        }
        assert!(!Pattern::parse("{ $.a NOT EXISTS }").unwrap().matches("plain text"));
    }

    #[test]
    fn damaged_patterns_are_refused() {
        for bad in [
            "{",
            "{ }",
            "{ $.a }",
            "{ $.a = }",
            "{ a = 1 }",
            "{ ($.a = 1 }",
            "{ $.a = 1 $.b = 2 }",
            "{ $. = 1 }",
            "{ $.a[x] = 1 }",
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
