//! `lambd functions`.

use serde::Deserialize as _;
use serde_json::Value;

use crate::args::{FunctionsArgs, Output};
use crate::client::{Client, ClientError, FunctionConfiguration, RuntimeInUse};
use crate::console::{Console, bytes_text, table};
use crate::failure::{Exit, Failure};

const HEADER: [&str; 6] = ["NAME", "RUNTIME", "MEMORY", "TIMEOUT", "CODE", "LAST MODIFIED"];

pub(crate) async fn run(args: FunctionsArgs, console: &Console) -> Result<Exit, Failure> {
    let client = Client::from_flags(&args.client)?;
    let functions = client.list_functions().await?;
    match args.output {
        Output::Json => console.out(&format!("{:#}", Value::from(functions)))?,
        Output::Text if functions.is_empty() => {
            console.err(&format!("no functions in {}; `lambd dev DIR` deploys some", client.region()))?;
        }
        Output::Text => {
            let runtimes = client.runtimes().await;
            let rows =
                functions.iter().map(|function| row(function, &runtimes)).collect::<Result<Vec<_>, _>>()?;
            console.out(&table(&HEADER, &rows, console.out_paint()))?;
        }
    }
    Ok(Exit::Good)
}

fn row(function: &Value, runtimes: &[RuntimeInUse]) -> Result<Vec<String>, ClientError> {
    let f = FunctionConfiguration::deserialize(function).map_err(ClientError::Response)?;
    Ok(vec![
        f.function_name,
        f.runtime.map_or_else(|| "-".into(), |id| runtime(id, runtimes)),
        format!("{} MB", f.memory_size),
        format!("{} s", f.timeout),
        bytes_text(f.code_size),
        f.last_modified,
    ])
}

/// The runtime, and the version that runs instead of it if one does.
fn runtime(id: String, runtimes: &[RuntimeInUse]) -> String {
    let substitute = runtimes.iter().find(|runtime| runtime.id == id && runtime.substituted);
    match substitute.and_then(|runtime| runtime.version.as_ref()) {
        Some(version) => format!("{id} (on {version})"),
        None => id,
    }
}
