//! The packet filter of a connected network: what is denied leaves by no interface but loopback.
//!
//! Routes alone would not do. A program may bind a socket to an interface (`SO_BINDTODEVICE`, `IP_PKTINFO`),
//! and then the kernel sends what it has no route for, or an unreachable one, to that interface all the same;
//! and local multicast asks for no route at all.

use std::os::fd::BorrowedFd;

use super::deny::Denied;
use super::netlink::{Attributes, Batch, CREATE, Refused};

const TABLE: &str = "lambd";
const CHAIN: &str = "output";
const DENIED_V4: &str = "denied4";
const DENIED_V6: &str = "denied6";

// linux/netfilter/nfnetlink.h
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
// linux/netfilter.h
const FAMILY_INET: u8 = 1;
const LOCAL_OUT: u32 = 3;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
// linux/netfilter/nf_tables.h: messages
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;
const NEW_SET: u16 = SUBSYSTEM << 8 | 9;
const NEW_ELEMENTS: u16 = SUBSYSTEM << 8 | 12;
const DELETE_ELEMENTS: u16 = SUBSYSTEM << 8 | 14;
// … and keys of expressions
const REGISTER: u32 = 1;
const REGISTER_OF_VERDICT: u32 = 0;
const META_OUT_INTERFACE: u32 = 5;
const META_PROTOCOL: u32 = 15;
const PAYLOAD_NETWORK_HEADER: u32 = 1;
const SET_OF_INTERVALS: u32 = 4;
const INTERVAL_END: u32 = 1;

/// Index of the loopback interface, the first that the kernel makes in a network namespace.
const LOOPBACK: u32 = 1;
/// `NLM_F_APPEND`: after the rules that are there.
const APPEND: u16 = 0x800;
/// Intervals in one message, whose length is a number of 16 bits.
const CHUNK: usize = 500;

/// Makes the filter. In force when this returns.
pub(super) fn install(socket: BorrowedFd<'_>, denied: &Denied) -> Result<(), Refused> {
    let mut batch = begin();
    batch.request("make the filter's table", NEW_TABLE, CREATE, &header(FAMILY_INET), |a| {
        a.put_text(1, TABLE);
    });
    set(&mut batch, DENIED_V4, 4);
    set(&mut batch, DENIED_V6, 16);
    fill(&mut batch, denied);
    batch.request("make the filter's chain", NEW_CHAIN, CREATE, &header(FAMILY_INET), |a| {
        a.put_text(1, TABLE);
        a.put_text(3, CHAIN);
        a.nest(4, |hook| {
            hook.put_be32(1, LOCAL_OUT);
            hook.put_be32(2, 0);
        });
        a.put_be32(5, ACCEPT);
        a.put_text(7, "filter");
    });
    rule(&mut batch, |e| {
        meta(e, META_OUT_INTERFACE);
        equals(e, &LOOPBACK.to_ne_bytes());
        verdict(e, ACCEPT);
    });
    for (protocol, offset, length, set) in
        [(NFPROTO_IPV4, 16, 4, DENIED_V4), (NFPROTO_IPV6, 24, 16, DENIED_V6)]
    {
        rule(&mut batch, |e| {
            meta(e, META_PROTOCOL);
            equals(e, &[protocol]);
            destination(e, offset, length);
            is_in(e, set);
            verdict(e, DROP);
        });
    }
    finish(batch, socket)
}

/// Puts other networks in place of those that are denied, in one step.
pub(super) fn replace(socket: BorrowedFd<'_>, denied: &Denied) -> Result<(), Refused> {
    let mut batch = begin();
    for set in [DENIED_V4, DENIED_V6] {
        batch.request("empty a set of the filter", DELETE_ELEMENTS, 0, &header(FAMILY_INET), |a| {
            a.put_text(1, TABLE);
            a.put_text(2, set);
        });
    }
    fill(&mut batch, denied);
    finish(batch, socket)
}

fn begin() -> Batch {
    let mut batch = Batch::default();
    batch.bracket(BATCH_BEGIN, &batch_header());
    batch
}

fn finish(mut batch: Batch, socket: BorrowedFd<'_>) -> Result<(), Refused> {
    batch.bracket(BATCH_END, &batch_header());
    batch.send(socket)
}

