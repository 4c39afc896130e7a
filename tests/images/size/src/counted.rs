//! Runs every call once on a Cortex-M3 under QEMU and prints a line each: name, ticks, ticks of its
//! longest critical section, stack bytes, whether the call was taken.
//!
//! With `-icount` every instruction takes the same virtual time, so SysTick counts instructions:
//! the host scales by the line of `nops`, after subtracting that of `empty`.

#![no_std]
#![no_main]

use core::arch::naked_asm;
use core::hint::black_box;
use core::sync::atomic::AtomicU32;

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m::register::msp;
use cortex_m_semihosting::{debug, hprintln};
use size::{CALLS, Call, Input, longest_masked_ticks};
use slipring_core::interrupt::{Queue, Staging};
use slipring_core::layout::Geometry;
use slipring_core::link::{Fate, Receiver, Sender};
use slipring_core::partition::Partitions;
use slipring_core::publisher::{Entry, Publisher};
use slipring_core::ring::{Job, Ring, WorkItem};
use slipring_core::tenant::TenantTable;
use slipring_core::{opcode, slot};

const SLOTS: usize = 32;
const RING_WORDS: usize = slot::WORDS * SLOTS;
/// Far more stack than a call may use, and far less than the board has.
const PAINTED_WORDS: usize = 1024;
const PAINT: u32 = 0xC5C5_C5C5;

#[cortex_m_rt::entry]
fn main() -> ! {
    if let Some(mut peripherals) = cortex_m::Peripherals::take() {
        peripherals.SYST.set_clock_source(SystClkSource::Core);
        peripherals.SYST.set_reload(0x00FF_FFFF);
        peripherals.SYST.clear_current();
        peripherals.SYST.enable_counter();
    }
    let frame: [(&str, Call); 2] = [("empty", empty), ("nops", nops)];
    for (name, call) in frame.iter().chain(&CALLS) {
        let (ticks, stack_bytes, ok) = measure(*call);
        hprintln!("{} {} {} {} {}", name, ticks, longest_masked_ticks(), stack_bytes, ok);
    }
    exit(debug::EXIT_SUCCESS)
}

fn exit(status: debug::ExitStatus) -> ! {
    debug::exit(status);
    loop {
        cortex_m::asm::wfi();
    }
}

/// Two instructions: what a measurement itself takes.
#[unsafe(naked)]
extern "C" fn empty(_: &mut Input<'_>) -> bool {
    naked_asm!("movs r0, #1", "bx lr")
}

/// A thousand more: the scale of the ticks.
#[unsafe(naked)]
extern "C" fn nops(_: &mut Input<'_>) -> bool {
    naked_asm!(".rept 1000", "nop", ".endr", "movs r0, #1", "bx lr")
}

#[inline(never)]
fn measure(call: Call) -> (u32, u32, bool) {
    let mut exclusive = [0; RING_WORDS];
    let shared = [const { AtomicU32::new(0) }; RING_WORDS];
    let args = [1, 2, 3, 4];
    let items = [WorkItem { opcode: opcode::ATOMIC_ADD, input: 1, output: 160, param: 3 }; 16];
    let batch = [(opcode::ATOMIC_ADD, args.as_slice()); 4];
    let ops = [(opcode::ATOMIC_ADD as u8, &args[..2]); 4];
    let mut ledger = [Entry::FREE; SLOTS];
    let (partitions, tenants) = (Partitions::single(SLOTS as u32), TenantTable::open(1));
    let ring = Ring::new(&shared).unwrap();
    let geometry = Geometry::of_slots(SLOTS as u32, 8).unwrap();
    let (mut sender, mut incoming, mut outgoing) = (Sender::new(1, geometry), [0; 256], [0; 72]);
    let len = connect(&mut sender, geometry, &mut incoming);
    let (staging, mut queue) = (Staging::new(), Queue::<8>::new());
    let mut input = black_box(Input {
        exclusive: &mut exclusive,
        shared: &shared,
        slot: 5,
        args: &args,
        items: &items,
        batch: &batch,
        ops: &ops,
        publisher: Publisher::new(ring, ledger.as_mut_slice(), partitions, tenants).unwrap(),
        sender: &mut sender,
        incoming: &incoming[..len],
        outgoing: &mut outgoing,
        staging: &staging,
        producer: queue.split().0,
        all_args: &[7; slot::ARGS],
        geometry,
    });
    let call = black_box(call);

    let top = msp::read();
    let floor = top - 4 * PAINTED_WORDS as u32;
    for address in (floor..top).step_by(4) {
        // SAFETY: between the stack pointer and the end of RAM nothing lives: no interrupt is on,
        // and this loop calls nothing.
        unsafe { (address as *mut u32).write_volatile(PAINT) }
    }
    let before = SYST::get_current();
    let ok = call(&mut input);
    let after = SYST::get_current();
    let mut deepest = floor;
    // SAFETY: the same words, read.
    while deepest < top && unsafe { (deepest as *const u32).read_volatile() } == PAINT {
        deepest += 4;
    }
    (before.wrapping_sub(after) & 0x00FF_FFFF, top - deepest, ok)
}

/// Connects a sender to a host, sends a job and puts another one in the window. Writes what the
/// host answers, which the sender has not heard yet, to `answer`.
fn connect(sender: &mut Sender<8>, geometry: Geometry, answer: &mut [u8]) -> usize {
    let mut host = Receiver::<8>::new(2, geometry);
    let mut wire = [0; 256];
    let job = Job::new(opcode::ATOMIC_ADD, &[1, 2, 3, 4]);
    host.set_credits(8);
    for _ in 0..8 {
        let len = host.transmit(1, &mut wire);
        let mut heard = 0;
        while heard < len {
            heard += sender.receive(&wire[heard..len], 1);
            while sender.next_event().is_some() {}
        }
        let len = sender.transmit(1, &mut wire);
        let mut heard = 0;
        while heard < len {
            heard += host.receive(&wire[heard..len], 1);
            while host.next_event().is_some() {}
        }
        if let Some((ticket, _)) = host.next_slot() {
            host.result(ticket, Fate::Done, &[7; 12]).unwrap();
            sender.publish(&job).unwrap();
            return host.transmit(1, answer);
        }
        if sender.is_connected() {
            sender.publish(&job).unwrap();
        }
    }
    0
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    exit(debug::EXIT_FAILURE)
}
