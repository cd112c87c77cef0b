//! Requests of the Query protocol as the JSON that the other protocol would have sent.
//!
//! Lists are flat there: `AttributeName.1`, `Attribute.1.Name` and `Attribute.1.Value`,
//! `SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue`.

use std::collections::BTreeMap;

use lambd_http::protocol::query::Params;
use serde_json::{Map, Value};

use crate::error::{Kind, SqsError};

/// Members that are numbers.
const NUMBERS: [&str; 6] = [
    "DelaySeconds",
    "MaxNumberOfMessages",
    "MaxNumberOfMessagesPerSecond",
    "MaxResults",
    "VisibilityTimeout",
    "WaitTimeSeconds",
];

/// Lists of texts, with their names in JSON.
const LISTS: [(&str, &str); 6] = [
    ("AWSAccountId", "AWSAccountIds"),
    ("ActionName", "Actions"),
    ("AttributeName", "AttributeNames"),
    ("MessageAttributeName", "MessageAttributeNames"),
    ("MessageSystemAttributeName", "MessageSystemAttributeNames"),
    ("TagKey", "TagKeys"),
];

/// Maps, with their names in JSON and those of their keys.
const MAPS: [(&str, &str, &str); 4] = [
    ("Attribute", "Attributes", "Name"),
    ("MessageAttribute", "MessageAttributes", "Name"),
    ("MessageSystemAttribute", "MessageSystemAttributes", "Name"),
    ("Tag", "Tags", "Key"),
];

/// What a dotted name leads to.
#[derive(Debug, Default)]
struct Node {
    value: Option<String>,
    children: BTreeMap<String, Node>,
}

/// The input of a request.
pub(crate) fn to_json(params: &Params) -> Result<Value, SqsError> {
    let mut root = Node::default();
    for (name, value) in params.pairs() {
        let mut node = &mut root;
        // Some clients write lists as other services have them.
        for part in name.split('.').filter(|part| *part != "member") {
            node = node.children.entry(part.to_owned()).or_default();
        }
        node.value.get_or_insert_with(|| value.to_owned());
    }
    structure(root)
}

fn structure(node: Node) -> Result<Value, SqsError> {
    let mut members = Map::new();
    for (name, child) in node.children {
        let list = LISTS.iter().find(|(flat, _)| *flat == name);
        let map = MAPS.iter().find(|(flat, ..)| *flat == name);
        if let Some((_, json)) = list {
            let texts = in_order(child).into_iter().filter_map(|item| item.value.map(Value::from));
            members.insert((*json).to_owned(), texts.collect());
        } else if let Some((_, json, key)) = map {
            members.insert((*json).to_owned(), entries(child, key)?);
        } else if name.ends_with("BatchRequestEntry") {
            let items = in_order(child).into_iter().map(structure).collect::<Result<Vec<_>, _>>()?;
            members.insert("Entries".to_owned(), Value::from(items));
        } else if let Some(text) = child.value {
            let value =
                if NUMBERS.contains(&name.as_str()) { number(&name, &text)? } else { Value::from(text) };
            members.insert(name, value);
        }
    }
    Ok(Value::from(members))
}

fn entries(node: Node, key: &str) -> Result<Value, SqsError> {
    let mut map = Map::new();
    for mut item in in_order(node) {
        let Some(name) = item.children.remove(key).and_then(|node| node.value) else { continue };
        let Some(value) = item.children.remove("Value") else { continue };
        let value = match value.value {
            Some(text) => Value::from(text),
            None => structure(value)?,
        };
        map.insert(name, value);
    }
    Ok(Value::from(map))
}

fn number(name: &str, text: &str) -> Result<Value, SqsError> {
    let number = text.trim().parse::<i64>();
    let fault = |_| SqsError::new(Kind::MALFORMED, format!("The value of {name} is not a number: {text}"));
    number.map(Value::from).map_err(fault)
}

/// The items of a list by their numbers.
fn in_order(node: Node) -> Vec<Node> {
    let mut items: Vec<(u32, Node)> =
        node.children.into_iter().filter_map(|(index, item)| Some((index.parse().ok()?, item))).collect();
    items.sort_by_key(|(index, _)| *index);
    items.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(form: &str) -> Value {
        to_json(&Params::parse(form)).unwrap()
    }

    #[test]
    fn flat_lists_become_lists_and_maps() {
        assert_eq!(
            read(
                "Action=CreateQueue&QueueName=q&Attribute.2.Name=B&Attribute.2.Value=2&Attribute.1.Name=A\
                 &Attribute.1.Value=1&Tag.1.Key=k&Tag.1.Value=v"
            ),
            json!({"Action": "CreateQueue", "QueueName": "q", "Attributes": {"A": "1", "B": "2"}, "Tags": {"k": "v"}})
        );
        assert_eq!(
            read("AttributeName.10=c&AttributeName.2=b&AttributeName.1=a&MaxNumberOfMessages=3"),
            json!({"AttributeNames": ["a", "b", "c"], "MaxNumberOfMessages": 3})
        );
    }

    #[test]
    fn entries_of_batches_have_attributes_of_their_own() {
        let form = "SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.DelaySeconds=5\
            &SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=n\
            &SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue=v\
            &SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType=String";
        let attribute = json!({"n": {"StringValue": "v", "DataType": "String"}});
        assert_eq!(
            read(form),
            json!({"Entries": [{"Id": "a", "DelaySeconds": 5, "MessageAttributes": attribute}]})
        );
    }

    #[test]
    fn numbers_are_numbers() {
        let error = to_json(&Params::parse("WaitTimeSeconds=long")).unwrap_err();
        assert_eq!(error.kind, Kind::MALFORMED);
    }
}
