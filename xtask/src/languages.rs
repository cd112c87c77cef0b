//! What the benchmark starts in each language: an empty program, a bare echo, lambd's bootstrap and AWS's client.
//!
//! The document that this writes says how; `perf` measures it and knows no language. Commands and variables of lambd's
//! bootstraps are those of `crates/runtime/src/catalogue`, with this tree's directories for those of a sandbox.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::artefacts::{self, Profile};
use crate::clients::Clients;
use crate::error::Error;
use crate::process;
use crate::python::Environment;
use crate::workspace::Workspace;
use crate::{clients, dotnet};

/// The class of AWS's client for Java that runs functions.
const JAVA_MAIN: &str = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda";
/// The one that loads all classes of the class path.
const JAVA_LOADER: &str = "com.amazonaws.services.lambda.runtime.api.client.ClasspathLoader";
/// Its jar; what follows is its version.
const JAVA_JAR: &str = "aws-lambda-java-runtime-interface-client-";
/// Where it looks for its native part.
const JAVA_NATIVE: &str = "com.amazonaws.services.lambda.runtime.api.client.runtimeapi.NativeClient.JNI";

/// Prepares all languages, beside the programs of this workspace that are built for release, and writes the document.
pub(crate) fn prepare(workspace: &Workspace) -> Result<PathBuf, Error> {
    let python = Environment::ensure(workspace)?;
    let clients = Clients::install(workspace, &python)?;
    let folder = workspace.test_env().join("bench/languages");
    // What an earlier run compiled is for the sources of then.
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::file(&folder, error));
        }
        _ => fs::create_dir_all(&folder).map_err(|e| Error::file(&folder, e))?,
    }
    let mut bench = Bench { workspace, folder, notes: Vec::new() };
    let others = [
        bench.ruby()?,
        bench.java(&artefacts::java_functions(workspace)?)?,
        bench.dotnet(&python)?,
        bench.go()?,
        bench.rust()?,
    ];
    let clients = clients.ready()?;
    let mut languages = vec![bench.python(&clients)?, bench.node(&clients)?];
    languages.extend(others);
    let document = bench.folder.join("languages.json");
    let text = format!("{:#}\n", json!({ "languages": languages, "notes": bench.notes }));
    fs::write(&document, text).map_err(|e| Error::file(&document, e))?;
    Ok(document)
}

struct Bench<'a> {
    workspace: &'a Workspace,
    /// Programs, functions and bootstraps, each language in a folder of its own.
    folder: PathBuf,
    /// What cannot be measured here, and why.
    notes: Vec<String>,
}

/// How a program of a language is started.
struct Program {
    program: String,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Program {
    fn new(program: impl Into<String>, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { program: program.into(), arguments, environment: BTreeMap::new() }
    }

    fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// As one of the candidates of a language; `directory` is the function's.
    fn candidate(self, role: &str, name: &str, directory: &Path) -> Value {
        json!({
            "role": role,
            "name": name,
            "program": self.program,
            "arguments": self.arguments,
            "environment": self.environment,
            "directory": directory,
        })
    }
}

impl Bench<'_> {
    fn python(&self, clients: &Path) -> Result<Value, Error> {
        let (folder, runtime) = self.folders("python", "app.py")?;
        let client = clients.join("python");
        let start = |arguments: &[&str]| Program::new(clients::PYTHON, arguments);
        let file = |name: &str| text(&self.source("python", name));
        let version = said(clients::PYTHON, &["-c", "import platform; print(platform.python_version())"])?;
        let pins = self.workspace.root().join("tests/clients/python.txt");
        let name = format!("awslambdaric {}", after(&read(&pins)?, "awslambdaric=="));
        Ok(language(
            &format!("Python {version}"),
            &[
                start(&["-s", &file("empty.py")?]).candidate("start", "empty program", &folder),
                start(&["-s", &file("echo.py")?]).candidate("echo", "bare echo", &folder),
                start(&["-s", &text(&runtime.join("bootstrap.py"))?, "/opt"])
                    .env("PYTHONPATH", text(&runtime)?)
                    .env("LAMBDA_RUNTIME_DIR", text(&runtime)?)
                    .env("_HANDLER", "app.handler")
                    .env("AWS_EXECUTION_ENV", "AWS_Lambda_python3.11")
                    .candidate("lambd", "lambd", &folder),
                start(&["-m", "awslambdaric", "app.handler"])
                    .env("PYTHONPATH", text(&client)?)
                    .env("_HANDLER", "app.handler")
                    .candidate("official", &name, &folder),
            ],
        ))
    }

