//! Root file systems from images: an OCI image layout on disk, or a tar archive of one, unpacked once.
//!
//! An image is whatever somebody built, so nothing in it is believed: each blob is held to its digest and
//! size, each entry of a layer lands inside the directory that is being filled, whatever links are on the
//! way, and neither bytes nor entries are without a limit. What comes out has no devices, no pipes, no
//! set-user-id bits and belongs to the daemon's user.
//!
//! | module        | idea                                                                 |
//! |---------------|----------------------------------------------------------------------|
//! | `source`      | which of the kinds of root file system a path names                  |
//! | `layout`      | the files of an image layout, in a directory or in an archive        |
//! | `document`    | its JSON documents and the digests in them                           |
//! | `select`      | from the index to the one manifest that fits                         |
//! | `layer`       | applying a layer, whiteouts included                                 |
//! | `store`       | unpacked images by digest: made whole or not at all, reused, removed |
//!
//! Everything here blocks: it belongs on a thread for blocking work.

mod document;
mod error;
mod layer;
mod layout;
mod select;
mod source;
mod store;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

pub use error::ImageError;
pub use lambd_archives::Limits as ImageLimits;
pub use source::{ImageSource, RootSource};
pub use store::{ImageStore, UnpackedImage};
