//! Filter patterns of `FilterLogEvents`.

mod json;
mod terms;

/// Why a text is not a filter pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("Invalid filter pattern: {0}")]
    Syntax(&'static str),
    #[error(
        "Invalid filter pattern: lambd does not support patterns of space-delimited fields ([..]); use terms or a JSON pattern"
    )]
    Fields,
}

/// What the messages of interest look like.
#[derive(Debug)]
pub(crate) enum Pattern {
    /// All of them.
    Any,
    /// Text: `ERROR -timeout "with spaces" ?one ?other`.
    Terms(terms::Terms),
    /// JSON: `{ $.level = "error" && $.latency > 100 }`.
    Json(json::Expression),
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        match text.chars().next() {
            None => Ok(Self::Any),
            Some('{') => json::parse(text).map(Self::Json),
            Some('[') => Err(PatternError::Fields),
            Some(_) => terms::Terms::parse(text).map(Self::Terms),
        }
    }

    pub(crate) fn matches(&self, message: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Terms(terms) => terms.matches(message),
            Self::Json(expression) => {
                // Most lines of a log are not JSON: tell them without an attempt to parse.
                let document =
                    message.trim_start().starts_with('{').then(|| serde_json::from_str(message).ok());
                document.flatten().is_some_and(|document| expression.matches(&document))
            }
        }
    }
}
