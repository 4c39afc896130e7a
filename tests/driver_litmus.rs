//! What `slipring-bench litmus` asks of each memory type holds, with few jobs.

mod gpu;
#[path = "../benches/src/litmus/stress.rs"]
mod stress;

use slipring_driver::persistent::DEFAULT_SLICE;
use slipring_driver::storage::{Pages, words_for};
use slipring_driver::{BackendChoice, Driver, DriverBuilder, OpenError};
use stress::{Findings, GEOMETRY};

const JOBS: u32 = 10_000;

static STORAGE: Pages<{ words_for(GEOMETRY) }> = Pages::new();

fn open_first() -> gpu::Checked {
    let builder = Driver::builder(stress::kernel(), GEOMETRY).persistent(DEFAULT_SLICE);
    gpu::open(builder, BackendChoice::Mapped)
}

fn another(first: &Driver) -> DriverBuilder {
    stress::row(first.another_row(GEOMETRY), JOBS)
}

fn assert_holds(findings: Findings) {
    let (tally, _) = findings.unwrap();
    assert!(tally.iter().all(|(_, jobs)| *jobs == 0), "{tally:?}");
}

#[test]
fn every_job_is_whole_and_once_in_every_memory_type() {
    if gpu::is_skipped() {
        return;
    }
    let first = open_first();
    let types = (0..32).map(|index| another(&first).memory_type(index).open());
    let rows: Vec<_> = types.chain([another(&first).storage(STORAGE.words()).open()]).collect();
    assert!(rows[..32].iter().any(Result::is_ok), "{rows:?}");
    for mut row in rows.into_iter().flatten().map(gpu::Checked::from) {
        println!("{}", row.backend().reason);
        assert_holds(stress::drains(&mut row, JOBS));
        // A discrete GPU sees not all memory that the host writes.
        match stress::stays(&mut row, JOBS) {
            Err(reason) if !row.backend().is_cpu => println!("{reason}"),
            findings => assert_holds(findings),
        }
    }
}

#[test]
fn a_memory_type_that_the_device_does_not_have_is_refused() {
    if gpu::is_skipped() {
        return;
    }
    // Vulkan has 32 at most.
    let Err(OpenError::NotMapped { reason }) = another(&open_first()).memory_type(32).open() else {
        panic!("a row in no memory");
    };
    assert!(reason.starts_with("there is no memory type 32"), "{reason}");
}
