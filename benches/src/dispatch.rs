//! One turn of the loop: publish, dispatch, results.

use crate::harness::{Case, Side, side};
use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::ring::WorkItem;
use slipring_core::slot::Priority;
use slipring_driver::{BackendChoice, Driver, Kernel, Readback};
use std::hint::black_box;

/// Jobs of one turn.
const JOBS: [u32; 3] = [64, 256, 1024];

pub fn cases() -> Vec<Case> {
    JOBS.into_iter().flat_map(of_jobs).collect()
}

fn of_jobs(jobs: u32) -> Vec<Case> {
    let case = |name: &str, choice| Case {
        name: format!("{jobs} jobs, {name}").leak(),
        unit: "us/turn",
        units: 1000,
        calls: 1,
        ours: turn(jobs, choice),
        peer: None,
    };
    vec![case("mapped", BackendChoice::Mapped), case("portable", BackendChoice::Portable)]
}

fn turn(jobs: u32, choice: BackendChoice) -> Box<dyn Side> {
    let kernel = Kernel::builder().build().expect("the built-in kernel compiles");
    let geometry = Geometry::of_slots(jobs, 64).expect("legal counts");
    let driver = Driver::builder(kernel, geometry).backend(choice).open();
    let item = |i| WorkItem { opcode: opcode::ATOMIC_ADD, input: i, output: 160, param: 0 };
    let items: Vec<_> = (0..jobs).map(item).collect();
    side(
        driver.expect("a GPU"),
        |_| {},
        move |driver| {
            driver.publish_items(0, Priority::Normal, black_box(&items)).expect("room");
            let drained = driver.dispatch(&Readback::observables(0..64)).expect("a drain");
            assert_eq!(drained.done, items.len() as u32);
            black_box(driver.row().control.observable(0));
        },
    )
}
