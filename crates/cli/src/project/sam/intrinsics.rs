//! CloudFormation's functions, as far as one machine knows their values.

use std::collections::BTreeMap;

use lambd_types::{FunctionName, Partition, Scope, function_arn};

use super::yaml::{Node, Value};

/// What a value of a template comes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Resolved {
    /// A text.
    Text(String),
    /// A stand-in for something that only a deployment in an account has, and why.
    StandIn(String, String),
    /// Nothing, and why.
    Unknown(String),
    /// `AWS::NoValue`: as if the property were not there.
    Absent,
}

/// What references can point at.
#[derive(Debug)]
pub(super) struct Names<'a> {
    pub(super) scope: &'a Scope,
    /// The name of the stack: that of the template's folder.
    pub(super) stack: String,
    /// Parameters and their defaults.
    pub(super) parameters: BTreeMap<String, Option<String>>,
    /// Resources and their types.
    pub(super) resources: BTreeMap<String, String>,
    /// Function names by logical id.
    pub(super) functions: BTreeMap<String, FunctionName>,
}

impl Names<'_> {
    /// The text that `node` stands for.
    pub(super) fn resolve(&self, node: &Node) -> Resolved {
        match &node.value {
            Value::Scalar(text) => Resolved::Text(text.clone()),
            Value::Mapping(entries) => match entries.as_slice() {
                [(name, argument)] => self.call(name, argument),
                _ => Resolved::Unknown("a mapping where a text is expected".into()),
            },
            Value::Sequence(_) => Resolved::Unknown("a list where a text is expected".into()),
        }
    }

    fn call(&self, function: &str, argument: &Node) -> Resolved {
        match (function, argument.text(), argument.items()) {
            ("Ref", Some(name), _) => self.reference(name),
            ("Fn::Sub", Some(pattern), _) => self.substitute(pattern, &[]),
            ("Fn::Sub", _, Some([pattern, variables])) => match pattern.text() {
                Some(pattern) => self.substitute(pattern, variables.entries()),
                None => malformed(function),
            },
            ("Fn::GetAtt", Some(path), _) => match path.split_once('.') {
                Some((resource, attribute)) => self.attribute(resource, attribute),
                None => malformed(function),
            },
            ("Fn::GetAtt", _, Some([resource, attribute])) => match (resource.text(), attribute.text()) {
                (Some(resource), Some(attribute)) => self.attribute(resource, attribute),
                _ => malformed(function),
            },
            ("Fn::Join", _, Some([separator, parts])) => match (separator.text(), parts.items()) {
                (Some(separator), Some(parts)) => self.join(separator, parts),
                _ => malformed(function),
            },
            ("Ref" | "Fn::Sub" | "Fn::GetAtt" | "Fn::Join", _, _) => malformed(function),
            (other, _, _) if other.starts_with("Fn::") => {
                Resolved::Unknown(format!("!{} is not resolved on this machine", &other[4..]))
            }
            _ => Resolved::Unknown("a mapping where a text is expected".into()),
        }
    }

    fn reference(&self, name: &str) -> Resolved {
        if let Some(value) = self.pseudo_parameter(name) {
            return value;
        }
        if let Some(default) = self.parameters.get(name) {
            return match default {
                Some(value) => Resolved::Text(value.clone()),
                None => Resolved::Unknown(format!("parameter {name} has no default")),
            };
        }
        if let Some(function) = self.functions.get(name) {
            return Resolved::Text(function.to_string());
        }
        match self.resources.get(name) {
            Some(kind) => Resolved::StandIn(
                name.to_owned(),
                format!("!Ref {name} is a {kind}, which is not created here"),
            ),
            None => Resolved::Unknown(format!("{name} is neither a parameter nor a resource")),
        }
    }

    fn pseudo_parameter(&self, name: &str) -> Option<Resolved> {
        let partition = Partition::of(self.scope.region.as_str()).as_str();
        let (account, region, stack) = (&self.scope.account, &self.scope.region, &self.stack);
        let text = match name.strip_prefix("AWS::")? {
            "AccountId" => account.to_string(),
            "Region" => region.to_string(),
            "Partition" => partition.to_owned(),
            "URLSuffix" if partition == "aws-cn" => "amazonaws.com.cn".to_owned(),
            "URLSuffix" => "amazonaws.com".to_owned(),
            "StackName" => stack.clone(),
            "StackId" => format!("arn:{partition}:cloudformation:{region}:{account}:stack/{stack}/local"),
            "NoValue" => return Some(Resolved::Absent),
            _ => return None,
        };
        Some(Resolved::Text(text))
    }

    fn attribute(&self, resource: &str, attribute: &str) -> Resolved {
        match (self.functions.get(resource), attribute) {
            (Some(name), "Arn") => Resolved::Text(function_arn(self.scope, name)),
            _ => {
                Resolved::Unknown(format!("!GetAtt {resource}.{attribute} is known only after a deployment"))
            }
        }
    }

    /// Replaces `${Name}` and `${Name.Attribute}`; `${!Name}` stands for `${Name}` itself.
    fn substitute(&self, pattern: &str, variables: &[(String, Node)]) -> Resolved {
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("${") {
            parts.push(Resolved::Text(before.to_owned()));
            let Some((name, behind)) = after.split_once('}') else {
                return Resolved::Unknown("!Sub has a ${ without its }".into());
            };
            parts.push(match name.strip_prefix('!') {
                Some(literal) => Resolved::Text(format!("${{{literal}}}")),
                None => self.variable(name.trim(), variables),
            });
            rest = behind;
        }
        parts.push(Resolved::Text(rest.to_owned()));
        concatenated(parts, "")
    }

    fn variable(&self, name: &str, variables: &[(String, Node)]) -> Resolved {
        if let Some((_, node)) = variables.iter().find(|(variable, _)| variable == name) {
            return self.resolve(node);
        }
        match name.split_once('.') {
            Some((resource, attribute)) => self.attribute(resource, attribute),
            None => self.reference(name),
        }
    }

    fn join(&self, separator: &str, parts: &[Node]) -> Resolved {
        concatenated(parts.iter().map(|part| self.resolve(part)).collect(), separator)
    }
}

