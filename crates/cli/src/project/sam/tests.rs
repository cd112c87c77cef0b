use std::fs;
use std::path::Path;

use lambd_types::{AccountId, Region, Scope};

use super::*;
use crate::project::Code;

fn read_text(dir: &Path, text: &str) -> Project {
    let scope = Scope { account: AccountId::default_local(), region: Region::default_local() };
    let mut project = Project::default();
    parse(&dir.join("template.yaml"), text, &scope, &mut project);
    project
}

fn texts(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("{}: {}\n", p.line.unwrap_or(0), p.message)).collect()
}

const TEMPLATE: &str = "\
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
  Key: {Type: String}
Globals:
  Function:
    Runtime: python3.12
    Timeout: 10
    Environment:
      Variables: {STAGE: !Ref Stage, LEVEL: info}
Resources:
  Table: {Type: 'AWS::DynamoDB::Table'}
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub '${Stage}-hello'
      CodeUri: hello/
      Handler: app.handler
      MemorySize: 256
      Environment:
        Variables: {LEVEL: debug, TABLE: !Ref Table, KEY: !Ref Key, COUNT: 3}
      Events: {Api: {Type: Api}}
      Policies: []
  Inline:
    Type: AWS::Serverless::Function
    Properties:
      Handler: index.handler
      Runtime: nodejs22.x
      InlineCode: |
        exports.handler = async () => 1;
      Events: {Timer: {Type: Schedule}}
";

#[test]
fn functions_are_read_with_globals_and_parameters() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("hello")).unwrap();
    let project = read_text(dir.path(), TEMPLATE);
    assert_eq!(texts(&project.problems), "");

    let [hello, inline] = project.functions.as_slice() else { panic!("{:?}", project.functions) };
    assert_eq!((hello.name.as_str(), hello.runtime.as_str()), ("dev-hello", "python3.12"));
    assert_eq!((hello.memory.get(), hello.timeout.get()), (256, 10));
    let variables: Vec<_> = hello.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(variables.join(" "), "COUNT=3 LEVEL=debug STAGE=dev TABLE=Table");
    assert_eq!(hello.code.watched(), Some(dir.path().join("hello").as_path()));

    assert_eq!((inline.name.as_str(), inline.runtime.as_str()), ("Inline", "nodejs22.x"));
    let code = Code::Inline { file: "index.js".into(), text: "exports.handler = async () => 1;\n".into() };
    assert_eq!(inline.code, code);
}

#[test]
fn what_has_no_effect_is_said_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("hello")).unwrap();
    let warnings = texts(&read_text(dir.path(), TEMPLATE).warnings);
    for part in [
        "13: AWS::DynamoDB::Table is not created here (Table)",
        "Hello: variable TABLE is \"Table\": !Ref Table is a AWS::DynamoDB::Table",
        "Hello: variable KEY is left out: parameter Key has no default",
        "Events has no effect here (Hello, Inline)",
        "Policies has no effect here (Hello)",
    ] {
        assert_eq!(warnings.matches(part).count(), 1, "{part}\n{warnings}");
    }
    assert_eq!(warnings.lines().count(), 5, "{warnings}");
}

#[test]
fn json_templates_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let json = r#"{"Resources": {"F": {"Type": "AWS::Serverless::Function", "Properties": {
        "Runtime": "nodejs20.x", "Handler": "index.handler", "CodeUri": ".",
        "Environment": {"Variables": {"R": {"Ref": "AWS::Region"}}}, "Tags": {"lambd:network": "none"}}}}}"#;
    let project = read_text(dir.path(), json);
    assert_eq!((project.functions[0].tags["lambd:network"].as_str(), project.warnings.len()), ("none", 0));
    assert_eq!(project.functions[0].environment["R"], "us-east-1");
}

#[test]
fn mistakes_keep_one_function_out_and_name_the_line() {
    let function = |properties: &str| {
        format!("Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties: {{{properties}}}\n")
    };
    let dir = tempfile::tempdir().unwrap();
    for (properties, part) in [
        ("Handler: a.b", "F: Runtime is missing"),
        ("Runtime: python3.12", "F: Handler is missing"),
        ("Runtime: !Ref X, Handler: a.b", "F: Runtime: X is neither"),
        ("Runtime: python3.12, Handler: a.b, CodeUri: nowhere", "CodeUri nowhere does not exist"),
        ("Runtime: python3.12, Handler: a.b, CodeUri: 's3://b/k'", "is remote"),
        ("Runtime: python3.12, Handler: a.b, CodeUri: {Bucket: b, Key: k}", "names a bucket"),
        ("Runtime: python3.12, Handler: a.b, MemorySize: lots", "\"lots\" is not a whole number"),
        ("Runtime: python3.12, Handler: a.b, MemorySize: 1", "1 is not between 128"),
        ("Runtime: python3.12, Handler: a.b, FunctionName: 'a b'", "FunctionName must be"),
        ("PackageType: Image", "container images"),
    ] {
        let project = read_text(dir.path(), &function(properties));
        let problems = texts(&project.problems);
        assert!(problems.contains(part) && project.functions.is_empty(), "{properties}: {problems}");
        assert!(project.problems[0].line.is_some_and(|line| (3..=4).contains(&line)), "{problems}");
    }
    assert_eq!(read_text(dir.path(), "Resources: [").problems.len(), 1);
    assert_eq!(read_text(dir.path(), "Resources: 3").functions.len(), 0);
}

#[test]
fn no_damage_to_a_template_panics() {
    let dir = tempfile::tempdir().unwrap();
    let places: Vec<usize> = TEMPLATE.char_indices().map(|(at, _)| at).collect();
    for at in places.into_iter().step_by(3) {
        read_text(dir.path(), &TEMPLATE[..at]);
        for damage in ["\t", "\0", "&a *a", "!", "[", "}", "\u{feff}", ": ", "- ", "%", "\"", "ä"] {
            read_text(dir.path(), &format!("{}{damage}{}", &TEMPLATE[..at], &TEMPLATE[at..]));
        }
    }
}
