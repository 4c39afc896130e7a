//! One call and nothing else: the linker's `--entry` names the call, everything that it does not
//! need is collected, and what is left is what the call costs in flash.

#![no_std]
#![no_main]

use size as _;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        fn PANIC_IS_REACHABLE() -> !;
    }
    // SAFETY: never runs; the symbol only shows the linker that a panic can be reached.
    unsafe { PANIC_IS_REACHABLE() }
}