    fn node(&self, clients: &Path) -> Result<Value, Error> {
        let (folder, runtime) = self.folders("nodejs", "index.js")?;
        let client = clients.join("node/node_modules/aws-lambda-ric");
        // The program itself: a version manager's shim would be measured as well.
        let program = said("node", &["-p", "process.execPath"])?;
        let start = |arguments: &[&str]| Program::new(&program, arguments).env("_HANDLER", "index.handler");
        let file = |name: &str| text(&self.source("nodejs", name));
        let version = said("node", &["-p", "process.versions.node"])?;
        let manifest: Value = serde_json::from_str(&read(&client.join("package.json"))?)
            .map_err(|e| Error::Output(format!("package.json of {}: {e}", client.display())))?;
        let name = format!("aws-lambda-ric {}", manifest["version"].as_str().unwrap_or_default());
        let path = format!("/opt/nodejs/node_modules:{}:{}", text(&runtime)?, text(&folder)?);
        Ok(language(
            &format!("Node.js {version}"),
            &[
                start(&[&file("empty.cjs")?]).candidate("start", "empty program", &folder),
                start(&[&file("echo.cjs")?]).candidate("echo", "bare echo", &folder),
                start(&[&text(&runtime.join("bootstrap.cjs"))?])
                    .env("NODE_PATH", path)
                    .candidate("lambd", "lambd", &folder),
                start(&[&text(&client.join("index.mjs"))?, "index.handler"])
                    .candidate("official", &name, &folder),
            ],
        ))
    }

    fn ruby(&mut self) -> Result<Value, Error> {
        let (folder, runtime) = self.folders("ruby", "app.rb")?;
        let program = said("ruby", &["-e", "puts RbConfig.ruby"])?;
        let start = |arguments: &[&str]| Program::new(&program, arguments).env("_HANDLER", "app.handler");
        let file = |name: &str| text(&self.source("ruby", name));
        let version = said("ruby", &["-e", "puts RUBY_VERSION"])?;
        let series = said("ruby", &["-e", "puts RbConfig::CONFIG['ruby_version']"])?;
        let gems = format!("{}/vendor/bundle/ruby/{series}:/opt/ruby/gems/{series}", text(&folder)?);
        let libraries = format!("{}:{}:/opt/ruby/lib", text(&folder)?, text(&runtime.join("lib"))?);
        let mut candidates = vec![
            start(&[&file("empty.rb")?]).candidate("start", "empty program", &folder),
            start(&[&file("echo.rb")?]).candidate("echo", "bare echo", &folder),
            start(&[&text(&runtime.join("bootstrap.rb"))?])
                .env("GEM_PATH", gems)
                .env("RUBYLIB", libraries)
                .candidate("lambd", "lambd", &folder),
        ];
        // Where it was installed: this is no gem that the tests could install.
        let client = "puts Gem.bin_path('aws_lambda_ric', 'aws_lambda_ric'), \
                      Gem.loaded_specs['aws_lambda_ric'].version, Gem.path.join(':')";
        let found = Command::new("ruby").args(["-e", client]).output();
        let found = found.ok().filter(|output| output.status.success());
        let found = found.and_then(|output| String::from_utf8(output.stdout).ok());
        match found.as_deref().map(|found| found.lines().collect::<Vec<_>>()).as_deref() {
            Some(&[script, version, path]) => {
                candidates.push(start(&[script, "app.handler"]).env("GEM_PATH", path).candidate(
                    "official",
                    &format!("aws_lambda_ric {version}"),
                    &folder,
                ));
            }
            _ => self.notes.push(
                "AWS's client for Ruby, which is not installed (gem install aws_lambda_ric)".to_owned(),
            ),
        }
        Ok(language(&format!("Ruby {version}"), &candidates))
    }

