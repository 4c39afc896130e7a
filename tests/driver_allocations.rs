//! What a dispatch allocates: contract E8, nothing on the mapped backend. A counting allocator
//! sees every Rust allocation of the process, on any thread. (One test: it must be alone.)

mod gpu;

use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::publisher::{Outcome, Ticket};
use slipring_core::ring::{Job, WorkItem};
use slipring_core::slot::Priority;
use slipring_driver::{BackendChoice, Driver, Kernel, Readback, Recovery};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

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
    allocates_nothing(builder.recovery(Recovery::default()).open().unwrap());
}

fn allocates_nothing(mut driver: Driver) {
    let items = [WorkItem { opcode: opcode::ATOMIC_ADD, input: 1, output: 160, param: 0 }; 8];
    for _ in 0..10 {
        turn(&mut driver, &items);
    }
    let before = ALLOCATIONS.load(Relaxed);
    for _ in 0..DISPATCHES {
        turn(&mut driver, &items);
    }
    let allocations = ALLOCATIONS.load(Relaxed) - before;
    assert_eq!(allocations, 0, "in {DISPATCHES} dispatches");
    assert_eq!(driver.row().control.done_count(), Ok(16 * (DISPATCHES + 10)));
}
