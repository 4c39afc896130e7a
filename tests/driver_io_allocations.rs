//! Serving the GPU's requests allocates nothing.

mod gpu;
#[path = "ingest/mod.rs"]
mod ingest;
mod io;

use gpu::is_skipped;
use ingest::TempFile;
use io::{ASK, Ask, PATIENCE, SLOTS, add_regions, builder, open_to_read};
use slipring_core::publisher::Outcome;
use slipring_core::ring::Job;
use slipring_driver::input::{Access, IoPump, IoTable};
use slipring_driver::{BackendChoice, Readback};
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

const REQUESTS: u64 = 4000;
const WARM_UP: u64 = 200;

#[test]
fn thousands_of_requests_allocate_nothing() {
    if is_skipped() {
        return;
    }
    for own_thread in [false, true] {
        // Without the validation layer, whose messages would count.
        let mut driver = builder(SLOTS).backend(BackendChoice::Mapped).open().unwrap();
        let file = TempFile::new("io-allocations", &[7; 4096]);
        let mut table = IoTable::new();
        let source = table.add_file(open_to_read(&file.0), 0..4096, Access::READ).unwrap();
        let region = add_regions(&mut table)[0];
        let pump = IoPump::new(table);
        driver.attach_io(if own_thread { pump.own_thread() } else { pump }).unwrap();
        let args = Ask::read(source, 0, 4096, region).args(0);
        let readback = Readback::observables(0..1);
        let mut before = 0;
        for request in 0..REQUESTS {
            if request == WARM_UP {
                before = ALLOCATIONS.load(Relaxed);
            }
            let ticket = driver.publish(&Job::new(ASK, &args)).unwrap();
            while driver.outcome(ticket) == Outcome::Pending {
                assert!(driver.wait_io(PATIENCE));
                driver.dispatch(&readback).unwrap();
            }
            assert_eq!(driver.row().control.observable(0), Ok(4096));
        }
        let allocated = ALLOCATIONS.load(Relaxed) - before;
        assert_eq!(allocated, 0, "own_thread: {own_thread}");
    }
}
