//! A kernel that stays on: from publishing to DONE, one job at a time and a thousand.

use crate::harness::{Case, Side, side};
use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::ring::{Job, WorkItem};
use slipring_core::slot::Priority;
use slipring_driver::persistent::DEFAULT_SLICE;
use slipring_driver::{BackendChoice, Driver, Kernel, Persistent};
use std::time::Duration;

/// Jobs published at once.
const BATCH: u32 = 1024;
const TIMEOUT: Duration = Duration::from_secs(10);

pub fn cases() -> Vec<Case> {
    let case = |name, unit, units, ours| Case { name, unit, units, calls: 1, ours, peer: None };
    vec![
        case("publish to DONE, 64 slots", "us/job", 1000, one(64)),
        case("publish to DONE, 1024 slots", "us/job", 1000, one(BATCH)),
        case("1024 at once", "ns/job", BATCH, many()),
    ]
}

/// A kernel that is started when its case is, and stays on until that ends.
struct Lazy {
    slots: u32,
    kernel: Option<Persistent<'static>>,
}

impl Lazy {
    fn start(&mut self) {
        if self.kernel.is_none() {
            self.kernel = Some(start(self.slots));
        }
    }

    fn kernel(&mut self) -> &mut Persistent<'static> {
        self.kernel.as_mut().expect("started before it is measured")
    }
}

fn start(slots: u32) -> Persistent<'static> {
    let kernel = Kernel::builder().build().expect("the built-in kernel compiles");
    let builder = Driver::builder(kernel, Geometry::of_slots(slots, 64).expect("legal counts"));
    let driver = builder.persistent(DEFAULT_SLICE).backend(BackendChoice::Mapped).open();
    Box::leak(Box::new(driver.expect("a GPU"))).persist().expect("a kernel that stays on")
}

fn one(slots: u32) -> Box<dyn Side> {
    side(Lazy { slots, kernel: None }, Lazy::start, |lazy| {
        let kernel = lazy.kernel();
        let ticket = kernel.publish(&Job::new(opcode::ATOMIC_ADD, &[1, 160])).expect("room");
        kernel.wait(ticket, TIMEOUT).expect("its end");
    })
}

fn many() -> Box<dyn Side> {
    let item = WorkItem { opcode: opcode::ATOMIC_ADD, input: 1, output: 160, param: 0 };
    let items = vec![item; BATCH as usize];
    side(Lazy { slots: BATCH, kernel: None }, Lazy::start, move |lazy| {
        let kernel = lazy.kernel();
        kernel.publish_items(0, Priority::Normal, &items).expect("room");
        kernel.wait_all(TIMEOUT).expect("their end");
    })
}
