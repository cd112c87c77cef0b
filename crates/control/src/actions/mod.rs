//! One file per API action: its validation, its effect and its answer.

mod aliasing;
mod layering;
mod lookup;
mod mapping;
mod packages;
mod revision;
mod tagging;

pub(crate) use packages::package_error;

pub(crate) mod add_layer_version_permission;
pub(crate) mod create_alias;
pub(crate) mod create_event_source_mapping;
pub(crate) mod create_function;
pub(crate) mod delete_alias;
pub(crate) mod delete_event_source_mapping;
pub(crate) mod delete_function;
pub(crate) mod delete_layer_version;
pub(crate) mod get_alias;
pub(crate) mod get_event_source_mapping;
pub(crate) mod get_function;
pub(crate) mod get_function_configuration;
pub(crate) mod get_layer_version;
pub(crate) mod get_layer_version_by_arn;
pub(crate) mod get_layer_version_policy;
pub(crate) mod invoke;
pub(crate) mod list_aliases;
pub(crate) mod list_event_source_mappings;
pub(crate) mod list_functions;
pub(crate) mod list_layer_versions;
pub(crate) mod list_layers;
pub(crate) mod list_tags;
pub(crate) mod list_versions_by_function;
pub(crate) mod publish_layer_version;
pub(crate) mod publish_version;
pub(crate) mod remove_layer_version_permission;
pub(crate) mod tag_resource;
pub(crate) mod untag_resource;
pub(crate) mod update_alias;
pub(crate) mod update_event_source_mapping;
pub(crate) mod update_function_code;
pub(crate) mod update_function_configuration;
