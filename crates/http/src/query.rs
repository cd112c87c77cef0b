//! Query strings and percent-encoding.

use std::borrow::Cow;

/// The decoded pairs of a query string or form body, in order.
#[derive(Debug, Clone, Default)]
pub struct QueryPairs(Vec<(String, String)>);

impl QueryPairs {
    /// Decodes `a=b&c=d`; `+` is a space. Sequences that are not UTF-8 become the replacement character.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form_decode(name), form_decode(value))
        });
        Self(pairs.collect())
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All values of `name`, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }
}

fn form_decode(text: &str) -> String {
    if text.contains('+') {
        percent_decode(&text.replace('+', " ")).into_owned()
    } else {
        percent_decode(text).into_owned()
    }
}

/// Decodes `%XX` sequences; what is not UTF-8 afterwards becomes the replacement character.
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_keep_their_order() {
        let q = QueryPairs::parse("tagKeys=a&tagKeys=b%20c&x&y=1+2");
        assert_eq!(q.get_all("tagKeys").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!((q.get("x"), q.get("y"), q.get("z")), (Some(""), Some("1 2"), None));
    }
}
