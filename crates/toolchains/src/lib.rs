//! Installing what runs functions: from registries, archives and folders.
//!
//! ```text
//! <directory>/lock             held while something is added or removed
//! <directory>/.incoming        what is being added, or was when lambd was killed
//! <directory>/<name>/          one toolchain: its own files, and
//! <directory>/<name>/toolchain.json   what it is
//! ```
//!
//! A toolchain gets its name when it is complete, was tried and lies on disk, so a daemon may look at any time. What is
//! downloaded is held to the checksum that the registry publishes.
//!
//! | module     | idea                                                         |
//! |------------|--------------------------------------------------------------|
//! | `manifest` | what a toolchain says about itself                           |
//! | `store`    | the directory: listing, removing, and adding whole or not at all |
//! | `recipe`   | which runtime is published where                             |
//! | `settings` | where the registries are                                     |
//! | `npm`      | the npm registry                                             |
//! | `pypi`     | the index of Python packages                                 |
//! | `download` | a file with its checksum                                     |
//! | `jars`     | jars of a Maven repository                                   |
//! | `sdk`      | AWS SDKs, by the package managers of their languages         |
//! | `sdk_files` | what such an SDK looks like on disk                         |
//! | `local`    | archives and folders of this machine                         |
//! | `settle`   | what must hold of the files of a toolchain                   |
//! | `trial`    | whether it runs, and what version it says it has             |
//! | `add`      | all of it in order                                           |
//!
//! It does not know how functions are run, nor which toolchain runs which function.

mod add;
mod download;
mod error;
mod jars;
mod local;
mod manifest;
mod npm;
mod pypi;
mod recipe;
mod sdk;
mod sdk_files;
mod settings;
mod settle;
mod store;
mod trial;
mod version;

pub use add::{Added, Images, Request, Step, add};
pub use download::{Checksum, Published, file as download};
pub use error::ToolchainError;
pub use jars::{Jar, JarSource, Library, add_jars};
pub use manifest::{Manifest, Place};
pub use recipe::can_be_added;
pub use sdk::{SdkRequest, add_sdk, is_sdk};
pub use settings::Registries;
pub use store::{Installed, Toolchains};
