//! What a dispatch allocates: contract E8, nothing on the mapped backend.

mod counting;
mod gpu;

use counting::allocations;
use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::publisher::{Outcome, Ticket};
use slipring_core::ring::{Job, WorkItem};
use slipring_core::slot::Priority;
use slipring_driver::{
    BackendChoice, Driver, Kernel, Readback, Recovery, RowResults, dispatch_rows,
};

const DISPATCHES: u32 = 10_000;

/// A turn of the loop: jobs one by one, a window, a batch, a fault, results.
fn turn(driver: &mut Driver, items: &[WorkItem]) {
    let add = Job::new(opcode::ATOMIC_ADD, &[1, 160]);
    let tickets: [Ticket; 4] = std::array::from_fn(|_| driver.publish(&add).unwrap());
    let window = driver.publish_items(0, Priority::Normal, items).unwrap();
    let pair: [(u32, &[u32]); 2] = [(opcode::NOP, &[]), (opcode::STORE_U32, &[7, 161])];
    let batch = driver.publish_batch(0, Priority::Normal, &pair, 9).unwrap();
    driver.publish(&Job::new(opcode::STORE_U32, &[1, u32::MAX])).unwrap();
    driver.set_observable(2, 5).unwrap();
    let drained = driver.dispatch(&Readback::observables(0..3)).unwrap();
    assert_eq!((drained.done, drained.faults), (15, 1));
    assert_eq!((drained.device_allocations, drained.device_allocation_bytes), (0, 0));
    assert!(tickets.iter().all(|ticket| driver.outcome(*ticket) == Outcome::Done));
    assert!(window.tickets().all(|ticket| driver.outcome(ticket) == Outcome::Done));
    assert_eq!(driver.outcome(batch.fence), Outcome::Done);
    assert_eq!(driver.next_fault().map(|fault| fault.code), Some(4));
}

#[test]
fn e8_ten_thousand_mapped_dispatches_allocate_nothing() {
    if gpu::is_skipped() {
        return;
    }
    let kernel = Kernel::builder().build().unwrap();
    let builder = Driver::builder(kernel, Geometry::of_slots(64, 8).unwrap());
    // Without the validation layer, whose messages would count.
    let builder = builder.backend(BackendChoice::Mapped);
    allocates_nothing(builder.clone().open().unwrap());
    allocates_nothing(builder.clone().recovery(Recovery::default()).open().unwrap());
    rows_allocate_nothing(builder.clone().open().unwrap());
    overlapped_dispatches_allocate_nothing(builder.in_flight(3).open().unwrap());
}

fn rows_allocate_nothing(first: Driver) {
    let open = |slots| first.another_row(Geometry::of_slots(slots, 8).unwrap()).open().unwrap();
    let (second, third) = (open(16), open(256));
    let mut rows = [first, second, third];
    let mut results = RowResults::with_capacity(rows.len());
    let add = Job::new(opcode::ATOMIC_ADD, &[1, 160]);
    let allocations = allocations(DISPATCHES, || {
        for row in &mut rows {
            row.publish(&add).unwrap();
        }
        dispatch_rows(&mut rows, &Readback::observables(0..1), &mut results).unwrap();
        assert_eq!(results.total().done, 3);
    });
    assert_eq!(allocations, 0, "in {DISPATCHES} dispatches of rows");
}

fn overlapped_dispatches_allocate_nothing(mut driver: Driver) {
    let mut overlapped = driver.overlapped(&Readback::observables(0..1)).unwrap();
    let add = Job::new(opcode::ATOMIC_ADD, &[1, 160]);
    let allocations = allocations(DISPATCHES, || {
        let dispatches: [_; 3] = std::array::from_fn(|_| {
            overlapped.publish(&add).unwrap();
            overlapped.dispatch().unwrap()
        });
        for dispatch in dispatches {
            assert_eq!(overlapped.wait(dispatch).unwrap().done, 1);
        }
    });
    assert_eq!(allocations, 0, "in {DISPATCHES} turns of overlapped dispatches");
}

fn allocates_nothing(mut driver: Driver) {
    let items = [WorkItem { opcode: opcode::ATOMIC_ADD, input: 1, output: 160, param: 0 }; 8];
    let allocations = allocations(DISPATCHES, || turn(&mut driver, &items));
    assert_eq!(allocations, 0, "in {DISPATCHES} dispatches");
    assert_eq!(driver.row().control.done_count(), Ok(16 * (DISPATCHES + 10)));
}
