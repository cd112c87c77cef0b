//! Unpacking archives that nobody vouches for: layers of images, toolchains.
//!
//! Nothing in an archive is believed. Each entry lands inside the directory that is being filled, whatever links are
//! on the way; neither bytes nor entries are without a limit; what comes out has no devices, no pipes and no
//! set-user-id bits and belongs to the user who unpacks. What a link that was made points to is another matter:
//! inside a root file system it may be anything.
//!
//! | module        | idea                                                |
//! |---------------|-----------------------------------------------------|
//! | `compression` | how archives are compressed                         |
//! | `entries`     | what a tar archive is allowed, and making its entries |
//! | `zipped`      | the same for zip archives                           |
//! | `tree`        | making files in a directory that no link leads out of |
//!
//! Everything here blocks: it belongs on a thread for blocking work.

mod compression;
mod entries;
mod tree;
mod zipped;

pub use compression::Compression;
pub use entries::{ArchiveError, Budget, Limits, entries, make, unpack_tar};
pub use tree::{EntryKey, InnerPath, Inside, Tree, finish_file};
pub use zipped::unpack_zip;
