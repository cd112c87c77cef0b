//! `lambd completions`.

use clap::CommandFactory as _;

use crate::args::{Cli, CompletionsArgs};
use crate::console::Console;
use crate::failure::{Exit, Failure};

pub(crate) fn run(args: CompletionsArgs, console: &Console) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "lambd", &mut script);
    console.out_raw(&script)?;
    Ok(Exit::Good)
}