    fn java(&self, built: &Path) -> Result<Value, Error> {
        let folder = self.folder("java")?;
        let (library, native) = (built.join("client"), folder.join("libaws-lambda-jni.so"));
        let jars = files(&library, "jar")?;
        let client = jars.iter().map(|jar| text(jar)).collect::<Result<Vec<_>, _>>()?.join(":");
        let mut javac = Command::new("javac");
        javac.args(["-nowarn", "-classpath", &client, "-d"]).arg(&folder);
        process::must(javac.args(files(&self.source("java", ""), "java")?))?;
        let main = jars.iter().find(|jar| name(jar).starts_with(JAVA_JAR));
        let main = main.ok_or_else(|| Error::Output(format!("no client in {}", library.display())))?;
        let processor = if cfg!(target_arch = "aarch64") { "aarch_64" } else { "x86_64" };
        let entry = format!("jni/libaws-lambda-jni.linux-{processor}.so");
        const UNPACK: &str = "import sys, zipfile\n\
            open(sys.argv[3], 'wb').write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))";
        process::must(Command::new("python3").args(["-c", UNPACK]).arg(main).arg(entry).arg(&native))?;

        let of_start = ["-XX:MaxHeapSize=445645k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        let archive = folder.join("client.jsa");
        let made = Command::new("java")
            .args(["-XX:+UseSerialGC", &format!("-XX:ArchiveClassesAtExit={}", text(&archive)?)])
            .args(["-classpath", &client, JAVA_LOADER])
            .output();
        let has_archive = made.is_ok_and(|output| output.status.success()) && archive.exists();
        let mut of_lambd: Vec<String> = of_start.iter().map(|option| (*option).to_owned()).collect();
        of_lambd
            .extend(["-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8"].map(str::to_owned));
        if has_archive {
            of_lambd
                .extend([format!("-XX:SharedArchiveFile={}", text(&archive)?), "-Xlog:cds*=off".to_owned()]);
        }
        of_lambd.push(format!("-D{JAVA_NATIVE}={}", text(&native)?));
        of_lambd.extend(["-classpath", &client, JAVA_MAIN, "Handler::handleRequest"].map(str::to_owned));
        let of_lambd: Vec<&str> = of_lambd.iter().map(String::as_str).collect();

        let start = |arguments: &[&str]| {
            Program::new("java", arguments).env("_HANDLER", "Handler::handleRequest").env("LC_ALL", "C.UTF-8")
        };
        let bare = |class: &str| start(&[&of_start[..], &["-classpath", ".", class]].concat());
        // `openjdk 17.0.15 2025-04-15`
        let version = said("java", &["--version"])?;
        let version = version.split_whitespace().nth(1).unwrap_or_default().to_owned();
        let client_name = format!("client {}", after(&name(main), JAVA_JAR).trim_end_matches(".jar"));
        Ok(language(
            &format!("Java {version}"),
            &[
                bare("Empty").candidate("start", "empty program", &folder),
                bare("Echo").candidate("echo", "bare echo", &folder),
                start(&of_lambd).candidate("lambd", &format!("{client_name}, as lambd starts it"), &folder),
                start(&["-classpath", &client, JAVA_MAIN, "Handler::handleRequest"]).candidate(
                    "official",
                    &format!("{client_name}, by itself"),
                    &folder,
                ),
            ],
        ))
    }

    fn dotnet(&mut self, python: &Environment) -> Result<Value, Error> {
        let folder = self.folder("dotnet")?;
        let (root, framework) = dotnet::installed(python)?;
        let version = name(&framework);
        for (assembly, kind) in [("Empty", "exe"), ("Echo", "exe"), ("Handler", "library")] {
            let mut mcs = dotnet::mcs(&folder.join(format!("{assembly}.dll")));
            mcs.arg(format!("-target:{kind}")).arg(self.source("dotnet", &format!("{assembly}.cs")));
            process::must(&mut mcs)?;
        }
        let runtime = self.workspace.root().join("runtimes/dotnet");
        for assembly in ["Empty", "Echo", "bootstrap"] {
            let configuration = runtime.join("bootstrap.runtimeconfig.json");
            copy(&configuration, &folder.join(format!("{assembly}.runtimeconfig.json")))?;
        }
        copy(&runtime.join("bootstrap.dll"), &folder.join("bootstrap.dll"))?;
        let program = text(&root.join("dotnet"))?;
        let start = |assembly: &str| {
            Ok::<_, Error>(
                Program::new(&program, &["exec", "--fx-version", &version, &text(&folder.join(assembly))?])
                    .env("DOTNET_ROOT", text(&root)?)
                    .env("DOTNET_ROLL_FORWARD", "Major")
                    .env("COMPlus_GCHeapHardLimit", format!("{:x}", (512_u64 << 20) / 10 * 8))
                    // Whatever libraries for regions the machine has.
                    .env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1")
                    .env("AWS_EXECUTION_ENV", "AWS_Lambda_dotnetcore3.1")
                    .env("_HANDLER", "Handler::Handler::Handle"),
            )
        };
        self.notes.push(
            "AWS's client for .NET (Amazon.Lambda.RuntimeSupport), which is neither on PyPI nor in Debian"
                .to_owned(),
        );
        Ok(language(
            &format!(".NET {version}"),
            &[
                start("Empty.dll")?.candidate("start", "empty program", &folder),
                start("Echo.dll")?.candidate("echo", "bare echo", &folder),
                start("bootstrap.dll")?.candidate("lambd", "lambd", &folder),
            ],
        ))
    }

    /// The client is the user's, and lambd adds nothing to it.
    fn go(&self) -> Result<Value, Error> {
        let folder = self.folder("go")?;
        let sources = self.source("go", "");
        for program in ["bare", "client"] {
            let mut go = Command::new("go");
            go.current_dir(&sources).env("CGO_ENABLED", "0");
            go.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(folder.join(program));
            process::must(go.arg(format!("./{program}")))?;
        }
        let [bare, client] = ["bare", "client"].map(|program| text(&folder.join(program)));
        let (bare, client) = (bare?, client?);
        let version = said("go", &["env", "GOVERSION"])?;
        let module = read(&sources.join("go.mod"))?;
        let module = format!("aws-lambda-go {}", after(&module, "aws-lambda-go v"));
        Ok(language(
            &format!("Go {}", version.trim_start_matches("go")),
            &[
                Program::new(&bare, &[]).candidate("start", "empty program", &folder),
                Program::new(&bare, &["echo"]).candidate("echo", "bare echo", &folder),
                Program::new(client, &[])
                    .env("_HANDLER", "bootstrap")
                    .candidate("official", &module, &folder),
            ],
        ))
    }

    /// The same for Rust.
    fn rust(&self) -> Result<Value, Error> {
        let program = |name: &str| text(&self.workspace.program(Profile::Release.folder(), name));
        let (perf, echo) = (program("lambd-perf")?, program("rust-echo")?);
        let lock = read(&self.workspace.root().join("Cargo.lock"))?;
        let version = after(&lock, "name = \"lambda_runtime\"\nversion = \"").trim_end_matches('"');
        Ok(language(
            "Rust",
            &[
                Program::new(&perf, &["empty"]).candidate("start", "empty program", &self.folder),
                Program::new(&perf, &["echo"]).candidate("echo", "bare echo", &self.folder),
                Program::new(echo, &[]).env("_HANDLER", "bootstrap").candidate(
                    "official",
                    &format!("lambda_runtime {version}"),
                    &self.folder,
                ),
            ],
        ))
    }

    fn source(&self, language: &str, file: &str) -> PathBuf {
        self.workspace.root().join("perf/languages").join(language).join(file)
    }

    fn folder(&self, language: &str) -> Result<PathBuf, Error> {
        let folder = self.folder.join(language);
        fs::create_dir_all(&folder).map_err(|e| Error::file(&folder, e))?;
        Ok(folder)
    }

    /// Folders with the echo function and with lambd's bootstrap, beside which interpreters may keep what they compile.
    fn folders(&self, language: &str, function: &str) -> Result<(PathBuf, PathBuf), Error> {
        let (folder, runtime) = (self.folder(language)?, self.folder(&format!("{language}-runtime"))?);
        copy(&self.workspace.root().join("perf/functions").join(function), &folder.join(function))?;
        copy_all(&self.workspace.root().join("runtimes").join(language), &runtime)?;
        Ok((folder, runtime))
    }
}

fn language(name: &str, candidates: &[Value]) -> Value {
    json!({ "name": name, "candidates": candidates })
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::copy(from, to).map(drop).map_err(|e| Error::file(from, e))
}

fn copy_all(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(|e| Error::file(to, e))?;
    for entry in fs::read_dir(from).map_err(|e| Error::file(from, e))?.flatten() {
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy_all(&path, &copied)? } else { copy(&path, &copied)? }
    }
    Ok(())
}

/// Those of a folder with this extension, by name.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(|e| Error::file(folder, e))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(path: &Path) -> Result<String, Error> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Error::Output(format!("{} is no UTF-8", path.display())))
}

fn read(file: &Path) -> Result<String, Error> {
    fs::read_to_string(file).map_err(|e| Error::file(file, e))
}

/// The rest of the line behind some words.
fn after<'a>(text: &'a str, words: &str) -> &'a str {
    text.split_once(words).and_then(|(_, rest)| rest.lines().next()).unwrap_or_default().trim()
}

/// What a program prints, without the end of its line.
fn said(program: &str, arguments: &[&str]) -> Result<String, Error> {
    Ok(process::text(Command::new(program).args(arguments))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_found_behind_what_they_belong_to() {
        let lock = "[[package]]\nname = \"lambda_runtime\"\nversion = \"1.5.0\"\nsource = \"x\"\n";
        assert_eq!(super::after(lock, "name = \"lambda_runtime\"\nversion = \""), "1.5.0\"");
        assert_eq!(super::after("# c\nawslambdaric==4.2.2\nother==1\n", "awslambdaric=="), "4.2.2");
        assert_eq!(super::after("", "awslambdaric=="), "");
    }
}
