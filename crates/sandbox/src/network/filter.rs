//! The packet filter of a connected network: what is denied leaves by no interface but loopback, and no
//! connection is asked for twice.
//!
//! Routes alone would not do. A program may bind a socket to an interface (`SO_BINDTODEVICE`, `IP_PKTINFO`),
//! and then the kernel sends what it has no route for, or an unreachable one, to that interface all the same;
//! and local multicast asks for no route at all.
//!
//! TCP repeats the first segment of a connection until it is answered. Between the sandbox and pasta(1) nothing
//! gets lost, and the way from there on has its own repetitions, so here they only do harm: pastas older than
//! September 2023, such as Debian 12's, spin for ever when they find two of them at once, as on a busy machine,
//! and give up a connection that takes longer than a second to be made when they see the second one.

use std::os::fd::BorrowedFd;

use super::deny::Denied;
use super::netlink::{Attributes, Batch, CREATE, Refused};

const TABLE: &str = "lambd";
const CHAIN: &str = "output";
const DENIED_V4: &str = "denied4";
const DENIED_V6: &str = "denied6";
const ASKED_FOR: &str = "asked";

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
const META_TRANSPORT: u32 = 16;
const PAYLOAD_NETWORK_HEADER: u32 = 1;
const PAYLOAD_TRANSPORT_HEADER: u32 = 2;
const SET_OF_INTERVALS: u32 = 4;
const SET_WITH_TIMEOUT: u32 = 0x10;
const SET_FILLED_BY_RULES: u32 = 0x20;
const INTERVAL_END: u32 = 1;
/// What nft(8) shows keys as.
const INTEGER: u32 = 4;
const ADDRESS_V4: u32 = 7;
const ADDRESS_V6: u32 = 8;

const TCP: u8 = 6;
/// Where a segment's flags are (RFC 9293), and those that tell a first one.
const TCP_FLAGS: u32 = 13;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// Both ports and the sequence number, with which a segment begins: a connection that is tried anew from the
/// same port has another number.
const TCP_IDENTITY: u32 = 8;
/// For how long a first segment is known, in milliseconds: longer than Linux repeats it.
const KNOWN_FOR: u64 = 140_000;
/// How many are known, which bounds the kernel's memory to about a megabyte; those beyond may be repeated.
const MOST_KNOWN: u32 = 8192;

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
    set(&mut batch, DENIED_V4, ADDRESS_V4, 4, |a| a.put_be32(3, SET_OF_INTERVALS));
    set(&mut batch, DENIED_V6, ADDRESS_V6, 16, |a| a.put_be32(3, SET_OF_INTERVALS));
    set(&mut batch, ASKED_FOR, INTEGER, TCP_IDENTITY, |a| {
        a.put_be32(3, SET_WITH_TIMEOUT | SET_FILLED_BY_RULES);
        a.put_be64(11, KNOWN_FOR);
        a.nest(9, |description| description.put_be32(1, MOST_KNOWN));
    });
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
            payload(e, PAYLOAD_NETWORK_HEADER, offset, length);
            is_in(e, set);
            verdict(e, DROP);
        });
    }
    rule(&mut batch, |e| {
        first_segment(e);
        is_in(e, ASKED_FOR);
        verdict(e, DROP);
    });
    rule(&mut batch, |e| {
        first_segment(e);
        remember_in(e, ASKED_FOR);
    });
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

/// Lets what was asked for be asked for once more.
pub(super) fn forget(socket: BorrowedFd<'_>) -> Result<(), Refused> {
    let mut batch = begin();
    batch.request("empty a set of the filter", DELETE_ELEMENTS, 0, &header(FAMILY_INET), |a| {
        a.put_text(1, TABLE);
        a.put_text(2, ASKED_FOR);
    });
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

/// A set of keys that have this many bytes, and what else is to be said of it.
fn set(batch: &mut Batch, name: &str, kind: u32, length: u32, more: impl FnOnce(&mut Attributes<'_>)) {
    batch.request("make a set of the filter", NEW_SET, CREATE, &header(FAMILY_INET), |a| {
        a.put_text(1, TABLE);
        a.put_text(2, name);
        a.put_be32(4, kind);
        a.put_be32(5, length);
        // Any number that no other set has.
        a.put_be32(10, length);
        more(a);
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

/// Loads some bytes of the packet.
fn payload(list: &mut Attributes<'_>, base: u32, offset: u32, length: u32) {
    expression(list, "payload", |data| {
        data.put_be32(1, REGISTER);
        data.put_be32(2, base);
        data.put_be32(3, offset);
        data.put_be32(4, length);
    });
}

/// Goes on only with the first segment of a TCP connection, and loads what tells it from others.
fn first_segment(list: &mut Attributes<'_>) {
    meta(list, META_TRANSPORT);
    equals(list, &[TCP]);
    payload(list, PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS, 1);
    expression(list, "bitwise", |data| {
        data.put_be32(1, REGISTER);
        data.put_be32(2, REGISTER);
        data.put_be32(3, 1);
        data.nest(4, |mask| mask.put(1, &[SYN | ACK]));
        data.nest(5, |xor| xor.put(1, &[0]));
    });
    equals(list, &[SYN]);
    payload(list, PAYLOAD_TRANSPORT_HEADER, 0, TCP_IDENTITY);
}

/// Goes on only if what was loaded is in this set.
fn is_in(list: &mut Attributes<'_>, set: &str) {
    expression(list, "lookup", |data| {
        data.put_text(1, set);
        data.put_be32(2, REGISTER);
    });
}

/// Adds what was loaded to this set.
fn remember_in(list: &mut Attributes<'_>, set: &str) {
    expression(list, "dynset", |data| {
        data.put_text(1, set);
        // NFT_DYNSET_OP_ADD
        data.put_be32(3, 0);
        data.put_be32(4, REGISTER);
    });
}

fn verdict(list: &mut Attributes<'_>, code: u32) {
    expression(list, "immediate", |data| {
        data.put_be32(1, REGISTER_OF_VERDICT);
        data.nest(2, |operand| operand.nest(2, |verdict| verdict.put_be32(1, code)));
    });
}
