//! The attributes of queues: their names, what they may be, and what they are when nobody set them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Kind, SqsError};

/// Attributes as users give and get them.
pub(crate) type Map = BTreeMap<String, String>;

/// Largest message, in bytes, and largest batch.
pub(crate) const LARGEST_MESSAGE: i64 = 1024 * 1024;

/// Longest visibility timeout, in seconds.
pub(crate) const LONGEST_VISIBILITY: i64 = 43_200;

/// Longest delay, in seconds.
pub(crate) const LONGEST_DELAY: i64 = 900;

/// Longest long poll, in seconds.
pub(crate) const LONGEST_WAIT: i64 = 20;

/// What an attribute's value may be.
enum Form {
    Number {
        least: i64,
        most: i64,
        default: i64,
    },
    OneOf {
        allowed: &'static [&'static str],
        default: &'static str,
    },
    /// Any text that the check of that name likes; absent when not set.
    Policy,
    RedrivePolicy,
    RedriveAllowPolicy,
    Text,
    /// A number that is absent when not set.
    Optional {
        least: i64,
        most: i64,
        default: i64,
    },
}

/// Which queues have an attribute.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Of {
    All,
    Fifo,
}

struct Attribute {
    name: &'static str,
    of: Of,
    form: Form,
}

const BOOLEAN: &[&str] = &["true", "false"];

const fn number(name: &'static str, least: i64, most: i64, default: i64) -> Attribute {
    Attribute { name, of: Of::All, form: Form::Number { least, most, default } }
}

const fn fifo(name: &'static str, allowed: &'static [&'static str], default: &'static str) -> Attribute {
    Attribute { name, of: Of::Fifo, form: Form::OneOf { allowed, default } }
}

const fn of_all(name: &'static str, form: Form) -> Attribute {
    Attribute { name, of: Of::All, form }
}

/// Attributes that can be set.
static SETTABLE: [Attribute; 15] = [
    number("DelaySeconds", 0, LONGEST_DELAY, 0),
    number("MaximumMessageSize", 1024, LARGEST_MESSAGE, LARGEST_MESSAGE),
    number("MessageRetentionPeriod", 60, 1_209_600, 345_600),
    number("ReceiveMessageWaitTimeSeconds", 0, LONGEST_WAIT, 0),
    number("VisibilityTimeout", 0, LONGEST_VISIBILITY, 30),
    fifo("FifoQueue", &["true"], "true"),
    fifo("ContentBasedDeduplication", BOOLEAN, "false"),
    fifo("DeduplicationScope", &["messageGroup", "queue"], "queue"),
    fifo("FifoThroughputLimit", &["perQueue", "perMessageGroupId"], "perQueue"),
    of_all("Policy", Form::Policy),
    of_all("RedrivePolicy", Form::RedrivePolicy),
    of_all("RedriveAllowPolicy", Form::RedriveAllowPolicy),
    of_all("KmsMasterKeyId", Form::Text),
    of_all("KmsDataKeyReusePeriodSeconds", Form::Optional { least: 60, most: 86_400, default: 300 }),
    of_all("SqsManagedSseEnabled", Form::OneOf { allowed: BOOLEAN, default: "true" }),
];

/// Attributes that tell about a queue.
const READ_ONLY: [&str; 6] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
];

/// Whether there is an attribute of that name, on queues of whatever kind.
pub(crate) fn is_known(name: &str) -> bool {
    name == "All" || READ_ONLY.contains(&name) || SETTABLE.iter().any(|a| a.name == name)
}

/// Attributes that a user sets, checked and in the form in which they are kept.
pub(crate) fn check(given: Map, is_fifo: bool) -> Result<Map, SqsError> {
    let mut checked = Map::new();
    for (name, value) in given {
        let attribute = SETTABLE.iter().find(|attribute| attribute.name == name);
        let attribute = attribute.ok_or_else(|| SqsError::unknown_attribute(&name))?;
        if attribute.of == Of::Fifo && !is_fifo {
            return Err(match attribute.name {
                "DeduplicationScope" | "FifoThroughputLimit" => SqsError::new(
                    Kind::INVALID_ATTRIBUTE_NAME,
                    format!("You can specify the {name} only when FifoQueue is set to true."),
                ),
                _ => SqsError::unknown_attribute(&name),
            });
        }
        let value = attribute.check(&value)?;
        checked.insert(name, value);
    }
    Ok(checked)
}

