//! `runtime`'s log sink: `observe`.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use lambd_observe::{BACKLOG_LIMIT, LogWriter, StreamId};
use lambd_runtime::ports::{LogSink, LogStream};
use lambd_types::Scope;
use lambd_types::invocation::LogEvent;

pub(crate) struct Logs(pub(crate) LogWriter);

impl LogSink for Logs {
    fn open(&self, scope: &Scope, group: &str, stream: &str) -> Arc<dyn LogStream> {
        let id = StreamId { scope: scope.clone(), group: group.into(), stream: stream.into() };
        Arc::new(Stream { writer: self.0.clone(), id: Arc::new(id) })
    }
}

struct Stream {
    writer: LogWriter,
    id: Arc<StreamId>,
}

impl LogStream for Stream {
    fn append(&self, events: Vec<LogEvent>) {
        self.writer.append(&self.id, events);
    }

    fn is_full(&self) -> bool {
        self.writer.backlog_bytes() > BACKLOG_LIMIT
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.writer.room())
    }
}
