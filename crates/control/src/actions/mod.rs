//! One file per API action: its validation, its effect and its answer.

mod packages;
mod revision;

pub(crate) mod create_function;
pub(crate) mod delete_function;
pub(crate) mod get_function;
pub(crate) mod get_function_configuration;
pub(crate) mod invoke;
pub(crate) mod list_functions;
pub(crate) mod update_function_code;
pub(crate) mod update_function_configuration;
