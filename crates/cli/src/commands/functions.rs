//! `lambd functions`.

use serde::Deserialize as _;
use serde_json::Value;

use crate::args::{FunctionsArgs, Output};
use crate::client::{Client, ClientError, FunctionConfiguration};
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
            let rows = functions.iter().map(row).collect::<Result<Vec<_>, _>>()?;
            console.out(&table(&HEADER, &rows, console.out_paint()))?;
        }
    }
    Ok(Exit::Good)
}

fn row(function: &Value) -> Result<Vec<String>, ClientError> {
    let f = FunctionConfiguration::deserialize(function).map_err(ClientError::Response)?;
    Ok(vec![
        f.function_name,
        f.runtime.unwrap_or_else(|| "-".into()),
        format!("{} MB", f.memory_size),
        format!("{} s", f.timeout),
        bytes_text(f.code_size),
        f.last_modified,
    ])
}
