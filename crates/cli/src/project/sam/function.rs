//! One `AWS::Serverless::Function`, with what `Globals` says about all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lambd_types::{FunctionName, MemorySize, OutOfRange, Timeout};

use super::intrinsics::{Names, Resolved};
use super::yaml::{Node, Value};
use crate::project::{Code, FunctionSpec, Problem};

/// Reads the functions of one template and gathers what has no effect.
pub(super) struct Reader<'a> {
    path: &'a Path,
    names: &'a Names<'a>,
    globals: Option<&'a Node>,
    warnings: Vec<Problem>,
    /// Properties without effect, each with its first line and the functions that have it.
    ignored: BTreeMap<String, (usize, Vec<String>)>,
}

/// The properties of one function: its own before those of `Globals`.
struct Properties<'a> {
    id: &'a str,
    line: usize,
    own: Option<&'a Node>,
    globals: Option<&'a Node>,
}

impl<'a> Properties<'a> {
    fn get(&self, name: &str) -> Option<&'a Node> {
        self.own.and_then(|own| own.get(name)).or_else(|| self.globals.and_then(|globals| globals.get(name)))
    }

    /// Own and global entries by name, own ones winning.
    fn merged(&self, section: fn(&Node) -> &[(String, Node)]) -> BTreeMap<&'a str, &'a Node> {
        let both = self.globals.into_iter().chain(self.own);
        both.flat_map(section).map(|(name, node)| (name.as_str(), node)).collect()
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(path: &'a Path, names: &'a Names<'a>, globals: Option<&'a Node>) -> Self {
        Self { path, names, globals, warnings: Vec::new(), ignored: BTreeMap::new() }
    }

    pub(super) fn function(&mut self, id: &str, resource: &Node) -> Result<FunctionSpec, Problem> {
        let properties =
            Properties { id, line: resource.line, own: resource.get("Properties"), globals: self.globals };
        self.note_ignored(&properties, resource);

        if self.text(&properties, "PackageType")?.is_some_and(|kind| kind != "Zip") {
            return Err(self.problem(&properties, "container images cannot be run; use PackageType: Zip"));
        }
        let runtime = self.required(&properties, "Runtime", "such as python3.12")?;
        let handler = match self.text(&properties, "Handler")? {
            Some(handler) => handler,
            None if runtime.starts_with("provided") => "bootstrap".to_owned(),
            None => return Err(self.problem(&properties, "Handler is missing")),
        };
        Ok(FunctionSpec {
            name: self.name(&properties)?,
            code: self.code(&properties, &runtime, &handler)?,
            runtime,
            handler,
            description: self.text(&properties, "Description")?.unwrap_or_default(),
            memory: self.number(&properties, "MemorySize", MemorySize::new)?,
            timeout: self.number(&properties, "Timeout", Timeout::new)?,
            environment: self.texts(&properties, "variable", variables_of),
            tags: self.texts(&properties, "tag", tags_of),
            source: self.path.to_owned(),
        })
    }

    /// One warning for each property without effect, whatever the number of functions that have it.
    pub(super) fn into_warnings(self) -> Vec<Problem> {
        let path = self.path;
        let ignored = self.ignored.into_iter().map(|(property, (line, functions))| {
            let message =
                format!("{property} has no effect here ({}){}", functions.join(", "), advice(&property));
            Problem::new(path, Some(line), message)
        });
        self.warnings.into_iter().chain(ignored).collect()
    }

    fn note_ignored(&mut self, properties: &Properties<'_>, resource: &Node) {
        let attributes =
            resource.entries().iter().filter(|(name, _)| matches!(name.as_str(), "Condition" | "Metadata"));
        let attributes = attributes.map(|(name, node)| (name.as_str(), node));
        for (name, node) in properties.merged(Node::entries).into_iter().chain(attributes) {
            if !has_effect(name, node) {
                let (_, functions) =
                    self.ignored.entry(name.to_owned()).or_insert_with(|| (node.line, Vec::new()));
                functions.push(properties.id.to_owned());
            }
        }
    }

    fn problem(&self, properties: &Properties<'_>, message: &str) -> Problem {
        Problem::new(self.path, Some(properties.line), format!("{}: {message}", properties.id))
    }

    fn warn(&mut self, properties: &Properties<'_>, line: usize, message: &str) {
        self.warnings.push(Problem::new(self.path, Some(line), format!("{}: {message}", properties.id)));
    }

    /// A property that must be known for the function to run at all.
    fn text(&self, properties: &Properties<'_>, name: &str) -> Result<Option<String>, Problem> {
        let Some(node) = properties.get(name) else { return Ok(None) };
        match self.names.resolve(node) {
            Resolved::Text(text) => Ok(Some(text)),
            Resolved::Absent => Ok(None),
            Resolved::StandIn(_, reason) | Resolved::Unknown(reason) => {
                Err(Problem::new(self.path, Some(node.line), format!("{}: {name}: {reason}", properties.id)))
            }
        }
    }

    fn required(&self, properties: &Properties<'_>, name: &str, example: &str) -> Result<String, Problem> {
        let text = self.text(properties, name)?;
        text.ok_or_else(|| self.problem(properties, &format!("{name} is missing ({example})")))
    }

    fn number<T: Default>(
        &self,
        properties: &Properties<'_>,
        name: &str,
        check: fn(i64) -> Result<T, OutOfRange>,
    ) -> Result<T, Problem> {
        let Some(text) = self.text(properties, name)? else { return Ok(T::default()) };
        let line = properties.get(name).map(|node| node.line);
        let problem =
            |what: String| Problem::new(self.path, line, format!("{}: {name}: {what}", properties.id));
        let number = text.parse().map_err(|_| problem(format!("{text:?} is not a whole number")))?;
        check(number).map_err(|e| problem(e.to_string()))
    }

    fn name(&mut self, properties: &Properties<'_>) -> Result<FunctionName, Problem> {
        if let Some(node) = properties.get("FunctionName") {
            match self.names.resolve(node) {
                Resolved::Text(_) | Resolved::Absent => {}
                Resolved::StandIn(name, reason) => {
                    self.warn(properties, node.line, &format!("FunctionName: {reason}; it is named {name}"));
                }
                Resolved::Unknown(reason) => {
                    self.warn(
                        properties,
                        node.line,
                        &format!("FunctionName: {reason}; it is named {}", properties.id),
                    );
                }
            }
        }
        let name = self.names.functions.get(properties.id).cloned();
        name.ok_or_else(|| self.problem(properties, "FunctionName must be up to 64 letters, digits, - and _"))
    }

    /// Names and texts of a section; `what` calls each of them in warnings.
    fn texts(
        &mut self,
        properties: &Properties<'_>,
        what: &str,
        section: fn(&Node) -> &[(String, Node)],
    ) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        for (key, value) in properties.merged(section) {
            match self.names.resolve(value) {
                Resolved::Text(text) => drop(texts.insert(key.to_owned(), text)),
                Resolved::StandIn(text, reason) => {
                    self.warn(properties, value.line, &format!("{what} {key} is {text:?}: {reason}"));
                    texts.insert(key.to_owned(), text);
                }
                Resolved::Unknown(reason) => {
                    self.warn(properties, value.line, &format!("{what} {key} is left out: {reason}"));
                }
                Resolved::Absent => {}
            }
        }
        texts
    }

    fn code(&self, properties: &Properties<'_>, runtime: &str, handler: &str) -> Result<Code, Problem> {
        if let Some(text) = self.text(properties, "InlineCode")? {
            return Ok(Code::Inline { file: inline_file(runtime, handler), text });
        }
        let uri = match properties.get("CodeUri") {
            Some(Node { value: Value::Mapping(entries), .. })
                if entries.iter().any(|(key, _)| key == "Bucket") =>
            {
                return Err(self.problem(properties, "CodeUri names a bucket; name a folder of this machine"));
            }
            _ => self.text(properties, "CodeUri")?.unwrap_or_else(|| ".".to_owned()),
        };
        if uri.contains("://") {
            return Err(
                self.problem(properties, &format!("CodeUri {uri} is remote; name a folder of this machine"))
            );
        }
        let base = self.path.parent().unwrap_or(Path::new("."));
        let code: PathBuf = base.join(&uri).components().collect();
        if code.is_dir() {
            Ok(Code::Folder { root: code.clone(), package: code, build: None })
        } else if code.is_file() {
            Ok(Code::Archive(code))
        } else {
            Err(self.problem(properties, &format!("CodeUri {uri} does not exist")))
        }
    }
}