/// `set` with `new` on top. A text that is empty takes an attribute away.
pub(crate) fn merge(mut set: Map, new: Map) -> Result<Map, SqsError> {
    // The two kinds of encryption exclude each other, and the one that is chosen ends the other.
    let chosen = |name: &str, value: &str| new.get(name).is_some_and(|v| v == value);
    let has_key = new.get("KmsMasterKeyId").is_some_and(|key| !key.is_empty());
    if has_key && chosen("SqsManagedSseEnabled", "true") {
        return Err(SqsError::new(
            Kind::INVALID_ATTRIBUTE_VALUE,
            "You can use one type of server-side encryption (SSE) at one time. \
             You can either enable KMS SSE or SQS SSE.",
        ));
    }
    if chosen("SqsManagedSseEnabled", "true") {
        set.remove("KmsMasterKeyId");
    }
    if has_key {
        set.remove("SqsManagedSseEnabled");
    }
    for (name, value) in new {
        let is_default = name == "KmsDataKeyReusePeriodSeconds" && value == "300";
        if value.is_empty() || is_default {
            set.remove(&name);
        } else {
            set.insert(name, value);
        }
    }
    let per_group = set.get("FifoThroughputLimit").is_some_and(|limit| limit == "perMessageGroupId");
    if per_group && set.get("DeduplicationScope").is_none_or(|scope| scope != "messageGroup") {
        return Err(SqsError::new(
            Kind::INVALID_ATTRIBUTE_VALUE,
            "The perMessageGroupId value of FifoThroughputLimit is allowed only when the value of \
             DeduplicationScope is messageGroup.",
        ));
    }
    Ok(set)
}

/// All attributes that a queue has, those that nobody set with their defaults.
pub(crate) fn effective(set: &Map, is_fifo: bool) -> Map {
    let mut all = set.clone();
    for attribute in SETTABLE.iter().filter(|attribute| is_fifo || attribute.of == Of::All) {
        let default = match &attribute.form {
            Form::Number { default, .. } => default.to_string(),
            Form::OneOf { default, .. } => (*default).to_owned(),
            _ => continue,
        };
        all.entry(attribute.name.to_owned()).or_insert(default);
    }
    if set.contains_key("KmsMasterKeyId") {
        all.insert("SqsManagedSseEnabled".to_owned(), "false".to_owned());
    }
    all
}

/// The first attribute of `given` that is not what the queue has.
pub(crate) fn first_difference(set: &Map, given: &Map, is_fifo: bool) -> Option<String> {
    let all = effective(set, is_fifo);
    let differs =
        |(name, value): &(&String, &String)| all.get(*name).map_or("", String::as_str) != value.as_str();
    given.iter().find(differs).map(|(name, _)| name.clone())
}

impl Attribute {
    fn check(&self, value: &str) -> Result<String, SqsError> {
        let fault = || SqsError::attribute(self.name);
        let within = |least, most| {
            let number: Option<i64> = value.trim().parse().ok();
            number.filter(|n| (least..=most).contains(n)).map(|n| n.to_string()).ok_or_else(fault)
        };
        let reason = |reason: &str| SqsError::value(value, self.name, reason);
        match &self.form {
            Form::Number { least, most, .. } => within(*least, *most),
            Form::Optional { least, most, default } => {
                if value.is_empty() {
                    Ok(default.to_string())
                } else {
                    within(*least, *most)
                }
            }
            Form::OneOf { allowed, .. } => {
                let is = |allowed: &&&str| {
                    value.eq_ignore_ascii_case(allowed) && (*allowed == &value || is_boolean(value))
                };
                match allowed.iter().find(is) {
                    Some(value) => Ok((*value).to_owned()),
                    None if self.name == "FifoQueue" => Err(SqsError::new(
                        Kind::INVALID_ATTRIBUTE_VALUE,
                        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
                    )),
                    None => Err(fault()),
                }
            }
            Form::Text => Ok(value.to_owned()),
            _ if value.is_empty() => Ok(String::new()),
            Form::Policy => match serde_json::from_str::<Value>(value) {
                Ok(Value::Object(_)) => Ok(value.to_owned()),
                _ => Err(fault()),
            },
            Form::RedrivePolicy => match serde_json::from_str::<Value>(value) {
                Ok(Value::Object(_)) => Ok(value.to_owned()),
                _ => Err(reason("Redrive policy is not a valid JSON map.")),
            },
            Form::RedriveAllowPolicy => match serde_json::from_str::<Value>(value) {
                Ok(Value::Object(_)) => Ok(value.to_owned()),
                _ => Err(reason(
                    "Amazon SQS can't create the redrive allow policy, as it's in an unsupported format.",
                )),
            },
        }
    }
}

