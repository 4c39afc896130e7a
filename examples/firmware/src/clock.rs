//! Milliseconds, by SysTick.

use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

/// Only SysTick writes them: a load and a store are enough.
static MILLISECONDS: AtomicU32 = AtomicU32::new(0);

/// Starts counting, on a core that runs at this rate.
pub fn start(systick: &mut SYST, core_hz: u32) {
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload(core_hz / 1000 - 1);
    systick.clear_current();
    systick.enable_interrupt();
    systick.enable_counter();
}

/// Milliseconds since the start, wrapping.
pub fn now_ms() -> u32 {
    MILLISECONDS.load(Ordering::Relaxed)
}

#[cortex_m_rt::exception]
fn SysTick() {
    MILLISECONDS.store(now_ms().wrapping_add(1), Ordering::Relaxed);
}