fn malformed(function: &str) -> Resolved {
    Resolved::Unknown(format!("!{} is not written as it should be", function.trim_start_matches("Fn::")))
}

/// Texts in a row. One unknown part makes the whole unknown, one stand-in makes it a stand-in.
fn concatenated(parts: Vec<Resolved>, separator: &str) -> Resolved {
    let mut texts = Vec::new();
    let mut reasons = Vec::new();
    for part in parts {
        match part {
            Resolved::Text(text) => texts.push(text),
            Resolved::StandIn(text, reason) => {
                texts.push(text);
                reasons.push(reason);
            }
            Resolved::Unknown(reason) => return Resolved::Unknown(reason),
            Resolved::Absent => {}
        }
    }
    let text = texts.join(separator);
    if reasons.is_empty() { Resolved::Text(text) } else { Resolved::StandIn(text, reasons.join(", ")) }
}

#[cfg(test)]
mod tests {
    use lambd_types::{AccountId, Region};

    use super::super::yaml;
    use super::*;

    fn resolve(text: &str) -> Resolved {
        let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
        let names = Names {
            scope: &scope,
            stack: "shop".into(),
            parameters: [("Stage".into(), Some("dev".into())), ("Secret".into(), None)].into(),
            resources: [("Table".into(), "AWS::DynamoDB::Table".into())].into(),
            functions: [("Hello".into(), FunctionName::parse("hello").unwrap())].into(),
        };
        names.resolve(&yaml::parse(text).unwrap())
    }

    #[test]
    fn what_one_machine_knows_is_resolved() {
        for (text, expected) in [
            ("plain", "plain"),
            ("!Ref Stage", "dev"),
            ("Ref: Stage", "dev"),
            ("!Ref AWS::Region", "us-east-1"),
            ("!Ref Hello", "hello"),
            ("!Sub '${AWS::StackName}-${Stage}-${!Literal}'", "shop-dev-${Literal}"),
            ("!Sub ['${a}/${Stage}', {a: !Ref AWS::AccountId}]", "000000000000/dev"),
            ("!GetAtt Hello.Arn", "arn:aws:lambda:us-east-1:000000000000:function:hello"),
            ("!Sub '${Hello.Arn}'", "arn:aws:lambda:us-east-1:000000000000:function:hello"),
            ("!Join ['-', [a, !Ref Stage, !Ref AWS::NoValue]]", "a-dev"),
        ] {
            assert_eq!(resolve(text), Resolved::Text(expected.into()), "{text}");
        }
        assert_eq!(resolve("!Ref AWS::NoValue"), Resolved::Absent);
    }

    #[test]
    fn what_it_does_not_know_is_named() {
        for (text, part) in [
            ("!Ref Secret", "parameter Secret has no default"),
            ("!Ref Nothing", "Nothing is neither"),
            ("!Sub 'x-${Nothing}'", "Nothing is neither"),
            ("!Sub 'x-${Stage'", "without its }"),
            ("!GetAtt Table.StreamArn", "Table.StreamArn"),
            ("!ImportValue x", "!ImportValue"),
            ("!If [a, b, c]", "!If"),
            ("!Sub [a]", "!Sub is not written"),
            ("!GetAtt x", "!GetAtt is not written"),
            ("[a]", "a list"),
            ("{a: b, c: d}", "a mapping"),
        ] {
            match resolve(text) {
                Resolved::Unknown(reason) => assert!(reason.contains(part), "{text}: {reason}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(resolve("!Ref Table"), Resolved::StandIn(name, _) if name == "Table"));
        assert!(matches!(resolve("!Sub 'a-${Table}'"), Resolved::StandIn(name, _) if name == "a-Table"));
    }
}
