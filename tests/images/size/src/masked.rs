//! The critical section of the images: interrupts off, and SysTick read while they are.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::interrupt;
use cortex_m::peripheral::SYST;
use cortex_m::register::primask;
use critical_section::{Impl, RawRestoreState, set_impl};

static BEGAN: AtomicU32 = AtomicU32::new(0);
static LONGEST: AtomicU32 = AtomicU32::new(0);

struct Masked;
set_impl!(Masked);

// SAFETY: one core, with interrupts off between the two calls; a section inside of another leaves
// them off.
unsafe impl Impl for Masked {
    unsafe fn acquire() -> RawRestoreState {
        let was_active = primask::read().is_active();
        interrupt::disable();
        BEGAN.store(SYST::get_current(), Ordering::Relaxed);
        was_active
    }

    unsafe fn release(was_active: RawRestoreState) {
        let ticks = BEGAN.load(Ordering::Relaxed).wrapping_sub(SYST::get_current()) & 0x00FF_FFFF;
        LONGEST.store(LONGEST.load(Ordering::Relaxed).max(ticks), Ordering::Relaxed);
        if was_active {
            // SAFETY: they were on when the section began.
            unsafe { interrupt::enable() }
        }
    }
}

/// The ticks of the longest critical section since the last time that this was asked.
pub fn longest_masked_ticks() -> u32 {
    let longest = LONGEST.load(Ordering::Relaxed);
    LONGEST.store(0, Ordering::Relaxed);
    longest
}
