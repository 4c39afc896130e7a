//! A Raspberry Pi Pico: a Cortex-M0+, UART0 with TX at GP0 and RX at GP1.

use crate::clock;
use crate::sampler::Sampler;
use crate::uart::{self, Pl011};
use core::cell::RefCell;
use cortex_m::peripheral::NVIC;
use critical_section::Mutex;
use defmt_rtt as _;
use rp2040_hal::clocks::init_clocks_and_plls;
use rp2040_hal::fugit::ExtU32;
use rp2040_hal::gpio::{FunctionUart, Pins};
use rp2040_hal::pac::{Interrupt, Peripherals, interrupt};
use rp2040_hal::rosc::RingOscillator;
use rp2040_hal::timer::{Alarm, Alarm0};
use rp2040_hal::uart::UartPeripheral;
use rp2040_hal::{Sio, Timer, Watchdog};

#[unsafe(link_section = ".boot2")]
#[used]
static BOOT2: [u8; 256] = rp2040_boot2::BOOT_LOADER_GENERIC_03H;

// SAFETY: it is there, and nobody else's once `start` has set its pins up.
pub const UART: Pl011 = unsafe { Pl011::at(0x4003_4000) };
pub const UART_HZ: u32 = CORE_HZ;
const CORE_HZ: u32 = 125_000_000;
const CRYSTAL_HZ: u32 = 12_000_000;

/// The alarm that samples, and its period in microseconds.
static ALARM: Mutex<RefCell<Option<(Alarm0, u32)>>> = Mutex::new(RefCell::new(None));

/// Starts the board. A number that no earlier start had is made of noise.
pub fn start() -> u32 {
    let (Some(mut core), Some(mut chip)) = (cortex_m::Peripherals::take(), Peripherals::take())
    else {
        panic!("the board is started once");
    };
    let mut watchdog = Watchdog::new(chip.WATCHDOG);
    let clocks = init_clocks_and_plls(
        CRYSTAL_HZ,
        chip.XOSC,
        chip.CLOCKS,
        chip.PLL_SYS,
        chip.PLL_USB,
        &mut chip.RESETS,
        &mut watchdog,
    );
    let Ok(clocks) = clocks else {
        panic!("the clocks do not start");
    };
    let sio = Sio::new(chip.SIO);
    let pins = Pins::new(chip.IO_BANK0, chip.PADS_BANK0, sio.gpio_bank0, &mut chip.RESETS);
    let pins =
        (pins.gpio0.into_function::<FunctionUart>(), pins.gpio1.into_function::<FunctionUart>());
    // Takes it out of reset, and no more.
    let _ = UartPeripheral::new(chip.UART0, pins, &mut chip.RESETS);
    let alarm = Timer::new(chip.TIMER, &mut chip.RESETS, &clocks).alarm_0();
    critical_section::with(|section| ALARM.replace(section, alarm.map(|alarm| (alarm, 0))));

    clock::start(&mut core.SYST, CORE_HZ);
    // A sample is taken in time, whatever the UART is at.
    // SAFETY: no critical section is held that the interrupts could break into; neither handler
    // relies on the other not to interrupt it.
    unsafe {
        core.NVIC.set_priority(Interrupt::TIMER_IRQ_0, 0x00);
        core.NVIC.set_priority(Interrupt::UART0_IRQ, 0x80);
        NVIC::unmask(Interrupt::TIMER_IRQ_0);
        NVIC::unmask(Interrupt::UART0_IRQ);
    }
    let noise = RingOscillator::new(chip.ROSC).initialize();
    (0..u32::BITS).fold(0, |bits, _| bits << 1 | u32::from(noise.get_random_bit()))
}

pub fn start_sampling(rate_hz: u32) {
    with_alarm(|alarm, period_us| {
        *period_us = 1_000_000 / rate_hz;
        alarm.enable_interrupt();
        // A period is far shorter than the longest, and longer than this takes.
        let _ = alarm.schedule(period_us.micros());
    });
}

#[interrupt]
fn TIMER_IRQ_0() {
    static mut SAMPLER: Sampler = Sampler::new();
    let goes_on = SAMPLER.sample();
    with_alarm(|alarm, period_us| {
        alarm.clear_interrupt();
        if goes_on {
            let _ = alarm.schedule(period_us.micros());
        }
    });
}

fn with_alarm(work: impl FnOnce(&mut Alarm0, &mut u32)) {
    critical_section::with(|section| {
        if let Some((alarm, period_us)) = ALARM.borrow_ref_mut(section).as_mut() {
            work(alarm, period_us);
        }
    });
}

pub fn pend_uart() {
    NVIC::pend(Interrupt::UART0_IRQ);
}

#[interrupt]
fn UART0_IRQ() {
    uart::serve();
}

/// There is nowhere to exit to.
pub fn exit(_: bool) -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}
