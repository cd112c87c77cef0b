//! .NET: the runtimes of the machine, and how lambd's bootstrap is started on one.
//!
//! | module   | idea                                        |
//! |----------|---------------------------------------------|
//! | `homes`  | finding .NET                                |
//! | `launch` | the command line of a function's process    |

mod homes;
mod launch;

pub(super) use homes::{PLACES, found, inside, places};
pub use launch::DotNet;
