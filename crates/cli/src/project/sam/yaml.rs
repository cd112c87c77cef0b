//! YAML and JSON as a tree that knows its lines, with CloudFormation's short tags written out.
//!
//! `!Ref X` becomes `{Ref: X}` and `!Sub X` becomes `{Fn::Sub: X}`, so that what follows knows one form
//! only.

use saphyr_parser::{Event, Parser, Tag};

/// A value and the line where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar(String),
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

/// Why a text is no tree, and where.
#[derive(Debug, PartialEq)]
pub(super) struct YamlError {
    pub(super) line: usize,
    pub(super) message: String,
}

/// Deeper than any template, and larger: a mistake, or aliases of aliases.
const MAX_DEPTH: usize = 64;
/// Counted once for each level that a node is nested in.
const MAX_NODES: usize = 500_000;

impl Node {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a mapping; of anything else, none.
    pub(super) fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) => 0,
            Value::Sequence(items) => items.iter().map(Self::size).sum(),
            Value::Mapping(entries) => entries.iter().map(|(_, node)| node.size()).sum(),
        }
    }
}

/// Parses the first document of `text`.
pub(super) fn parse(text: &str) -> Result<Node, YamlError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|e| YamlError { line: e.marker().line(), message: e.info().to_owned() })?;
        let line = span.start.line();
        builder.event(event, line).map_err(|message| YamlError { line, message })?;
        if let Some(done) = builder.done.take() {
            return Ok(done);
        }
    }
    Err(YamlError { line: 1, message: "the file is empty".into() })
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: std::collections::HashMap<usize, Node>,
    nodes: usize,
    done: Option<Node>,
}

/// A sequence or mapping whose end has not come.
struct Open {
    line: usize,
    anchor: usize,
    tag: Option<String>,
    value: Value,
    /// The key of a mapping whose value comes next.
    key: Option<String>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        match event {
            Event::Scalar(text, _, anchor, tag) => {
                let node = Node { line, value: Value::Scalar(text.into_owned()) };
                self.close(node, anchor, tag.and_then(|tag| intrinsic(&tag)))
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(line, anchor, tag.as_deref(), Value::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.open(line, anchor, tag.as_deref(), Value::Mapping(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.close(Node { line: open.line, value: open.value }, open.anchor, open.tag),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().ok_or("an alias inside its own anchor")?;
                self.close(node, 0, None)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(&mut self, line: usize, anchor: usize, tag: Option<&Tag>, value: Value) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.open.push(Open { line, anchor, tag: tag.and_then(intrinsic), value, key: None });
        Ok(())
    }

    fn close(&mut self, node: Node, anchor: usize, tag: Option<String>) -> Result<(), String> {
        let node = match tag {
            Some(function) => tagged(node, function),
            None => node,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        // An alias adds everything that its anchor holds.
        self.nodes += node.size();
        if self.nodes > MAX_NODES {
            return Err("too large for a template".into());
        }
        let Some(parent) = self.open.last_mut() else {
            self.done = Some(node);
            return Ok(());
        };
        match &mut parent.value {
            Value::Sequence(items) => items.push(node),
            Value::Mapping(entries) => match parent.key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let key = node.text().ok_or("a key must be a text")?.to_owned();
                    if entries.iter().any(|(name, _)| *name == key) {
                        return Err(format!("{key} is there twice"));
                    }
                    parent.key = Some(key);
                }
            },
            Value::Scalar(_) => {}
        }
        Ok(())
    }
}

/// The long name of the function that a tag calls; `None` for YAML's own tags.
fn intrinsic(tag: &Tag) -> Option<String> {
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("!", "Ref") => Some("Ref".into()),
        ("!", "Condition") => Some("Condition".into()),
        ("!", name) if !name.is_empty() => Some(format!("Fn::{name}")),
        _ => None,
    }
}

fn tagged(node: Node, function: String) -> Node {
    Node { line: node.line, value: Value::Mapping(vec![(function, node)]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_written_out() {
        let short = parse("a: !Ref X\nb: !Sub '${X}'\nc: !Join ['-', [a, !Ref B]]").unwrap();
        let long =
            parse("a: {Ref: X}\nb: {'Fn::Sub': '${X}'}\nc: {'Fn::Join': ['-', [a, {Ref: B}]]}").unwrap();
        assert_eq!(short, long);
        assert_eq!(short.get("b").unwrap().line, 2);
    }

    #[test]
    fn json_is_yaml() {
        let json = parse("{\n  \"a\": {\"b\": [1, true, null, \"x\\ny\"]}\n}").unwrap();
        let items = json.get("a").unwrap().get("b").unwrap().items().unwrap();
        assert_eq!(items.iter().filter_map(Node::text).collect::<Vec<_>>(), ["1", "true", "null", "x\ny"]);
    }

    #[test]
    fn anchors_are_copied() {
        let tree = parse("a: &x {k: v}\nb: *x").unwrap();
        assert_eq!(tree.get("b").unwrap().get("k").unwrap().text(), Some("v"));
    }

    #[test]
    fn mistakes_name_the_line() {
        for (text, line) in [("a: [1", 1), ("a: 1\na: 2", 2), ("a: 1\nb: @x", 2), ("? [k]\n: v", 1), ("", 1)]
        {
            let error = parse(text).expect_err(text);
            assert!(error.line >= line && error.line <= line + 1, "{text:?}: {error:?}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let list = vec![format!("*a{}", i - 1); 9].join(", ");
            bomb += &format!("a{i}: &a{i} [{list}]\n");
        }
        assert!(parse(&bomb).unwrap_err().message.contains("too large"));
    }
}
