//! A handler in a fused kernel, beside the same one in the ordinary kernel: 1024 jobs a drain, and
//! the time to open a driver.

use crate::dispatch::turns;
use crate::harness::{Case, Side, lazily, side};
use slipring_core::layout::Geometry;
use slipring_core::ring::WorkItem;
use slipring_driver::{BackendChoice, Driver, Handler, Kernel};
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

const JOBS: u32 = 1024;
const OBSERVABLES: u32 = 64;
const OPCODE: u32 = 0x100;
/// Rounds of the heavier job's loop.
const ROUNDS: u32 = 256;

pub fn cases() -> Vec<Case> {
    let case = |name, (unit, units), side: fn(bool, u32) -> Box<dyn Side>, rounds| Case {
        name,
        unit,
        units,
        calls: 1,
        ours: lazily(move || side(true, rounds)),
        peer: Some(("ordinary kernel", lazily(move || side(false, rounds)))),
    };
    vec![
        case("1024 small jobs; ordinary kernel", ("us/turn", 1000), drains, 0),
        case("1024 jobs of 256 rounds; ordinary", ("us/turn", 1000), drains, ROUNDS),
        case("open a driver; ordinary kernel", ("ms/open", 1_000_000), opens, ROUNDS),
    ]
}

/// Adds its input to an observable, after so many rounds of xorshift. No two kernels are the same,
/// so that no cache has them.
fn kernel(is_fused: bool, rounds: u32) -> Kernel {
    static KERNELS: AtomicU32 = AtomicU32::new(1);
    let salt = KERNELS.fetch_add(1, Ordering::Relaxed) + std::process::id();
    let source = format!(
        "fn mix(job: Job) -> u32 {{
            var x = arg(job, 0u) ^ {salt}u;
            for (var i = 0u; i < arg(job, 2u); i++) {{
                x ^= x << 13u; x ^= x >> 17u; x ^= x << 5u;
            }}
            if !observe_add(arg(job, 1u), x) {{ return fault(64u); }}
            return HANDLER_OK;
        }}"
    );
    let mix = Handler::wgsl(OPCODE, "mix", "mix.wgsl", source).iterations(rounds + 1);
    let kernel = if is_fused { Kernel::fused(mix) } else { Kernel::builder().handler(mix).build() };
    kernel.expect("a handler that compiles")
}

fn open(is_fused: bool, rounds: u32) -> Driver {
    let geometry = Geometry::of_slots(JOBS, OBSERVABLES).expect("legal counts");
    let builder = Driver::builder(kernel(is_fused, rounds), geometry);
    builder.backend(BackendChoice::Mapped).open().expect("a GPU")
}

fn drains(is_fused: bool, rounds: u32) -> Box<dyn Side> {
    let item = |i| WorkItem { opcode: OPCODE, input: i, output: i % OBSERVABLES, param: rounds };
    turns(open(is_fused, rounds), (0..JOBS).map(item).collect())
}

/// From WGSL to a driver that may drain.
fn opens(is_fused: bool, rounds: u32) -> Box<dyn Side> {
    side(
        None,
        |driver| *driver = None,
        move |driver| *driver = black_box(Some(open(is_fused, rounds))),
    )
}
