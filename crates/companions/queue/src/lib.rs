//! SQS, embedded: standard and FIFO queues for functions and for any client, in AWS's JSON and in its Query protocol.
//!
//! A request is read into the same input whichever protocol it came in ([`QueueService`]), one file of `actions/`
//! answers it, and the output is written in the protocol of the request. What is known about queues is in memory
//! (`registry`), messages never are: each send, receive and delete is a row's life in the store.
//!
//! This crate must not know who sends or why: functions, topics and people look the same.

mod actions;
mod attributes;
mod batch;
mod digests;
mod error;
mod form;
mod message;
mod mover;
mod names;
mod outgoing;
mod policy;
mod queues;
mod receipt;
mod registry;
mod service;
mod settings;
mod sweeper;
mod wire;

pub use queues::{QueueHandle, QueueOptions, Queues};
pub use service::QueueService;
