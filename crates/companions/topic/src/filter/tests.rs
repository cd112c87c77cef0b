use super::*;

fn policy(text: &str, scope: FilterScope) -> FilterPolicy {
    FilterPolicy::parse(text, scope).unwrap_or_else(|error| panic!("{text}: {error}")).unwrap()
}

fn attribute(name: &str, data_type: &str, value: &str) -> Attribute {
    Attribute { name: name.into(), data_type: data_type.into(), value: value.into() }
}

/// The message that all rows of the first table are about.
fn order() -> Vec<Attribute> {
    vec![
        attribute("store", "String", "Example_Corp"),
        attribute("event", "String", "order-placed"),
        attribute("price", "Number", "210.75"),
        attribute("count", "Number", "3.0"),
        attribute("interests", "String.Array", r#"["soccer", "rugby", 7, true, null]"#),
        attribute("address", "String", "10.0.1.9"),
        attribute("six", "String", "fd00::17"),
        attribute("flag", "String", "true"),
        attribute("photo", "Binary", "AAEC"),
        attribute("odd", "String", "a*b\\c"),
    ]
}

#[test]
fn attributes_are_matched_as_sns_matches_them() {
    let rows = [
        // Texts
        (r#"{"store": ["Example_Corp"]}"#, true),
        (r#"{"store": ["example_corp"]}"#, false),
        (r#"{"store": ["a", "Example_Corp"]}"#, true),
        (r#"{"missing": ["Example_Corp"]}"#, false),
        (r#"{"store": ["Example_Corp"], "event": ["order-placed"]}"#, true),
        (r#"{"store": ["Example_Corp"], "event": ["order-cancelled"]}"#, false),
        (r#"{"store": [{"prefix": "Exam"}]}"#, true),
        (r#"{"store": [{"prefix": "exam"}]}"#, false),
        (r#"{"store": [{"prefix": ""}]}"#, true),
        (r#"{"price": [{"prefix": "2"}]}"#, false),
        (r#"{"store": [{"suffix": "_Corp"}]}"#, true),
        (r#"{"store": [{"suffix": "_corp"}]}"#, false),
        (r#"{"store": [{"equals-ignore-case": "EXAMPLE_corp"}]}"#, true),
        (r#"{"store": [{"equals-ignore-case": "example"}]}"#, false),
        (r#"{"missing": [{"equals-ignore-case": "x"}]}"#, false),
        // Wildcards
        (r#"{"store": [{"wildcard": "Ex*_C*p"}]}"#, true),
        (r#"{"store": [{"wildcard": "*"}]}"#, true),
        (r#"{"store": [{"wildcard": "Example_Corp"}]}"#, true),
        (r#"{"store": [{"wildcard": "Example_Corp*"}]}"#, true),
        (r#"{"store": [{"wildcard": "*Corp*s"}]}"#, false),
        (r#"{"store": [{"wildcard": "*p*p"}]}"#, true),
        (r#"{"store": [{"wildcard": "Example_Corp*p"}]}"#, false),
        (r#"{"odd": [{"wildcard": "a\\*b*"}]}"#, true),
        (r#"{"odd": [{"wildcard": "*\\\\c"}]}"#, true),
        (r#"{"event": [{"wildcard": "a\\*b*"}]}"#, false),
        // Anything but
        (r#"{"store": [{"anything-but": "other"}]}"#, true),
        (r#"{"store": [{"anything-but": ["other", "Example_Corp"]}]}"#, false),
        (r#"{"store": [{"anything-but": [5, 6]}]}"#, true),
        (r#"{"missing": [{"anything-but": "other"}]}"#, false),
        (r#"{"price": [{"anything-but": [100, 210.75]}]}"#, false),
        (r#"{"price": [{"anything-but": 100}]}"#, true),
        (r#"{"event": [{"anything-but": {"prefix": "order-"}}]}"#, false),
        (r#"{"event": [{"anything-but": {"prefix": "cart-"}}]}"#, true),
        (r#"{"event": [{"anything-but": {"suffix": "-placed"}}]}"#, false),
        (r#"{"event": [{"anything-but": {"suffix": ["-x", "-placed"]}}]}"#, false),
        (r#"{"event": [{"anything-but": {"wildcard": "*-pl*"}}]}"#, false),
        (r#"{"event": [{"anything-but": {"wildcard": "*-cancel*"}}]}"#, true),
        (r#"{"event": [{"anything-but": {"equals-ignore-case": ["ORDER-placed"]}}]}"#, false),
        // Numbers
        (r#"{"price": [210.75]}"#, true),
        (r#"{"price": ["210.75"]}"#, false),
        (r#"{"count": [3]}"#, true),
        (r#"{"flag": [true]}"#, false),
        (r#"{"price": [{"numeric": ["=", 210.75]}]}"#, true),
        (r#"{"price": [{"numeric": [">", 210.75]}]}"#, false),
        (r#"{"price": [{"numeric": [">=", 210.75]}]}"#, true),
        (r#"{"price": [{"numeric": ["<", 211]}]}"#, true),
        (r#"{"price": [{"numeric": ["<=", 210.75]}]}"#, true),
        (r#"{"price": [{"numeric": [">", 200, "<=", 210]}]}"#, false),
        (r#"{"price": [{"numeric": [">", 210, "<=", 211]}]}"#, true),
        (r#"{"price": [{"numeric": ["<", 100]}, {"numeric": [">", 200]}]}"#, true),
        (r#"{"store": [{"numeric": [">", 0]}]}"#, false),
        // Presence
        (r#"{"store": [{"exists": true}]}"#, true),
        (r#"{"store": [{"exists": false}]}"#, false),
        (r#"{"missing": [{"exists": true}]}"#, false),
        (r#"{"missing": [{"exists": false}]}"#, true),
        (r#"{"missing": ["x", {"exists": false}]}"#, true),
        (r#"{"photo": [{"exists": true}]}"#, false),
        (r#"{"photo": ["AAEC"]}"#, false),
        // Arrays: any element
        (r#"{"interests": ["rugby"]}"#, true),
        (r#"{"interests": ["hockey"]}"#, false),
        (r#"{"interests": [7]}"#, true),
        (r#"{"interests": [true]}"#, true),
        (r#"{"interests": [false]}"#, false),
        (r#"{"interests": [null]}"#, true),
        (r#"{"interests": [{"prefix": "so"}]}"#, true),
        (r#"{"interests": [{"anything-but": ["soccer"]}]}"#, true),
        (r#"{"interests": [{"numeric": [">", 8]}]}"#, false),
        (r#"{"interests": [{"exists": true}]}"#, true),
        // Addresses
        (r#"{"address": [{"cidr": "10.0.1.0/24"}]}"#, true),
        (r#"{"address": [{"cidr": "10.0.1.77/24"}]}"#, true),
        (r#"{"address": [{"cidr": "10.0.2.0/24"}]}"#, false),
        (r#"{"address": [{"cidr": "fd00::/64"}]}"#, false),
        (r#"{"six": [{"cidr": "fd00::/64"}]}"#, true),
        (r#"{"store": [{"cidr": "10.0.0.0/8"}]}"#, false),
        // Alternatives
        (r#"{"$or": [{"store": ["x"]}, {"price": [{"numeric": [">", 200]}]}]}"#, true),
        (r#"{"$or": [{"store": ["x"]}, {"price": [{"numeric": ["<", 200]}]}]}"#, false),
        (r#"{"event": ["x"], "$or": [{"store": ["Example_Corp"]}, {"price": [1]}]}"#, false),
        (r#"{"event": ["order-placed"], "$or": [{"store": ["Example_Corp"]}, {"price": [1]}]}"#, true),
        (r#"{"$or": [{"store": ["x"]}, {"$or": [{"price": [1]}, {"count": [3]}]}]}"#, true),
        (r#"{"$or": ["Example_Corp"]}"#, false),
    ];
    for (text, accepted) in rows {
        assert_eq!(policy(text, FilterScope::Attributes).accepts(&order(), "{}"), accepted, "{text}");
    }
}

#[test]
fn bodies_are_matched_as_sns_matches_them() {
    const BODY: &str = r#"{
        "store": "corp", "total": 12.5, "paid": true, "note": null, "tags": ["a", "b", ["c"]], "none": [],
        "customer": {"name": {"first": "Ada"}, "age": 36},
        "items": [{"sku": "x", "count": 1}, {"sku": "y", "count": 2}]
    }"#;
    let rows = [
        (r#"{"store": ["corp"]}"#, true),
        (r#"{"total": [12.5]}"#, true),
        (r#"{"paid": [true]}"#, true),
        (r#"{"paid": ["true"]}"#, false),
        (r#"{"note": [null]}"#, true),
        (r#"{"store": [null]}"#, false),
        (r#"{"note": [{"exists": true}]}"#, true),
        (r#"{"tags": ["b"]}"#, true),
        (r#"{"tags": ["c"]}"#, true),
        (r#"{"tags": ["d"]}"#, false),
        (r#"{"none": [{"exists": true}]}"#, true),
        (r#"{"customer": {"name": {"first": ["Ada"]}}}"#, true),
        (r#"{"customer": {"name": {"first": [{"prefix": "B"}]}}}"#, false),
        (r#"{"customer": {"name": {"first": ["Ada"]}, "age": [{"numeric": [">", 30]}]}}"#, true),
        (r#"{"customer": {"name": {"last": [{"exists": false}]}}}"#, true),
        (r#"{"missing": {"name": {"last": [{"exists": false}]}}}"#, true),
        (r#"{"missing": {"name": {"last": [{"exists": true}]}}}"#, false),
        (r#"{"customer": [{"exists": true}]}"#, false),
        (r#"{"customer": {"name": ["Ada"]}}"#, false),
        (r#"{"store": {"name": ["corp"]}}"#, false),
        (r#"{"items": {"sku": ["y"]}}"#, true),
        (r#"{"items": {"sku": ["y"], "count": [2]}}"#, true),
        (r#"{"items": {"sku": ["y"], "count": [1]}}"#, false),
        (r#"{"customer": {"$or": [{"age": [1]}, {"name": {"first": ["Ada"]}}]}}"#, true),
        (r#"{"customer": {"$or": [{"age": [1]}, {"name": {"first": ["Eve"]}}]}}"#, false),
    ];
    for (text, accepted) in rows {
        assert_eq!(policy(text, FilterScope::Body).accepts(&[], BODY), accepted, "{text}");
    }
    for body in ["", "text", "[1]", "\"corp\"", "{"] {
        assert!(!policy(r#"{"x": [{"exists": false}]}"#, FilterScope::Body).accepts(&[], body), "{body}");
    }
}

#[test]
fn the_empty_policy_lets_everything_pass() {
    assert_eq!(FilterPolicy::parse("{}", FilterScope::Attributes), Ok(None));
    assert_eq!(FilterPolicy::parse("{}", FilterScope::Body), Ok(None));
}

#[test]
fn policies_that_are_none_are_refused_with_their_reason() {
    use FilterScope::{Attributes, Body};
    let rows = [
        (Attributes, "", "failed to parse JSON. EOF while parsing a value at line 1 column 0"),
        (Attributes, "[]", "Filter policy must be an object"),
        (Attributes, r#"{"a": "x"}"#, r#""a" must be an object or an array"#),
        (Attributes, r#"{"a": []}"#, "Empty arrays are not allowed"),
        (Body, r#"{"a": {}}"#, "Empty objects are not allowed"),
        (Attributes, r#"{"a": [["x"]]}"#, "Match value must be String, number, true, false, or null"),
        (Attributes, r#"{"a": [{"starts": "x"}]}"#, "Unrecognized match type starts"),
        (Attributes, r#"{"a": [{}]}"#, "Only one key allowed in match expression"),
        (
            Attributes,
            r#"{"a": [{"prefix": "x", "suffix": "y"}]}"#,
            "Only one key allowed in match expression",
        ),
        (Attributes, r#"{"a": [{"prefix": 1}]}"#, "prefix match pattern must be a string"),
        (Attributes, r#"{"a": [{"exists": "yes"}]}"#, "exists match pattern must be either true or false."),
        (Attributes, r#"{"a": [{"numeric": 1}]}"#, "Value of numeric must be an array."),
        (Attributes, r#"{"a": [{"numeric": []}]}"#, "Empty arrays are not allowed"),
        (Attributes, r#"{"a": [{"numeric": ["<"]}]}"#, "Value of < must be numeric"),
        (Attributes, r#"{"a": [{"numeric": ["<", "1"]}]}"#, "Value of < must be numeric"),
        (Attributes, r#"{"a": [{"numeric": ["<>", 1]}]}"#, "Invalid member in numeric match: <>"),
        (Attributes, r#"{"a": [{"numeric": [1, 1]}]}"#, "Invalid member in numeric match: 1"),
        (Attributes, r#"{"a": [{"numeric": ["<", 1, ">", 0]}]}"#, "Too many elements in numeric expression"),
        (Attributes, r#"{"a": [{"numeric": [">", 1, ">", 0]}]}"#, "Invalid member in numeric match: >"),
        (Attributes, r#"{"a": [{"numeric": [">", 1, "<", 1]}]}"#, "Bottom must be less than top"),
        (
            Attributes,
            r#"{"a": [{"numeric": ["<", 1000000001]}]}"#,
            "Value of < must be between -1.0E9 and 1.0E9, inclusive",
        ),
        (
            Attributes,
            r#"{"a": [{"cidr": "10.0.0.0"}]}"#,
            "Malformed CIDR, one '/' required with a valid address and number of bits",
        ),
        (Attributes, r#"{"a": [{"wildcard": "a**b"}]}"#, "Consecutive wildcard characters at pos 1"),
        (Attributes, r#"{"a": [{"wildcard": "a\\b"}]}"#, "Invalid escape character at pos 1"),
        (
            Attributes,
            r#"{"a": [{"anything-but": true}]}"#,
            "Value of anything-but must be an array or single string/number value.",
        ),
        (Attributes, r#"{"a": [{"anything-but": []}]}"#, "Empty arrays are not allowed"),
        (Attributes, r#"{"a": [{"anything-but": {"numeric": 1}}]}"#, "Unrecognized match type numeric"),
        (
            Attributes,
            r#"{"a": {"b": ["x"]}}"#,
            "Filter policy scope MessageAttributes does not support nested filter policy",
        ),
        (
            Attributes,
            r#"{"a": [1], "b": [1], "c": [1], "d": [1], "e": [1], "f": [1]}"#,
            "Filter policy can not have more than 5 keys",
        ),
    ];
    for (scope, text, expected) in rows {
        let error = FilterPolicy::parse(text, scope).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn policies_have_at_most_150_combinations() {
    let list = |count: usize| serde_json::to_string(&(0..count).collect::<Vec<_>>()).unwrap();
    let parsed = |text: String, scope| FilterPolicy::parse(&text, scope).map(drop);
    let attributes = |a, b| format!("{{\"a\": {}, \"b\": {}}}", list(a), list(b));
    assert_eq!(parsed(attributes(15, 10), FilterScope::Attributes), Ok(()));
    assert_eq!(parsed(attributes(151, 1), FilterScope::Attributes), Err(FilterError::TooComplex));
    assert_eq!(parsed(attributes(16, 10), FilterScope::Attributes), Err(FilterError::TooComplex));
    // Each value counts as many times as it is deep: 25 * 2 * 3, 26 * 2 * 3.
    let nested = |a| format!("{{\"x\": {{\"a\": {}}}, \"b\": {}}}", list(a), list(3));
    assert_eq!(parsed(nested(25), FilterScope::Body), Ok(()));
    assert_eq!(parsed(nested(26), FilterScope::Body), Err(FilterError::TooComplex));
    let either = |a| format!("{{\"$or\": [{{\"a\": {}}}, {{\"b\": {}}}]}}", list(a), list(75));
    assert_eq!(parsed(either(75), FilterScope::Attributes), Ok(()));
    assert_eq!(parsed(either(76), FilterScope::Attributes), Err(FilterError::TooComplex));
    let stars = |count: usize| {
        let each: Vec<_> = (0..count).map(|i| format!("{{\"wildcard\": \"*a{i}*\"}}")).collect();
        format!("{{\"a\": [{}]}}", each.join(","))
    };
    assert_eq!(parsed(stars(33), FilterScope::Attributes), Ok(()));
    assert_eq!(parsed(stars(34), FilterScope::Attributes), Err(FilterError::TooComplex));
}
