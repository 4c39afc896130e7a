//! 64 jobs in rings of many sizes: cost follows the jobs, not the ring.

use crate::dispatch::{Work, slipring};
use crate::harness::{Case, lazily};
use slipring_driver::BackendChoice;

const JOBS: u32 = 64;
const RINGS: [u32; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];

pub fn cases() -> Vec<Case> {
    let backends = [("mapped", BackendChoice::Mapped), ("portable", BackendChoice::Portable)];
    let case = |slots: u32, (name, choice)| Case {
        name: format!("{slots} slots, {name}").leak(),
        unit: "us/turn",
        units: 1000,
        calls: 1,
        ours: lazily(move || slipring(&Work::adds(JOBS), slots, choice)),
        peer: None,
    };
    backends.into_iter().flat_map(|backend| RINGS.map(|slots| case(slots, backend))).collect()
}
