//! The wrapper program of `cargo xtask bench`.
//!
//! `BPF_PROG_TEST_RUN` runs a program again and again on one frame without undoing what the program did to it.
//! So this one makes the next frame, whole, and then hands it to the program under test by a tail
//! call. Measured once with adc and once with a program that only drops, the difference is adc.
#![no_std]
#![no_main]

mod freestanding;

use adc_common::bench::{
    BACKEND_PORT, FRAME4, FRAME6, FRESH, FULL_NAT, IPV6, REPLY, SERVICE_PORT, Traffic,
    YARDSTICK_KEYS, YardstickKey, backend_of, client_of, client_port_of, local_port_of,
    spread_port_of,
};
use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_DROP},
    btf_maps::{Array, LruHashMap, ProgramArray},
    helpers::generated::bpf_xdp_adjust_head,
    macros::{btf_map, xdp},
    programs::XdpContext,
};

#[btf_map]
static TRAFFIC: Array<Traffic, 1> = Array::new();

/// Program 0 is the one under test.
#[btf_map]
static PROGRAMS: ProgramArray<1> = ProgramArray::new();

#[btf_map]
static YARDSTICK: LruHashMap<YardstickKey, [u64; 2], YARDSTICK_KEYS> = LruHashMap::new();

/// Makes the next frame and runs program 0 on it. Aborts if either is impossible.
#[xdp]
#[expect(clippy::needless_pass_by_value, reason = "the macro hands it over")]
fn adc_bench(ctx: XdpContext) -> u32 {
    if make_frame(&ctx).is_some() {
        // SAFETY: nothing here is left to drop.
        unsafe { PROGRAMS.tail_call(&ctx, 0) };
    }
    XDP_ABORTED
}

/// The baseline.
#[xdp]
fn adc_bench_drop(_ctx: XdpContext) -> u32 {
    XDP_DROP
}

/// The yardstick: what one lookup costs on this machine in a map like the one that other balancers keep their
/// flows in. Published figures for those come from other machines; this makes the two comparable.
#[xdp]
#[expect(clippy::needless_pass_by_value, reason = "the macro hands it over")]
fn adc_bench_yardstick(ctx: XdpContext) -> u32 {
    match yardstick_key(&ctx).and_then(|key| YARDSTICK.get_ptr(key)) {
        Some(_) => XDP_DROP,
        None => XDP_ABORTED,
    }
}

#[inline(always)]
fn yardstick_key(ctx: &XdpContext) -> Option<YardstickKey> {
    let start = ctx.data();
    if start + FRAME4 > ctx.data_end() {
        return None;
    }
    let word = |offset: usize| {
        let at = (start + offset) as *const u32;
        // SAFETY: inside the frame; BPF on the machines we build for has no alignment fault.
        unsafe { at.read() }
    };
    let Fields {
        source,
        destination,
        ports,
    } = FIELDS4;
    Some(YardstickKey::ipv4(
        word(source),
        word(destination),
        word(ports),
    ))
}

/// Where the fields lie that differ between flows.
struct Fields {
    /// Last four bytes of the source address.
    source: usize,
    /// Last four bytes of the destination address.
    destination: usize,
    /// Source port; the destination port follows.
    ports: usize,
}

const FIELDS4: Fields = Fields {
    source: 26,
    destination: 30,
    ports: 34,
};

const FIELDS6: Fields = Fields {
    source: 34,
    destination: 50,
    ports: 54,
};

#[inline(always)]
fn make_frame(ctx: &XdpContext) -> Option<()> {
    let traffic = TRAFFIC.get_ptr_mut(0)?;
    // SAFETY: one test run at a time uses this map, on one CPU.
    let traffic = unsafe { &mut *traffic };
    if traffic.kind & IPV6 == 0 {
        write_frame::<FRAME4>(ctx, traffic, &FIELDS4)
    } else {
        write_frame::<FRAME6>(ctx, traffic, &FIELDS6)
    }
}

#[inline(always)]
fn write_frame<const LENGTH: usize>(
    ctx: &XdpContext,
    traffic: &mut Traffic,
    fields: &Fields,
) -> Option<()> {
    restore_length(ctx, LENGTH)?;
    let start = ctx.data();
    if start + LENGTH > ctx.data_end() {
        return None;
    }
    let flow = traffic.next_flow();
    let client = (traffic.clients + client_of(flow)).to_be();
    let full_nat = traffic.kind & FULL_NAT != 0;
    let client_port = if full_nat && traffic.kind & FRESH != 0 {
        spread_port_of(flow)
    } else {
        client_port_of(flow)
    };
    let frame: *const u32 = traffic.frame.as_ptr();
    for word in 0..LENGTH / 4 {
        // SAFETY: the template is no shorter than LENGTH.
        let value = unsafe { frame.wrapping_add(word).read() };
        // SAFETY: LENGTH bytes were shown to be in the packet.
        unsafe { put(start, 4 * word, value) };
    }
    let (source, own_ports) = if traffic.kind & REPLY == 0 {
        (client, ports(client_port, SERVICE_PORT))
    } else {
        let backend = traffic.backends + backend_of(flow);
        let answered = if full_nat {
            // The template has the one local address.
            local_port_of(flow)
        } else {
            // SAFETY: all fields lie in the first FRAME4 bytes of an IPv4 frame and FRAME6 bytes of an IPv6 frame.
            unsafe { put(start, fields.destination, client) };
            client_port
        };
        (backend.to_be(), ports(BACKEND_PORT, answered))
    };
    // SAFETY: as above.
    unsafe { put(start, fields.source, source) };
    // SAFETY: as above.
    unsafe { put(start, fields.ports, own_ports) };
    Some(())
}

/// Undoes what the program under test did to the front of the frame.
#[inline(always)]
fn restore_length(ctx: &XdpContext, length: usize) -> Option<()> {
    let here = ctx.data_end() - ctx.data();
    let surplus = i32::try_from(here.cast_signed() - length.cast_signed()).ok()?;
    if surplus == 0 {
        return Some(());
    }
    // SAFETY: the context is the one this program was called with, and packet pointers are taken afterwards.
    (unsafe { bpf_xdp_adjust_head(ctx.ctx, surplus) } == 0).then_some(())
}

/// Source and destination port as they stand in the packet.
#[inline(always)]
fn ports(source: u16, destination: u16) -> u32 {
    (u32::from(source) << 16 | u32::from(destination)).to_be()
}

/// # Safety
///
/// `start + offset .. + 4` must be inside the packet.
#[inline(always)]
unsafe fn put(start: usize, offset: usize, word: u32) {
    let at = (start + offset) as *mut u32;
    // SAFETY: the caller's promise; BPF on the machines we build for has no alignment fault.
    unsafe { at.write(word) };
}
