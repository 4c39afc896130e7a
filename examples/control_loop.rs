//! A control loop at 1 kHz whose work runs on a kernel that stays on: no submission in the loop.
//!
//! ```text
//!   every ms:  publish ─▶ wait for DONE (microseconds) ─▶ result
//! ```

use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::publisher::Outcome;
use slipring_core::ring::Job;
use slipring_driver::{Driver, Kernel, persistent};
use std::time::{Duration, Instant};

const TURNS: usize = 500;
const PERIOD: Duration = Duration::from_millis(1);
const DEADLINE: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let builder = Driver::builder(Kernel::builder().build()?, Geometry::of_slots(64, 8)?);
    let mut driver = builder.persistent(persistent::DEFAULT_SLICE).open()?;
    println!("gpu      {} ({})", driver.backend().adapter, driver.backend().backend);
    let mut kernel = driver.persist()?;

    let mut latencies = [Duration::ZERO; TURNS];
    let mut sum = 0;
    let start = Instant::now();
    for (turn, latency) in (0..).zip(&mut latencies) {
        let published = Instant::now();
        let ticket = kernel.publish(&Job::new(opcode::ATOMIC_ADD, &[turn, 160]))?;
        let outcome = kernel.wait(ticket, DEADLINE)?;
        *latency = published.elapsed();
        sum += turn;
        let observed = kernel.row().control.observable(0)?;
        if outcome != Outcome::Done || observed != sum {
            return Err(format!("turn {turn}: {outcome:?}, {observed} instead of {sum}").into());
        }
        let next = start + PERIOD * (turn + 1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let slices = kernel.stop()?;

    latencies.sort();
    println!("turns    {TURNS}, every result right");
    println!("latency  {:?} median, {:?} at most", latencies[TURNS / 2], latencies[TURNS - 1]);
    println!("slices   {}, stopped in {:?}", slices.slices, slices.stopped_in);
    Ok(())
}
