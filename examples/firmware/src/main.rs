//! Firmware that has its windows of samples filtered on a host's GPU.
//!
//! ```text
//!   timer interrupt: sample ─▶ window ─▶ staged
//!   main loop:       staged ─▶ Sender ─▶ UART interrupt ══▶ host, ring, GPU
//!                    checked, counted ◀─ Sender ◀─ UART interrupt ◀══ power of the tone
//! ```

#![no_std]
#![no_main]

mod board;
mod sensor;
mod tally;
mod uart;
mod window;

use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};
use critical_section::Mutex;
use defmt_semihosting as _;
use heapless::Deque;
use lm3s6965::interrupt;
use semihosting::process;
use sensor::Sensor;
use slipring_core::layout::Geometry;
use slipring_core::link::{Event, Notice, SendError, Sender, pump};
use tally::Tally;
use uart::Uart;
use window::{SAMPLES, Window};

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

static STAGED: Mutex<RefCell<Deque<Window, 16>>> = Mutex::new(RefCell::new(Deque::new()));
/// Windows for which there was no room. Only the timer's interrupt writes it.
static OVERRUNS: AtomicU32 = AtomicU32::new(0);

defmt::timestamp!("{=u32:ms}", board::now_ms());

#[interrupt]
fn TIMER_0A() {
    static mut SENSOR: Sensor = Sensor::new();
    static mut SAMPLES_TAKEN: ([i16; SAMPLES], usize) = ([0; SAMPLES], 0);
    static mut WINDOWS: u32 = 0;

    board::take_sampling_interrupt();
    let (samples, taken) = SAMPLES_TAKEN;
    samples[*taken] = SENSOR.sample();
    *taken += 1;
    if *taken < SAMPLES {
        return;
    }
    *taken = 0;
    let mut window = Window::new(samples);
    if (*WINDOWS + 1).is_multiple_of(SPOILED) {
        window.spoil();
    }
    let staged = critical_section::with(|section| STAGED.borrow_ref_mut(section).push_back(window));
    match staged {
        Ok(()) => *WINDOWS += 1,
        Err(_) => OVERRUNS.store(OVERRUNS.load(Ordering::Relaxed) + 1, Ordering::Relaxed),
    }
    if *WINDOWS == JOBS {
        board::stop_sampling();
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let (Some(core), Ok(geometry)) =
        (cortex_m::Peripherals::take(), Geometry::of_slots(SLOTS, OBSERVABLES))
    else {
        panic!("no peripherals, or no such geometry");
    };
    board::start(core);
    let mut uart = Uart::start(BAUD);
    let mut sender = Sender::<8>::new(boot_id(), geometry);
    let mut tally = Tally::new();
    defmt::info!("started: {} windows of {} samples, {} Hz", JOBS, SAMPLES, SAMPLE_HZ);

    let (mut frames, mut heard_ms) = (0, 0);
    while tally.finished() < JOBS || board::now_ms().wrapping_sub(heard_ms) < QUIET_MS {
        let now_ms = board::now_ms();
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
    process::exit(if tally.wrong == 0 { 0 } else { 1 })
}

/// Another number at each start. A board has a counter in flash for it, or random bits.
fn boot_id() -> u32 {
    semihosting::sys::arm_compat::sys_time().map_or(1, |seconds| seconds as u32)
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

/// Has the link take what the interrupt has staged, as much as there is room for.
fn publish(sender: &mut Sender<8>, tally: &mut Tally) {
    let front = || critical_section::with(|section| STAGED.borrow_ref(section).front().copied());
    while let Some(window) = front() {
        match sender.publish(&window.job()) {
            Ok(ticket) => tally.publish(ticket, window.answer()),
            Err(SendError::Job(error)) => panic!("no such job: {error}"),
            Err(_) => return,
        }
        critical_section::with(|section| STAGED.borrow_ref_mut(section).pop_front());
    }
}

fn report(sender: &Sender<8>, uart: &Uart, tally: &Tally) {
    let counters = sender.counters();
    defmt::info!("link: {}, {} bytes overrun", counters, uart.overrun());
    defmt::info!("{} windows overrun", OVERRUNS.load(Ordering::Relaxed));
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
    process::exit(1)
}
