//! Properties of the parsers of names, qualifiers and ARNs: whatever the text, they accept what the patterns of the
//! API accept, refuse the rest, and lose nothing of what they accept.

use lambd_types::{
    AccountId, AliasName, FunctionName, FunctionRef, Qualifier, Region, Scope, Version, function_arn,
};
use proptest::prelude::*;

/// Texts near the border: what names are made of, and what they are not.
fn nearly() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9_:$-]{0,80}",
        "(arn:aws:lambda:)?([a-z]{2}-[a-z]{4}-[0-9]:)?([0-9]{11,13}:)?(function:)?[a-z0-9:$._-]{0,70}",
        "\\PC{0,20}",
        any::<String>(),
    ]
}

fn region() -> impl Strategy<Value = String> {
    "[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]{1,10}-[0-9]"
}

/// A qualifier and its text. A number may be as large as a version can be.
fn qualifier() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("$LATEST".to_owned()),
        any::<u64>().prop_map(|number| number.to_string()),
        "[0-9_-]{0,60}[a-zA-Z_-][a-zA-Z0-9_-]{0,60}",
    ]
}

fn word(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// API-050: `[a-zA-Z0-9-_]{1,64}`, and nothing else.
    #[test]
    fn names(text in nearly()) {
        let parsed = FunctionName::parse(&text);
        prop_assert_eq!(parsed.is_ok(), word(&text, 64));
        if let Ok(name) = parsed {
            prop_assert_eq!(name.to_string(), text);
        }
    }

    /// API-054: `(?!^[0-9]+$)([a-zA-Z0-9-_]{1,128})`.
    #[test]
    fn aliases(text in nearly()) {
        let digits = text.chars().all(|c| c.is_ascii_digit());
        let parsed = AliasName::parse(&text);
        prop_assert_eq!(parsed.is_ok(), word(&text, 128) && !digits);
        if let Ok(alias) = parsed {
            prop_assert_eq!(alias.to_string(), text);
        }
    }

    /// API-052, API-053: a qualifier is `$LATEST`, a number, or an alias; what it shows is read as the same.
    #[test]
    fn qualifiers(text in prop_oneof![qualifier(), nearly()]) {
        let version = Version::parse(&text);
        match Qualifier::parse(&text) {
            Ok(Qualifier::Version(found)) => {
                prop_assert_eq!(version, Some(found));
                prop_assert_eq!(Qualifier::parse(&found.to_string()), Ok(Qualifier::Version(found)));
            }
            Ok(Qualifier::Alias(alias)) => {
                prop_assert_eq!(version, None);
                prop_assert_eq!(alias.to_string(), text);
            }
            Err(_) => {
                let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
                prop_assert!(!word(&text, 128) || digits && text.parse::<u64>().is_err(), "{text}");
            }
        }
    }

    /// API-004, API-005: the same function in each form, with and without a qualifier.
    #[test]
    fn every_form_means_the_same(
        name in "[a-zA-Z0-9_-]{1,64}", account in "[0-9]{12}", region in region(), partition in "aws(-[a-z]{1,6})?",
        qualifier in proptest::option::of(qualifier()),
    ) {
        let suffix = qualifier.as_ref().map(|q| format!(":{q}")).unwrap_or_default();
        let expected = qualifier.as_ref().map(|q| Qualifier::parse(q).unwrap());
        let account_id = AccountId::parse(&account);
        let region_name = Region::parse(&region);
        prop_assert!(account_id.is_some() && region_name.is_some());
        for (text, has_account, has_region) in [
            (format!("{name}{suffix}"), false, false),
            (format!("function:{name}{suffix}"), false, false),
            (format!("{account}:function:{name}{suffix}"), true, false),
            (format!("arn:{partition}:lambda:{region}:{account}:function:{name}{suffix}"), true, true),
        ] {
            // The prefix alone is taken for one, not for a name.
            if name == "function" && text.starts_with("function:") && !text.starts_with("function:function") {
                continue;
            }
            let parsed = FunctionRef::parse(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
            prop_assert_eq!(parsed.name.as_str(), &name, "{}", text);
            prop_assert_eq!(&parsed.qualifier, &expected, "{}", text);
            prop_assert_eq!(parsed.account, account_id.clone().filter(|_| has_account), "{}", text);
            prop_assert_eq!(parsed.region, region_name.clone().filter(|_| has_region), "{}", text);
        }
    }

    /// API-055: an ARN that lambd gives out is one that it takes.
    #[test]
    fn given_arns_come_back(name in "[a-zA-Z0-9_-]{1,64}", account in "[0-9]{12}", region in region()) {
        let scope = Scope { account: AccountId::parse(&account).unwrap(), region: Region::parse(&region).unwrap() };
        let name = FunctionName::parse(&name).unwrap();
        let parsed = FunctionRef::parse(&function_arn(&scope, &name)).unwrap();
        prop_assert_eq!(parsed, FunctionRef { name, account: Some(scope.account), region: Some(scope.region), qualifier: None });
    }

    /// Any text at all: no panic, and what is accepted consists of parts of the text.
    #[test]
    fn any_text(text in nearly()) {
        if let Ok(parsed) = FunctionRef::parse(&text) {
            prop_assert!(text.contains(parsed.name.as_str()));
            prop_assert!(parsed.account.is_none_or(|account| text.contains(account.as_str())));
            prop_assert!(parsed.region.is_none_or(|region| text.contains(region.as_str())));
            prop_assert!(text.is_ascii());
        }
    }

    /// API-622: regions and accounts.
    #[test]
    fn regions_and_accounts(text in prop_oneof![region(), nearly()]) {
        prop_assert_eq!(
            AccountId::parse(&text).is_some(),
            text.len() == 12 && text.chars().all(|c| c.is_ascii_digit())
        );
        if let Some(region) = Region::parse(&text) {
            prop_assert_eq!(region.as_str(), &text);
            prop_assert!(text.ends_with(|c: char| c.is_ascii_digit()));
            prop_assert!(text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        }
    }
}
