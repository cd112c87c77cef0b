//! `invoke`'s view of the machine's memory: `sandbox`.

use lambd_invoke::ports::{Memory, MemoryNow};
use lambd_sandbox::MachineMemory;

impl Memory for SandboxMemory {
    fn read(&self) -> Option<MemoryNow> {
        let lambd_sandbox::MemoryNow { total, available, stalled } = self.0.read()?;
        Some(MemoryNow { total, available, stalled })
    }
}

pub(crate) struct SandboxMemory(pub(crate) MachineMemory);
