//! Two segments: a histogram over 64 jobs, then each bin's prefix sum, in one dispatch.
//!
//! ```text
//!   segment 0   every job adds its words to the bins     ═ barrier ═▶
//!   segment 1   job b sums bins 0..=b
//! ```

use slipring_core::layout::Geometry;
use slipring_core::ring::WorkItem;
use slipring_core::slot::Priority;
use slipring_core::twin::{Call, HANDLER_CONTINUES, HANDLER_OK};
use slipring_driver::{Driver, Kernel, Readback, handler};
use std::sync::atomic::AtomicU32;

const HISTOGRAM: u32 = 0x100;
const BINS: u32 = 64;
const JOB_WORDS: u32 = 1024;
/// A turn a word and one to see the end; then a turn a bin, and one more.
const ITERATIONS: u32 = JOB_WORDS + 1 + BINS + 1;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let handler = handler!(HISTOGRAM, "histogram", "histogram.wgsl");
    let handler = handler.iterations(ITERATIONS).segments(2).on_cpu(on_cpu);
    let kernel = Kernel::builder().handler(handler).build()?;
    let words: Vec<u32> = (0..BINS * JOB_WORDS).map(|i| i.wrapping_mul(0x9E37_79B9) >> 7).collect();
    let geometry = Geometry::of_slots(BINS, 2 * BINS)?;
    let mut driver = Driver::builder(kernel, geometry).workspace_words(words.len()).open()?;
    driver.write_workspace(0, &words)?;

    let item =
        |bin| WorkItem { opcode: HISTOGRAM, input: bin * JOB_WORDS, output: JOB_WORDS, param: bin };
    let items: Vec<WorkItem> = (0..BINS).map(item).collect();
    driver.publish_items(0, Priority::Normal, &items)?;
    let drained = driver.dispatch(&Readback::observables(0..2 * BINS))?;
    println!(
        "{} jobs in {} launches on {}",
        drained.done,
        drained.launches,
        driver.backend().adapter
    );

    let mut expected = 0;
    for bin in 0..BINS {
        expected += words.iter().filter(|word| **word % BINS == bin).count() as u32;
        let sum = driver.row().control.observable(BINS + bin)?;
        if sum != expected {
            return Err(format!("bin {bin}: the sum is {sum}, and {expected} was expected").into());
        }
    }
    println!("every prefix sum equals the CPU's");
    Ok(())
}

/// The twin of `histogram.wgsl`.
fn on_cpu(call: &Call<'_, AtomicU32>) -> u32 {
    if call.segment() == 0 {
        for i in 0..call.arg(1).min(JOB_WORDS) {
            call.observe_add(call.workspace_load(call.arg(0).wrapping_add(i)) % BINS, 1);
        }
        return HANDLER_CONTINUES;
    }
    let bin = call.arg(2).min(BINS - 1);
    let sum = (0..=bin).fold(0u32, |sum, i| sum.wrapping_add(call.observable(i)));
    call.observe(BINS + bin, sum);
    HANDLER_OK
}
