//! SAM templates: the functions in them, and a word about everything else.

mod function;
mod intrinsics;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;

use lambd_types::{FunctionName, Scope};

use super::{Problem, Project};
use function::Reader;
use intrinsics::{Names, Resolved};
use yaml::Node;

/// The names that `sam` looks for, and JSON's.
pub(super) const TEMPLATES: [&str; 3] = ["template.yaml", "template.yml", "template.json"];

const FUNCTION: &str = "AWS::Serverless::Function";

/// Adds the functions of the template at `path` to `project`. A template of something else than
/// serverless functions is none of our business.
pub(super) fn read(path: &Path, scope: &Scope, project: &mut Project) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => return project.problems.push(Problem::new(path, None, format!("cannot read: {e}"))),
    };
    if text.contains(FUNCTION) {
        parse(path, &text, scope, project);
    }
}

fn parse(path: &Path, text: &str, scope: &Scope, project: &mut Project) {
    let template = match yaml::parse(text) {
        Ok(template) => template,
        Err(e) => return project.problems.push(Problem::new(path, Some(e.line), e.message)),
    };
    let resources = template.get("Resources").map(Node::entries).unwrap_or_default();
    let functions: Vec<&(String, Node)> = resources.iter().filter(|(_, r)| kind(r) == FUNCTION).collect();
    let names = names(path, &template, resources, scope);

    warn_of_other_resources(path, resources, project);
    let globals = template.get("Globals").and_then(|globals| globals.get("Function"));
    let mut reader = Reader::new(path, &names, globals);
    for (id, resource) in functions {
        match reader.function(id, resource) {
            Ok(function) => project.functions.push(function),
            Err(problem) => project.problems.push(problem),
        }
    }
    project.warnings.extend(reader.into_warnings());
}

fn kind(resource: &Node) -> &str {
    resource.get("Type").and_then(Node::text).unwrap_or_default()
}

/// Everything that `!Ref` and its like can name.
fn names<'a>(path: &Path, template: &Node, resources: &[(String, Node)], scope: &'a Scope) -> Names<'a> {
    let stack = path.parent().and_then(|dir| dir.canonicalize().ok());
    let stack = stack.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let parameters = template.get("Parameters").map(Node::entries).unwrap_or_default();
    let default = |parameter: &Node| {
        // The default of a parameter from the parameter store is the name of a value, not the value.
        let stored = kind(parameter).starts_with("AWS::SSM::Parameter::Value");
        parameter.get("Default").filter(|_| !stored).and_then(Node::text).map(ToOwned::to_owned)
    };
    let mut names = Names {
        scope,
        stack: stack.unwrap_or_else(|| "stack".into()),
        parameters: parameters.iter().map(|(name, node)| (name.clone(), default(node))).collect(),
        resources: resources.iter().map(|(id, node)| (id.clone(), kind(node).to_owned())).collect(),
        functions: BTreeMap::new(),
    };
    for (id, resource) in resources.iter().filter(|(_, resource)| kind(resource) == FUNCTION) {
        let given = resource.get("Properties").and_then(|p| p.get("FunctionName"));
        let name = match given.map(|node| names.resolve(node)) {
            Some(Resolved::Text(name) | Resolved::StandIn(name, _)) => FunctionName::parse(&name),
            Some(Resolved::Unknown(_) | Resolved::Absent) | None => FunctionName::parse(id),
        };
        // A name that is none is reported where the function is read.
        if let Ok(name) = name {
            names.functions.insert(id.clone(), name);
        }
    }
    names
}

fn warn_of_other_resources(path: &Path, resources: &[(String, Node)], project: &mut Project) {
    let mut others: BTreeMap<&str, Vec<&(String, Node)>> = BTreeMap::new();
    for resource in resources.iter().filter(|(_, resource)| kind(resource) != FUNCTION) {
        others.entry(kind(&resource.1)).or_default().push(resource);
    }
    for (kind, resources) in others {
        let ids: Vec<&str> = resources.iter().map(|(id, _)| id.as_str()).collect();
        let kind = if kind.is_empty() { "a resource without Type" } else { kind };
        let message = format!("{kind} is not created here ({})", ids.join(", "));
        project.warnings.push(Problem::new(path, resources.first().map(|(_, node)| node.line), message));
    }
}

#[cfg(test)]
mod tests;
