//! Names, ARNs and URLs of queues.

use lambd_types::{AccountId, Partition, Region, Scope};

use crate::error::{Kind, SqsError};

/// What names of FIFO queues end with.
const FIFO: &str = ".fifo";

const LONGEST: usize = 80;

/// A name for a queue of that kind, checked.
pub(crate) fn check(name: &str, fifo: bool) -> Result<(), SqsError> {
    let stem = if fifo { name.strip_suffix(FIFO).unwrap_or_default() } else { name };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !stem.is_empty() && name.len() <= LONGEST && stem.bytes().all(allowed) {
        return Ok(());
    }
    Err(SqsError::invalid(if fifo {
        "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, \
         must end with .fifo suffix and be 1 to 80 in length"
    } else {
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
    }))
}

/// `arn:aws:sqs:REGION:ACCOUNT:NAME`
pub(crate) fn arn(scope: &Scope, name: &str) -> String {
    let partition = Partition::of(scope.region.as_str()).as_str();
    format!("arn:{partition}:sqs:{}:{}:{name}", scope.region, scope.account)
}

/// The queue that an ARN names; `None` if it is not one of a queue.
pub(crate) fn parse_arn(arn: &str) -> Option<(Scope, &str)> {
    let mut parts = arn.split(':');
    let [Some("arn"), Some(_), Some("sqs"), Some(region), Some(account), Some(name), None] =
        std::array::from_fn(|_| parts.next())
    else {
        return None;
    };
    let scope = Scope { account: AccountId::parse(account)?, region: Region::parse(region)? };
    (!name.is_empty()).then_some((scope, name))
}

/// The URL of a queue at the address that the client used.
pub(crate) fn url(host: &str, scope: &Scope, name: &str) -> String {
    format!("http://{host}/{}/{name}", scope.account)
}

/// Account and name in the path of a queue's URL, or in the whole of it.
pub(crate) fn parse_url(url: &str) -> Result<(AccountId, &str), SqsError> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => url.strip_prefix('/').unwrap_or_default(),
    };
    let mut segments = path.trim_end_matches('/').rsplit('/');
    let name = segments.next().filter(|name| !name.is_empty());
    let account = segments.next().and_then(AccountId::parse);
    account.zip(name).ok_or_else(|| {
        SqsError::new(Kind::INVALID_ADDRESS, format!("The address {url} is not valid for this endpoint."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_hyphens_and_underscores() {
        let longest = "a".repeat(80);
        for (name, fifo, good) in [
            ("a_B-9", false, true),
            (longest.as_str(), false, true),
            ("", false, false),
            ("a.fifo", false, false),
            ("ä", false, false),
            ("a.fifo", true, true),
            (".fifo", true, false),
            ("a", true, false),
        ] {
            assert_eq!(check(name, fifo).is_ok(), good, "{name}");
        }
        assert!(check(&"a".repeat(81), false).is_err());
        assert!(check(&format!("{}.fifo", "a".repeat(76)), true).is_err(), "the suffix counts");
    }

    #[test]
    fn urls_name_account_and_queue() {
        for url in
            ["http://h:1/123456789012/q", "/123456789012/q", "https://h/queue/eu-west-1/123456789012/q/"]
        {
            let (account, name) = parse_url(url).unwrap();
            assert_eq!((account.as_str(), name), ("123456789012", "q"), "{url}");
        }
        for url in ["q", "", "http://h", "http://h/q", "http://h/12/q", "http://h/123456789012/"] {
            assert_eq!(parse_url(url).unwrap_err().kind, Kind::INVALID_ADDRESS, "{url}");
        }
    }

    #[test]
    fn arns_round_trip() {
        let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
        let text = arn(&scope, "q.fifo");
        assert_eq!(text, "arn:aws:sqs:us-east-1:000000000000:q.fifo");
        assert_eq!(parse_arn(&text), Some((scope, "q.fifo")));
        for bad in [
            "",
            "arn:aws:sns:us-east-1:000000000000:q",
            "arn:aws:sqs:us-east-1:000000000000:q:r",
            "arn:aws:sqs:x:1:q",
        ] {
            assert_eq!(parse_arn(bad), None, "{bad}");
        }
    }
}
