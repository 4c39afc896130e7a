//! Firmware that has its windows of samples filtered on a host's GPU.
//!
//! ```text
//!   timer interrupt: sample ─▶ window ─▶ Queue
//!   main loop:       Queue ─▶ Sender ─▶ UART interrupt ══▶ host, ring, GPU
//!                    checked, counted ◀─ Sender ◀─ UART interrupt ◀══ power of the tone
//! ```

#![no_std]
#![no_main]

mod board;
mod clock;
mod sampler;
mod sensor;
mod tally;
mod uart;
mod window;

use sampler::WINDOWS;
use slipring_core::layout::Geometry;
use slipring_core::link::{Event, Notice, SendError, Sender, pump};
use tally::Tally;
use uart::Uart;
use window::{Answer, SAMPLES};

const BAUD: u32 = 1_000_000;
const SAMPLE_HZ: u32 = 12_000;
/// The host's row: both sides have to say the same.
const SLOTS: u32 = 64;
const OBSERVABLES: u32 = 128;
/// Jobs until the firmware stops and tells its counts.
const JOBS: u32 = 3000;
/// Of so many windows one is spoiled, so that faults are seen to come back.
const SPOILED: u32 = 100;
/// So long the host has nothing more to say, at the end.
const QUIET_MS: u32 = 500;

defmt::timestamp!("{=u32:ms}", clock::now_ms());

#[cortex_m_rt::entry]
fn main() -> ! {
    let boot_id = board::start();
    let Ok(geometry) = Geometry::of_slots(SLOTS, OBSERVABLES) else {
        panic!("there is no such row");
    };
    let mut uart = Uart::start(BAUD);
    let mut sender = Sender::<8>::new(boot_id, geometry);
    let mut tally = Tally::new();
    defmt::info!("started: {} windows of {} samples, {} Hz", JOBS, SAMPLES, SAMPLE_HZ);

    let (mut frames, mut heard_ms) = (0, 0);
    while tally.finished() < JOBS || clock::now_ms().wrapping_sub(heard_ms) < QUIET_MS {
        let now_ms = clock::now_ms();
        let Ok(()) = pump(&mut sender, &mut uart, now_ms, |_, event| hear(event, &mut tally));
        publish(&mut sender, &mut tally);
        let heard = sender.counters().frames;
        if heard != frames {
            (frames, heard_ms) = (heard, now_ms);
        }
        if sender.wait_ms(now_ms) > 0 {
            // Until the next interrupt; SysTick's comes within a millisecond.
            cortex_m::asm::wfi();
        }
    }
    report(&sender, &uart, &tally);
    board::exit(tally.wrong == 0)
}

fn hear(event: Event, tally: &mut Tally) {
    match event {
        Event::Link(notice) => {
            defmt::info!("link: {}", notice);
            if let Notice::Connected { .. } = notice {
                board::start_sampling(SAMPLE_HZ);
            }
        }
        Event::Finished { ticket, fate, words } => {
            tally.finish(ticket, fate, &words);
            if tally.finished().is_multiple_of(JOBS / 6) {
                defmt::info!("{} finished, {} wrong", tally.finished(), tally.wrong);
            }
        }
    }
}

/// Has the link take what the interrupt has published, as far as there is room.
fn publish(sender: &mut Sender<8>, tally: &mut Tally) {
    let taken = WINDOWS.drain(|window| {
        let ticket = sender.publish(window)?;
        tally.publish(ticket, Answer::to(window));
        Ok(())
    });
    if let Err(SendError::Job(error)) = taken {
        panic!("no such job: {error}");
    }
}

fn report(sender: &Sender<8>, uart: &Uart, tally: &Tally) {
    let counters = sender.counters();
    defmt::info!("link: {}, {} bytes overrun", counters, uart.overrun());
    defmt::info!("{} windows found no place", sampler::lost());
    let (average_us, longest_ms) = (tally.average_us(), tally.longest_ms);
    defmt::info!("publish to result: {} us on average, {} ms at most", average_us, longest_ms);
    defmt::info!(
        "counts published={} done={} faulted={} not_run={} unknown={} wrong={}",
        tally.published,
        tally.done,
        tally.faulted,
        tally.not_run,
        tally.unknown,
        tally.wrong
    );
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    board::exit(false)
}
