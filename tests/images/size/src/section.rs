//! Critical sections of a single core, which count how long interrupts are masked.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::interrupt;
use cortex_m::peripheral::SYST;
use cortex_m::register::primask;
use critical_section::{Impl, RawRestoreState};

struct Section;
critical_section::set_impl!(Section);

static SINCE: AtomicU32 = AtomicU32::new(0);
static MASKED: AtomicU32 = AtomicU32::new(0);

// SAFETY: interrupts are masked from acquire to release, on the only core.
unsafe impl Impl for Section {
    unsafe fn acquire() -> RawRestoreState {
        let was_active = primask::read().is_active();
        interrupt::disable();
        SINCE.store(SYST::get_current(), Ordering::Relaxed);
        was_active
    }

    unsafe fn release(was_active: RawRestoreState) {
        let ticks = SINCE.load(Ordering::Relaxed).wrapping_sub(SYST::get_current());
        MASKED.store(ticks & 0x00FF_FFFF, Ordering::Relaxed);
        if was_active {
            // SAFETY: they were active when this section was entered.
            unsafe { interrupt::enable() }
        }
    }
}

/// Ticks that the last critical section took, or 0 if there was none since.
pub fn masked_ticks() -> u32 {
    let ticks = MASKED.load(Ordering::Relaxed);
    MASKED.store(0, Ordering::Relaxed);
    ticks
}