/// `struct nfgenmsg`: family, version, resource.
fn header(family: u8) -> [u8; 4] {
    [family, 0, 0, 0]
}

fn batch_header() -> [u8; 4] {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    [0, 0, high, low]
}

/// A set of address ranges; addresses have this many bytes.
fn set(batch: &mut Batch, name: &str, length: u32) {
    batch.request("make a set of the filter", NEW_SET, CREATE, &header(FAMILY_INET), |a| {
        a.put_text(1, TABLE);
        a.put_text(2, name);
        a.put_be32(3, SET_OF_INTERVALS);
        // What nft(8) shows it as: an IPv4 address, an IPv6 address.
        a.put_be32(4, if length == 4 { 7 } else { 8 });
        a.put_be32(5, length);
        a.put_be32(10, length);
    });
}

fn fill(batch: &mut Batch, denied: &Denied) {
    for chunk in denied.v4.chunks(CHUNK) {
        elements(batch, DENIED_V4, |list| {
            for (first, last) in chunk {
                interval(list, first.to_be_bytes(), last.checked_add(1).map(u32::to_be_bytes));
            }
        });
    }
    for chunk in denied.v6.chunks(CHUNK) {
        elements(batch, DENIED_V6, |list| {
            for (first, last) in chunk {
                interval(list, first.to_be_bytes(), last.checked_add(1).map(u128::to_be_bytes));
            }
        });
    }
}

fn elements(batch: &mut Batch, set: &str, inner: impl FnOnce(&mut Attributes<'_>)) {
    batch.request("fill a set of the filter", NEW_ELEMENTS, CREATE, &header(FAMILY_INET), |a| {
        a.put_text(1, TABLE);
        a.put_text(2, set);
        a.nest(3, inner);
    });
}

/// From the first address to the one before `end`, or to the last of all.
fn interval<const N: usize>(list: &mut Attributes<'_>, first: [u8; N], end: Option<[u8; N]>) {
    let element = |list: &mut Attributes<'_>, key: &[u8], flags: u32| {
        list.nest(1, |element| {
            element.nest(1, |data| data.put(1, key));
            element.put_be32(3, flags);
        });
    };
    element(list, &first, 0);
    if let Some(end) = end {
        element(list, &end, INTERVAL_END);
    }
}

fn rule(batch: &mut Batch, expressions: impl FnOnce(&mut Attributes<'_>)) {
    batch.request("make a rule of the filter", NEW_RULE, CREATE | APPEND, &header(FAMILY_INET), |a| {
        a.put_text(1, TABLE);
        a.put_text(2, CHAIN);
        a.nest(4, expressions);
    });
}

fn expression(list: &mut Attributes<'_>, name: &str, data: impl FnOnce(&mut Attributes<'_>)) {
    list.nest(1, |expression| {
        expression.put_text(1, name);
        expression.nest(2, data);
    });
}

/// Loads something about the packet that is not in it.
fn meta(list: &mut Attributes<'_>, key: u32) {
    expression(list, "meta", |data| {
        data.put_be32(1, REGISTER);
        data.put_be32(2, key);
    });
}

/// Goes on only if what was loaded is this.
fn equals(list: &mut Attributes<'_>, value: &[u8]) {
    expression(list, "cmp", |data| {
        data.put_be32(1, REGISTER);
        data.put_be32(2, 0);
        data.nest(3, |operand| operand.put(1, value));
    });
}

/// Loads the packet's destination.
fn destination(list: &mut Attributes<'_>, offset: u32, length: u32) {
    expression(list, "payload", |data| {
        data.put_be32(1, REGISTER);
        data.put_be32(2, PAYLOAD_NETWORK_HEADER);
        data.put_be32(3, offset);
        data.put_be32(4, length);
    });
}

/// Goes on only if what was loaded is in this set.
fn is_in(list: &mut Attributes<'_>, set: &str) {
    expression(list, "lookup", |data| {
        data.put_text(1, set);
        data.put_be32(2, REGISTER);
    });
}

fn verdict(list: &mut Attributes<'_>, code: u32) {
    expression(list, "immediate", |data| {
        data.put_be32(1, REGISTER_OF_VERDICT);
        data.nest(2, |operand| operand.nest(2, |verdict| verdict.put_be32(1, code)));
    });
}
