//! Reading and checking the members of requests.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lambd_http::protocol::query::Params;
use lambd_http::protocol::validation::Checks;

use crate::error::IamError;

/// Most tags of one resource.
pub(crate) const MAX_TAGS: usize = 50;

/// A page of a listing as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paging {
    /// Begin after this key; empty for the first page.
    pub(crate) after: String,
    /// At most this many.
    pub(crate) limit: usize,
}

/// The members of a request, and what is wrong with them so far.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    params: &'a Params,
    checks: Checks,
    invalid: Option<String>,
}

impl<'a> Input<'a> {
    pub(crate) fn new(params: &'a Params) -> Self {
        Self { params, checks: Checks::new(), invalid: None }
    }

    /// All members were read; anything wrong with them ends the request here.
    pub(crate) fn finish(self) -> Result<(), IamError> {
        self.checks.finish().map_err(IamError::Validation)?;
        self.invalid.map_or(Ok(()), |message| Err(IamError::Validation(message)))
    }

    fn invalid(&mut self, at: &str, must: &str) {
        let message = || format!("The specified value for {at} is invalid. It must {must}");
        self.invalid.get_or_insert_with(message);
    }

    /// A required text of any form, up to `max` characters.
    pub(crate) fn text(&mut self, name: &str, max: usize) -> String {
        let at = lower_camel(name);
        match self.params.get(name) {
            Some(value) => {
                self.checks.length(&at, value, 1, max);
                value.to_owned()
            }
            None => self.checks.required(&at, None),
        }
    }

    /// An optional text.
    pub(crate) fn optional(&mut self, name: &str, max: usize) -> Option<String> {
        let value = self.params.get(name)?;
        self.checks.length(&lower_camel(name), value, 0, max);
        Some(value.to_owned())
    }

    /// A required name of an entity.
    pub(crate) fn name(&mut self, name: &str, max: usize) -> String {
        let value = self.text(name, max);
        if !value.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c)) {
            let must = "contain only alphanumeric characters and/or the following: +=,.@_-";
            self.invalid(&lower_camel(name), must);
        }
        value
    }

    /// `RoleName`
    pub(crate) fn role_name(&mut self) -> String {
        self.name("RoleName", 64)
    }

    /// `Path`; the root when not given.
    pub(crate) fn path(&mut self) -> String {
        let value = self.optional("Path", 512).unwrap_or_else(|| "/".to_owned());
        let printable = value.chars().all(|c| c.is_ascii_graphic());
        if !(value.starts_with('/') && value.ends_with('/') && printable) {
            self.invalid(
                "path",
                "begin and end with / and contain only alphanumeric characters and/or / characters.",
            );
        }
        value
    }

    /// `PathPrefix`; the root when not given.
    pub(crate) fn path_prefix(&mut self) -> String {
        self.optional("PathPrefix", 512).unwrap_or_else(|| "/".to_owned())
    }

    /// `PolicyArn`
    pub(crate) fn policy_arn(&mut self) -> String {
        let value = self.text("PolicyArn", 2048);
        if !value.is_empty() {
            self.checks.length("policyArn", &value, 20, 2048);
        }
        value
    }

    /// A number, `default` when not given.
    pub(crate) fn number(&mut self, name: &str, default: i64, min: i64, max: i64) -> i64 {
        if self.params.get(name).is_none() {
            return default;
        }
        // Not a number at all is out of range too.
        let value = self.params.get_number(name).unwrap_or(min - 1);
        self.checks.range(&lower_camel(name), value, min, max);
        value
    }

    /// A flag, `false` when not given.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.params.get(name).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// `Tags`
    pub(crate) fn tags(&mut self) -> BTreeMap<String, String> {
        let mut tags = BTreeMap::new();
        for (index, tag) in self.params.structures("Tags").iter().enumerate() {
            let at = |field| format!("tags.{}.member.{field}", index + 1);
            let key = self.checks.required(&at("key"), tag.get("Key"));
            let value = self.checks.required(&at("value"), tag.get("Value"));
            self.checks.length(&at("key"), key, usize::from(tag.get("Key").is_some()), 128);
            self.checks.length(&at("value"), value, 0, 256);
            tags.insert(key.to_owned(), value.to_owned());
        }
        self.checks.members("tags", tags.len(), 0, MAX_TAGS);
        tags
    }

    /// A list of texts.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.params.list(name).into_iter().map(str::to_owned).collect()
    }

    /// `MaxItems` and `Marker`
    pub(crate) fn paging(&mut self) -> Paging {
        let limit = self.number("MaxItems", 100, 1, 1000);
        let after = match self.params.get("Marker") {
            Some(marker) => unmark(marker).unwrap_or_else(|| {
                self.invalid.get_or_insert_with(|| "Invalid Marker.".to_owned());
                String::new()
            }),
            None => String::new(),
        };
        Paging { after, limit: usize::try_from(limit).unwrap_or(1) }
    }
}

/// The marker of a page that ended with `key`.
pub(crate) fn mark(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

fn unmark(marker: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(marker).ok()?).ok()
}

/// Members are named in lower camel case in messages.
fn lower_camel(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(form: &str, read: impl Fn(&mut Input<'_>)) -> String {
        let params = Params::parse(form);
        let mut input = Input::new(&params);
        read(&mut input);
        input.finish().map_or_else(|e| e.to_string(), |()| "ok".into())
    }

    #[test]
    fn names_are_checked_with_the_words_of_iam() {
        let read = |input: &mut Input<'_>| drop(input.role_name());
        assert_eq!(failure("RoleName=lambda-ex", read), "ok");
        assert_eq!(
            failure("RoleName=a%20b", read),
            "The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the \
             following: +=,.@_-"
        );
        assert_eq!(
            failure("", read),
            "1 validation error detected: Value null at 'roleName' failed to satisfy constraint: Member must not be null"
        );
        assert!(failure(&format!("RoleName={}", "a".repeat(65)), read).contains("less than or equal to 64"));
    }

    #[test]
    fn paths_tags_and_pages() {
        assert_eq!(failure("Path=/a/b/", |i| drop(i.path())), "ok");
        assert!(failure("Path=a", |i| drop(i.path())).contains("begin and end with /"));
        assert_eq!(failure("Tags.member.1.Key=k&Tags.member.1.Value=", |i| drop(i.tags())), "ok");
        assert!(failure("Tags.member.1.Key=k", |i| drop(i.tags())).contains("'tags.1.member.value'"));
        assert_eq!(failure(&format!("Marker={}", mark("x")), |i| assert_eq!(i.paging().after, "x")), "ok");
        assert_eq!(failure("Marker=*", |i| drop(i.paging())), "Invalid Marker.");
        assert!(failure("MaxItems=0", |i| drop(i.paging())).contains("greater than or equal to 1"));
    }
}