/// Whether `lambd dev` does what the property says.
fn has_effect(name: &str, value: &Node) -> bool {
    match name {
        "CodeUri" | "InlineCode" | "Handler" | "Runtime" | "MemorySize" | "Timeout" | "FunctionName"
        | "Description" | "PackageType" | "Tags" => true,
        "Environment" => value.entries().iter().all(|(key, _)| key == "Variables"),
        "Architectures" => {
            let this = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
            value.items().is_some_and(|items| items.iter().all(|item| item.text() == Some(this)))
        }
        _ => false,
    }
}

fn variables_of(properties: &Node) -> &[(String, Node)] {
    let variables = properties.get("Environment").and_then(|environment| environment.get("Variables"));
    variables.map(Node::entries).unwrap_or_default()
}

fn tags_of(properties: &Node) -> &[(String, Node)] {
    properties.get("Tags").map(Node::entries).unwrap_or_default()
}

fn advice(property: &str) -> &'static str {
    match property {
        "Events" => "; call the function with `lambd invoke`",
        "Policies" | "Role" => "; functions here call AWS with the rights of the role lambd-dev",
        "Metadata" => "; packages are not installed, run `sam build` or pip and npm yourself",
        "Architectures" => "; functions run on this machine's processor",
        "Condition" => "; the function is always deployed",
        _ => "",
    }
}

/// The file that the handler's module is in: `index.handler` is in `index.py` or `index.js`.
fn inline_file(runtime: &str, handler: &str) -> String {
    let module = handler.split('.').next().filter(|module| !module.is_empty()).unwrap_or("index");
    let extension = match runtime {
        _ if runtime.starts_with("python") => "py",
        _ if runtime.starts_with("ruby") => "rb",
        _ => "js",
    };
    format!("{module}.{extension}")
}
