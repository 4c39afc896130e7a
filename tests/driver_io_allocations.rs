//! What a served request allocates: nothing on the mapped backend.

mod counting;
mod gpu;
mod ingest;
mod io;

use counting::allocations;
use ingest::{TempFile, pattern};
use io::*;
use slipring_core::opcode;
use slipring_core::publisher::{Outcome, Ticket};
use slipring_core::ring::Job;
use slipring_core::slot::fault;
use slipring_driver::input::{Access, IoTable};
use slipring_driver::persistent::DEFAULT_SLICE;
use slipring_driver::{BackendChoice, Readback};
use std::time::Duration;

/// Each serves six requests.
const TURNS: u32 = 2000;
const ENDS: [Outcome; 5] =
    [Outcome::Done, Outcome::Done, Outcome::Done, Outcome::Fault(fault::IO), Outcome::Done];

#[test]
fn ten_thousand_requests_allocate_nothing() {
    if gpu::is_skipped() {
        return;
    }
    let temp = TempFile::new("allocations", &pattern(80, 10_000));
    for way in Way::all().into_iter().filter(|way| way.choice == BackendChoice::Mapped) {
        // Without the validation layer, whose messages would count.
        let builder = builder(8).backend(BackendChoice::Mapped);
        let mut driver = builder.persistent(DEFAULT_SLICE).open().unwrap();
        let mut table = IoTable::new();
        let file = open_to_write(&temp.0);
        let file = table.add_file(file, 0..10_000, Access::READ_WRITE).unwrap();
        let regions = add_regions(&mut table);
        driver.attach_io(way.pump(table)).unwrap();
        let load = [file.0, 0, 100, 0, 4096, regions[0].0];
        let prefetch = [file.0, 1, 9000, 0, 4096, regions[1].0];
        let fenced = Ask::read(file, 500, 333, regions[2]).args(0);
        let wrong = Ask::read(file, 500, 5000, regions[3]).args(0);
        let write = Ask::write(regions[4], file, 5000, 4096).args(0);
        let jobs = [
            Job::new(opcode::LOAD_MISS, &load),
            // It fails, and is counted.
            Job::new(opcode::LOAD_MISS, &prefetch),
            Job::new(FENCED, &fenced),
            Job::new(ASK, &wrong),
            Job::new(ASK, &write),
        ];
        let allocated = if way.stays {
            let mut kernel = driver.persist().unwrap();
            allocations(TURNS, || {
                let tickets: [Ticket; 5] =
                    std::array::from_fn(|i| kernel.publish(&jobs[i]).unwrap());
                let ends = tickets.map(|ticket| kernel.wait(ticket, PATIENCE).unwrap());
                assert_eq!(ends, ENDS);
            })
        } else {
            allocations(TURNS, || {
                let tickets: [Ticket; 5] =
                    std::array::from_fn(|i| driver.publish(&jobs[i]).unwrap());
                let mut ends = [Outcome::Pending; 5];
                while ends.contains(&Outcome::Pending) {
                    driver.dispatch(&Readback::none()).unwrap();
                    driver.wait_io(Duration::from_secs(1)).unwrap();
                    for (end, ticket) in ends.iter_mut().zip(tickets) {
                        if *end == Outcome::Pending {
                            *end = driver.outcome(ticket);
                        }
                    }
                }
                assert_eq!(ends, ENDS);
            })
        };
        assert_eq!(allocated, 0, "in {TURNS} turns of {way:?}");
        assert!(driver.prefetch_failures() >= TURNS);
    }
}
