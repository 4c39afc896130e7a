//! An lm3s6965evb, which QEMU simulates: a Cortex-M3, U0RX at PA0 and U0TX at PA1.

use crate::clock;
use crate::sampler::Sampler;
use crate::uart::{self, Pl011};
use cortex_m::peripheral::NVIC;
use defmt_semihosting as _;
use lm3s6965::{Interrupt, interrupt};
use registers::{gpio, system, timer};
use semihosting::process;
use semihosting::sys::arm_compat::sys_time;

// SAFETY: it is there, and nobody else's.
pub const UART: Pl011 = unsafe { Pl011::at(0x4000_C000) };
pub const UART_HZ: u32 = CORE_HZ;
const CORE_HZ: u32 = 50_000_000;

/// Starts the board. A number that no earlier start had is the time, which the simulator knows.
pub fn start() -> u32 {
    start_pll();
    system::RCGC1.write(system::UART0 | system::TIMER0);
    system::RCGC2.write(system::GPIO_A);
    gpio::AFSEL.write(0b11);
    gpio::DEN.write(0b11);
    if let Some(mut core) = cortex_m::Peripherals::take() {
        clock::start(&mut core.SYST, CORE_HZ);
        // A sample is taken in time, whatever the UART is at. (Of a priority, a Cortex-M0 has the
        // two upper bits.)
        // SAFETY: no critical section is held that the interrupts could break into; neither handler
        // relies on the other not to interrupt it.
        unsafe {
            core.NVIC.set_priority(Interrupt::TIMER_0A, 0x00);
            core.NVIC.set_priority(Interrupt::UART0, 0x80);
            NVIC::unmask(Interrupt::TIMER_0A);
            NVIC::unmask(Interrupt::UART0);
        }
    }
    sys_time().map_or(1, |seconds| seconds as u32)
}

/// 50 MHz from the crystal of 8 MHz: the PLL's 200 MHz over four.
fn start_pll() {
    use system::rcc;
    let mut clock = system::RCC.read() | rcc::BYPASS;
    clock &= !(rcc::USE_DIVIDER | rcc::MAIN_OSCILLATOR_OFF);
    system::RCC.write(clock);
    clock &= !(rcc::DIVIDER | rcc::CRYSTAL | rcc::SOURCE | rcc::PLL_OFF);
    clock |= rcc::DIVIDER_4 | rcc::USE_DIVIDER | rcc::CRYSTAL_8_MHZ;
    system::RCC.write(clock);
    while system::RIS.read() & system::PLL_LOCKED == 0 {}
    system::RCC.write(clock & !rcc::BYPASS);
}

pub fn start_sampling(rate_hz: u32) {
    timer::CTL.write(0);
    timer::CFG.write(timer::WHOLE);
    timer::TAMR.write(timer::PERIODIC);
    timer::TAILR.write(CORE_HZ / rate_hz - 1);
    timer::IMR.write(timer::TIMEOUT);
    timer::CTL.write(timer::ENABLE);
}

#[interrupt]
fn TIMER_0A() {
    static mut SAMPLER: Sampler = Sampler::new();
    timer::ICR.write(timer::TIMEOUT);
    if !SAMPLER.sample() {
        timer::CTL.write(0);
    }
}

pub fn pend_uart() {
    NVIC::pend(Interrupt::UART0);
}

#[interrupt]
fn UART0() {
    uart::serve();
}

/// Ends the simulator.
pub fn exit(is_well: bool) -> ! {
    process::exit(if is_well { 0 } else { 1 })
}

/// The chip's registers that are used here, by the names of its data sheet.
mod registers {
    /// A register of 32 bits: one of the constants below.
    pub struct Register(usize);

    impl Register {
        pub fn read(&self) -> u32 {
            // SAFETY: the address is that of a register of this chip, which may be read.
            unsafe { (self.0 as *const u32).read_volatile() }
        }

        pub fn write(&self, value: u32) {
            // SAFETY: as above; and no register here has the chip write to memory.
            unsafe { (self.0 as *mut u32).write_volatile(value) }
        }
    }

    pub mod system {
        use super::Register;

        pub const RIS: Register = Register(0x400F_E050);
        pub const PLL_LOCKED: u32 = 1 << 6;
        pub const RCC: Register = Register(0x400F_E060);
        pub const RCGC1: Register = Register(0x400F_E104);
        pub const UART0: u32 = 1 << 0;
        pub const TIMER0: u32 = 1 << 16;
        pub const RCGC2: Register = Register(0x400F_E108);
        pub const GPIO_A: u32 = 1 << 0;

        pub mod rcc {
            pub const MAIN_OSCILLATOR_OFF: u32 = 1 << 0;
            pub const SOURCE: u32 = 0b11 << 4;
            pub const CRYSTAL: u32 = 0xF << 6;
            pub const CRYSTAL_8_MHZ: u32 = 0xE << 6;
            pub const BYPASS: u32 = 1 << 11;
            pub const PLL_OFF: u32 = 1 << 13;
            pub const USE_DIVIDER: u32 = 1 << 22;
            pub const DIVIDER: u32 = 0xF << 23;
            pub const DIVIDER_4: u32 = 3 << 23;
        }
    }

    /// Port A.
    pub mod gpio {
        use super::Register;

        pub const AFSEL: Register = Register(0x4000_4420);
        pub const DEN: Register = Register(0x4000_451C);
    }

    /// Timer 0.
    pub mod timer {
        use super::Register;

        pub const CFG: Register = Register(0x4003_0000);
        /// Both halves as one timer of 32 bits.
        pub const WHOLE: u32 = 0;
        pub const TAMR: Register = Register(0x4003_0004);
        pub const PERIODIC: u32 = 2;
        pub const CTL: Register = Register(0x4003_000C);
        pub const ENABLE: u32 = 1 << 0;
        pub const IMR: Register = Register(0x4003_0018);
        pub const TIMEOUT: u32 = 1 << 0;
        pub const ICR: Register = Register(0x4003_0024);
        pub const TAILR: Register = Register(0x4003_0028);
    }
}
