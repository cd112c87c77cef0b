//! Names of topics and subscriptions.

use std::fmt;

use lambd_types::{AccountId, Partition, Region, Scope};

/// What the name of every FIFO topic ends with.
pub(crate) const FIFO: &str = ".fifo";
/// Characters of a topic's name.
const MAX_NAME: usize = 256;

/// The ARN of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TopicArn {
    pub(crate) scope: Scope,
    pub(crate) name: String,
}

/// The ARN of a subscription: its topic's, and an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriptionArn {
    pub(crate) topic: TopicArn,
    pub(crate) uuid: String,
}

/// Whether a text can be the name of a topic, FIFO or not.
pub(crate) fn is_topic_name(name: &str) -> bool {
    let stem = name.strip_suffix(FIFO).unwrap_or(name);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !stem.is_empty() && name.len() <= MAX_NAME && stem.bytes().all(allowed)
}

impl TopicArn {
    /// `None` unless it is the ARN of a topic.
    pub(crate) fn parse(arn: &str) -> Option<Self> {
        let fields: Vec<&str> = arn.split(':').collect();
        let ["arn", _, "sns", region, account, name] = fields[..] else { return None };
        Self::of(region, account, name)
    }

    fn of(region: &str, account: &str, name: &str) -> Option<Self> {
        let scope = Scope { account: AccountId::parse(account)?, region: Region::parse(region)? };
        is_topic_name(name).then(|| Self { scope, name: name.to_owned() })
    }

    /// Whether it keeps the order of its groups.
    pub(crate) fn is_fifo(&self) -> bool {
        self.name.ends_with(FIFO)
    }
}

impl SubscriptionArn {
    /// `None` unless it is the ARN of a subscription.
    pub(crate) fn parse(arn: &str) -> Option<Self> {
        let fields: Vec<&str> = arn.split(':').collect();
        let ["arn", _, "sns", region, account, name, uuid] = fields[..] else { return None };
        Some(Self { topic: TopicArn::of(region, account, name)?, uuid: uuid.to_owned() })
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope { account, region } = &self.scope;
        let partition = Partition::of(region.as_str()).as_str();
        write!(f, "arn:{partition}:sns:{region}:{account}:{}", self.name)
    }
}

impl fmt::Display for SubscriptionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.topic, self.uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_pattern() {
        for good in ["a", "A-b_9", "orders.fifo", &"x".repeat(256)] {
            assert!(is_topic_name(good), "{good}");
        }
        for bad in ["", ".fifo", "a.b", "a b", "orders.fifo.fifo", "ä", &"x".repeat(257)] {
            assert!(!is_topic_name(bad), "{bad}");
        }
    }

    #[test]
    fn arns_are_read_and_written() {
        let text = "arn:aws:sns:eu-west-1:123456789012:orders.fifo";
        let arn = TopicArn::parse(text).unwrap();
        assert_eq!((arn.to_string().as_str(), arn.is_fifo()), (text, true));
        let subscription = SubscriptionArn::parse(&format!("{text}:uuid")).unwrap();
        assert_eq!((subscription.to_string(), subscription.topic), (format!("{text}:uuid"), arn));
        for bad in ["", "orders", "arn:aws:sqs:eu-west-1:123456789012:q", &format!("{text}:uuid")] {
            assert_eq!(TopicArn::parse(bad), None, "{bad}");
        }
    }
}
