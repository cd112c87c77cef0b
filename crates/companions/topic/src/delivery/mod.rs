//! Getting messages to those who want them.
//!
//! | module     | idea                                                                       |
//! |------------|----------------------------------------------------------------------------|
//! | `lanes`    | one task for each subscription that something is on its way to             |
//! | `courier`  | one attempt                                                                |
//! | `envelope` | what a message looks like to a queue, a function, a web server             |
//! | `policy`   | when an attempt is repeated                                                |

mod courier;
mod envelope;
mod lanes;
mod policy;

pub use courier::Destinations;
pub(crate) use courier::{CERTIFICATES, Courier, Links, arn_of, sequence_number};
pub(crate) use lanes::Lanes;
pub(crate) use policy::HttpPolicy;
