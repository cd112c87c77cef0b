//! `runtime`'s traces: `observe`.

use std::net::{TcpListener, UdpSocket};

use lambd_observe::Traces;
use lambd_runtime::ports;
use lambd_types::FunctionKey;

pub(crate) struct SegmentTraces(pub(crate) Traces);

impl ports::Traces for SegmentTraces {
    fn serve(
        &self,
        datagrams: UdpSocket,
        connections: TcpListener,
        function: &FunctionKey,
    ) -> Box<dyn Send + Sync> {
        match self.0.serve(datagrams, connections, function.name.as_str()) {
            Ok(serving) => Box::new(serving),
            Err(error) => {
                tracing::error!(%error, "cannot serve the X-Ray address inside a sandbox");
                Box::new(())
            }
        }
    }
}