fn is_boolean(value: &str) -> bool {
    BOOLEAN.iter().any(|allowed| value.eq_ignore_ascii_case(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Map {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn values_have_their_limits() {
        for (name, good, bad) in [
            ("DelaySeconds", &["0", "900"][..], &["-1", "901", "x", ""][..]),
            ("MaximumMessageSize", &["1024", "1048576"], &["1023", "1048577"]),
            ("MessageRetentionPeriod", &["60", "1209600"], &["59", "1209601"]),
            ("ReceiveMessageWaitTimeSeconds", &["0", "20"], &["21"]),
            ("VisibilityTimeout", &["0", "43200"], &["43201", "1.5"]),
            ("FifoQueue", &["true"], &["false", "yes"]),
            ("ContentBasedDeduplication", &["true", "false"], &["1"]),
            ("DeduplicationScope", &["queue", "messageGroup"], &["MESSAGEGROUP"]),
            ("FifoThroughputLimit", &["perQueue", "perMessageGroupId"], &["x"]),
            ("Policy", &["{}", ""], &["[]", "x"]),
            ("KmsDataKeyReusePeriodSeconds", &["60", "86400"], &["59", "86401"]),
            ("SqsManagedSseEnabled", &["true", "false"], &["on"]),
        ] {
            for value in good {
                assert!(check(map(&[(name, value)]), true).is_ok(), "{name}={value}");
            }
            for value in bad {
                let error = check(map(&[(name, value)]), true).unwrap_err();
                assert_eq!(error.kind, Kind::INVALID_ATTRIBUTE_VALUE, "{name}={value}");
            }
        }
    }

    #[test]
    fn names_belong_to_kinds_of_queues() {
        for name in ["QueueArn", "CreatedTimestamp", "Foo", "All"] {
            assert_eq!(check(map(&[(name, "1")]), true).unwrap_err(), SqsError::unknown_attribute(name));
        }
        for name in ["FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"] {
            let error = check(map(&[(name, "true")]), false).unwrap_err();
            assert_eq!(error.kind, Kind::INVALID_ATTRIBUTE_NAME, "{name}");
        }
    }

    #[test]
    fn one_kind_of_encryption_ends_the_other() {
        let all = effective(&map(&[]), false);
        assert_eq!(all["SqsManagedSseEnabled"], "true");
        assert!(!all.contains_key("FifoQueue") && !all.contains_key("Policy"));
        let with_key = merge(map(&[]), map(&[("KmsMasterKeyId", "k")])).unwrap();
        assert_eq!(effective(&with_key, false)["SqsManagedSseEnabled"], "false");
        let without = merge(with_key.clone(), map(&[("SqsManagedSseEnabled", "true")])).unwrap();
        assert!(!effective(&without, false).contains_key("KmsMasterKeyId"));
        let none = merge(with_key, map(&[("KmsMasterKeyId", "")])).unwrap();
        assert_eq!(effective(&none, false)["SqsManagedSseEnabled"], "true");
        assert!(merge(map(&[]), map(&[("KmsMasterKeyId", "k"), ("SqsManagedSseEnabled", "true")])).is_err());
    }

    #[test]
    fn a_queue_is_the_same_when_what_is_given_is_what_it_has() {
        let set = map(&[("DelaySeconds", "5")]);
        assert_eq!(first_difference(&set, &map(&[]), false), None);
        assert_eq!(
            first_difference(&set, &map(&[("DelaySeconds", "5"), ("VisibilityTimeout", "30")]), false),
            None
        );
        let other = map(&[("DelaySeconds", "5"), ("VisibilityTimeout", "31")]);
        assert_eq!(first_difference(&set, &other, false).as_deref(), Some("VisibilityTimeout"));
        assert_eq!(first_difference(&set, &map(&[("Policy", "{}")]), false).as_deref(), Some("Policy"));
    }
}
