//! The table of system calls that turn a process into the captured one.
//!
//! It is made when a process is captured and is part of the image. Nothing in it depends on the process that will
//! execute it: descriptors have agreed numbers, and so has the place in memory where table and code are.

use serde::{Deserialize, Serialize};

use super::maps::Range;
use super::{PAGE, machine, page_up};

/// Bytes of one call: its purpose, its number, its six arguments.
pub(super) const CALL_BYTES: usize = 64;

/// Space for structures that calls point to.
const DATA_BYTES: u64 = 4 * PAGE;

/// Where the place for code and table is looked for: below where Linux puts programs that may be anywhere, above
/// those that may not.
const FIRST: u64 = 64 << 30;
const LAST: u64 = 0x5000_0000_0000;
const STEP: u64 = 1 << 30;
/// More than any table needs: a process has at most 65,530 mappings (`vm.max_map_count`) if nobody raised that.
const LARGEST: u64 = 64 << 20;

/// What a call is for; the text names it in errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Purpose {
    Clear,
    Map,
    Fill,
    Advise,
    Vdso,
    Fields,
    Thread,
    Signals,
    Attributes,
    Rights,
    Close,
}

impl Purpose {
    const ALL: [(Self, &'static str); 11] = [
        (Self::Clear, "unmap what was there"),
        (Self::Map, "map memory"),
        (Self::Fill, "read memory"),
        (Self::Advise, "advise on memory"),
        (Self::Vdso, "move the vdso"),
        (Self::Fields, "set the layout of memory"),
        (Self::Thread, "set the registrations of the thread"),
        (Self::Signals, "set signal handlers"),
        (Self::Attributes, "set attributes of the process"),
        (Self::Rights, "give up capabilities"),
        (Self::Close, "close files"),
    ];

    pub(super) fn text(number: u64) -> &'static str {
        Self::ALL
            .iter()
            .find(|(purpose, _)| *purpose as u64 == number)
            .map_or("make a call", |(_, text)| text)
    }
}

/// A table that is being made.
pub(super) struct Table {
    /// Where code, parking, data and calls are, in this order.
    layout: Layout,
    data: Vec<u8>,
    calls: Vec<u8>,
}

/// Addresses of a table and what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    /// The page with the code.
    pub(super) code: u64,
    /// Where the vdso waits.
    pub(super) parking: u64,
    /// What calls point to.
    pub(super) data: u64,
    /// The first call, and the end of the last.
    pub(super) calls: u64,
    pub(super) end: u64,
}

impl Layout {
    /// One past the last address.
    pub(super) fn area_end(&self) -> u64 {
        page_up(self.end)
    }
}

impl Table {
    /// One whose place is none of these, with this much space for the vdso.
    pub(super) fn beside(taken: &[Range], parking_bytes: u64) -> Option<Self> {
        let is_free = |area: &u64| {
            let place = Range { start: *area, end: *area + LARGEST };
            taken.iter().all(|range| !range.overlaps(place))
        };
        let code = (FIRST..LAST).step_by(STEP as usize).find(is_free)?;
        let parking = code + PAGE;
        let data = parking + parking_bytes;
        let calls = data + DATA_BYTES;
        let layout = Layout { code, parking, data, calls, end: calls };
        Some(Self { layout, data: Vec::new(), calls: Vec::new() })
    }

    pub(super) fn parking(&self) -> u64 {
        self.layout.parking
    }

    /// Adds a call.
    pub(super) fn call(&mut self, purpose: Purpose, number: i64, args: &[u64]) {
        self.calls.extend(call(purpose, number, args));
    }

    /// Adds something that calls can point to; its address, aligned for any structure.
    pub(super) fn data(&mut self, bytes: &[u8]) -> u64 {
        let at = self.data.len().next_multiple_of(16);
        self.data.resize(at, 0);
        self.data.extend(bytes);
        self.layout.data + at as u64
    }

    /// Puts what unmaps the old memory before all calls, and what unmaps all but the code behind them. The second
    /// result is to be mapped at [`Layout::data`]. `None` when it has become too large.
    pub(super) fn finish(mut self) -> Option<(Layout, Vec<u8>)> {
        const MORE: usize = 3;
        let mut layout = self.layout;
        layout.end = layout.calls + (self.calls.len() + MORE * CALL_BYTES) as u64;
        let end = layout.area_end();
        if self.data.len() as u64 > DATA_BYTES || end - layout.code > LARGEST {
            return None;
        }
        let unmap = |start, end| call(Purpose::Clear, libc::SYS_munmap, &[start, end - start]);
        let mut bytes = self.data;
        bytes.resize(DATA_BYTES as usize, 0);
        bytes.extend(unmap(0, layout.code));
        bytes.extend(unmap(end, machine::TASK_SIZE));
        bytes.append(&mut self.calls);
        bytes.extend(unmap(layout.parking, end));
        bytes.resize((end - layout.data) as usize, 0);
        Some((layout, bytes))
    }
}

fn call(purpose: Purpose, number: i64, args: &[u64]) -> Vec<u8> {
    let mut words = [0; CALL_BYTES / size_of::<u64>()];
    (words[0], words[1]) = (purpose as u64, number as u64);
    words[2..2 + args.len()].copy_from_slice(args);
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
