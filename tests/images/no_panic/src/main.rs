//! Every public call of slipring-core, on inputs that the compiler knows nothing about, against
//! a panic handler that cannot be linked. So this image links only if no call can reach a panic.
//!
//! Nothing here runs. `cargo xtask check` links it, and links it with `--features bad` to see
//! that a panic would be noticed.

#![no_std]
#![no_main]

mod interrupt;
mod kernel;
mod link;
mod publishing;
mod rows;
mod values;
mod views;

use core::fmt::{Debug, Display, Write};
use core::hint::black_box;
use core::sync::atomic::AtomicU32;

use slipring_core::io_queue::Completion;
use slipring_core::packed::Op;
use slipring_core::publisher::Entry;
use slipring_core::ring::WorkItem;
use slipring_core::slot::Priority;
use slipring_core::tenant::Tenant;
use slipring_core::words::Words;

/// Whatever memory a caller could have, as four buffers of any length.
pub struct Memory<'a> {
    exclusive: [&'a mut [u32]; 4],
    shared: [&'a [AtomicU32]; 4],
    constant: [&'a [u32]; 4],
    bytes: &'a mut [u8],
    ledger: &'a mut [Entry],
    storage: &'a mut [u32],
}

/// Whatever else a caller could pass.
pub struct Inputs<'a> {
    args: &'a [u32],
    items: &'a [WorkItem],
    batch: &'a [(u32, &'a [u32])],
    ops: &'a [Op<'a>],
    completions: &'a [(u32, Completion)],
    buffers: &'a [&'a [u8]],
    slot_words: [u32; 16],
    tenant: Tenant,
    level: Priority,
    flag: bool,
    n: [u32; 4],
    bytes: [u8; 4],
    len: usize,
}

/// The root of the image.
#[unsafe(no_mangle)]
pub extern "C" fn every_call(memory: &mut Memory<'_>, inputs: &Inputs<'_>) {
    #[cfg(feature = "bad")]
    keep(inputs.args[inputs.len]);

    let Memory { exclusive, shared, constant, bytes, ledger, storage } = memory;
    let cells = exclusive.each_mut().map(|words| (&mut **words).into_words());
    values::calls(bytes, inputs);
    interrupt::calls(inputs);
    link::calls(bytes, inputs);
    interrupt::calls(inputs);
    views::read(*constant, inputs);
    views::read(*shared, inputs);
    views::read(cells, inputs);
    views::write(*shared, inputs);
    views::write(cells, inputs);
    publishing::calls(*shared, ledger, inputs);
    publishing::calls(cells, ledger, inputs);
    rows::read(*constant, storage, inputs);
    rows::read(*shared, storage, inputs);
    rows::read(cells, storage, inputs);
    rows::write(*shared, inputs);
    rows::write(cells, inputs);
    rows::storage();
    kernel::calls(*shared, inputs);
    kernel::calls(cells, inputs);
}

/// A value that the compiler must make, although nothing uses it.
fn keep<T>(value: T) {
    black_box(value);
}

/// Keeps a result, its error as a message too.
fn keep_result<T, E: Display + Debug>(result: Result<T, E>) {
    if let Err(error) = &result {
        // The sink takes everything.
        let _ = write!(Sink, "{error} {error:?}");
    }
    keep(result);
}

struct Sink;

impl Write for Sink {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        keep(text);
        Ok(())
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        fn PANIC_IS_REACHABLE() -> !;
    }
    // SAFETY: never runs; an image that holds this call does not link.
    unsafe { PANIC_IS_REACHABLE() }
}
