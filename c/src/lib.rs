//! slipring-core for C firmware: what `include/slipring.h` declares, which is made of this file's
//! modules. Every call takes pointers that may be NULL, and says so then; none allocates, waits, or
//! can panic (the library does not link where one could).

#![no_std]
#![allow(non_camel_case_types, reason = "the names that C sees")]

mod error;
mod event;
mod job;
mod ring;
mod sender;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        fn PANIC_IS_REACHABLE() -> !;
    }
    // SAFETY: never runs; a program that holds this call does not link.
    unsafe { PANIC_IS_REACHABLE() }
}
