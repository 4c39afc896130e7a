//! The board, an lm3s6965evb: its clocks, the timer that samples, and the registers of all that.
//! With `uart.rs`, it is what another board replaces.

use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::peripheral::NVIC;
use cortex_m::peripheral::syst::SystClkSource;
use lm3s6965::Interrupt;
use registers::{gpio, system, timer};

pub const CLOCK_HZ: u32 = 50_000_000;

/// Milliseconds since the start, wrapping. Only SysTick writes them.
static MILLISECONDS: AtomicU32 = AtomicU32::new(0);

/// Starts the clocks, connects the UART's pins, and lets interrupts come.
pub fn start(mut core: cortex_m::Peripherals) {
    start_pll();
    system::RCGC1.write(system::UART0 | system::TIMER0);
    system::RCGC2.write(system::GPIO_A);
    // U0RX is PA0, U0TX PA1.
    gpio::AFSEL.write(0b11);
    gpio::DEN.write(0b11);

    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(CLOCK_HZ / 1000 - 1);
    core.SYST.clear_current();
    core.SYST.enable_interrupt();
    core.SYST.enable_counter();
    // A sample is taken in time, whatever the UART is at. (Of a priority, a Cortex-M0 has the two
    // upper bits.)
    // SAFETY: no critical section is held, so that no priority can break into one; nor do the
    // handlers rely on not interrupting each other.
    unsafe {
        core.NVIC.set_priority(Interrupt::TIMER_0A, 0x00);
        core.NVIC.set_priority(Interrupt::UART0, 0x80);
        NVIC::unmask(Interrupt::TIMER_0A);
        NVIC::unmask(Interrupt::UART0);
    }
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

/// Milliseconds since the start, wrapping.
pub fn now_ms() -> u32 {
    MILLISECONDS.load(Ordering::Relaxed)
}

#[cortex_m_rt::exception]
fn SysTick() {
    MILLISECONDS.store(now_ms().wrapping_add(1), Ordering::Relaxed);
}

/// Has the timer interrupt so many times a second.
pub fn start_sampling(rate_hz: u32) {
    timer::CTL.write(0);
    timer::CFG.write(timer::WHOLE);
    timer::TAMR.write(timer::PERIODIC);
    timer::TAILR.write(CLOCK_HZ / rate_hz - 1);
    timer::IMR.write(timer::TIMEOUT);
    timer::CTL.write(timer::ENABLE);
}

pub fn stop_sampling() {
    timer::CTL.write(0);
}

/// Says that the timer's interrupt is being handled.
pub fn take_sampling_interrupt() {
    timer::ICR.write(timer::TIMEOUT);
}

/// The chip's registers that this firmware uses, by the names of its data sheet.
pub mod registers {
    /// A register of 32 bits. There are no others than the constants below.
    pub struct Register(usize);

    impl Register {
        pub fn read(&self) -> u32 {
            // SAFETY: the address is that of a register of this chip, which may be read.
            unsafe { (self.0 as *const u32).read_volatile() }
        }

        pub fn write(&self, value: u32) {
            // SAFETY: as above. No register here makes the chip touch memory by itself.
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

    pub mod gpio {
        use super::Register;

        pub const AFSEL: Register = Register(0x4000_4420);
        pub const DEN: Register = Register(0x4000_451C);
    }

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

    pub mod uart {
        use super::Register;

        pub const DR: Register = Register(0x4000_C000);
        pub const FR: Register = Register(0x4000_C018);
        pub const RX_EMPTY: u32 = 1 << 4;
        pub const TX_FULL: u32 = 1 << 5;
        pub const IBRD: Register = Register(0x4000_C024);
        pub const FBRD: Register = Register(0x4000_C028);
        pub const LCRH: Register = Register(0x4000_C02C);
        /// 8 bits, no parity, one stop bit; FIFOs on.
        pub const FRAMES_8N1_FIFO: u32 = 0x70;
        pub const CTL: Register = Register(0x4000_C030);
        pub const ENABLE: u32 = 1 << 0 | 1 << 8 | 1 << 9;
        pub const IM: Register = Register(0x4000_C038);
        pub const RX: u32 = 1 << 4;
        pub const TX: u32 = 1 << 5;
        pub const RX_TIMEOUT: u32 = 1 << 6;
        pub const ICR: Register = Register(0x4000_C044);
    }
}
