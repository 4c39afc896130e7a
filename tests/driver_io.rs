//! I/O that the GPU asks for, served from files.

mod gpu;
mod ingest;

use gpu::{everywhere, is_skipped, open};
use ingest::{TempFile, pattern, summing};
use slipring_core::opcode;
use slipring_core::publisher::{Outcome, Ticket};
use slipring_core::ring::Job;
use slipring_core::slot::fault;
use slipring_driver::input::{Access, Handle, IoPump, IoTable};
use slipring_driver::{BackendChoice, Driver, DriverBuilder, Readback, persistent};
use std::fs::File;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// 8 chunks of 4 KiB, 64 slots.
fn builder() -> DriverBuilder {
    summing(64)
}

/// A file, and a region for each of the arena's chunks; both handles of the first.
fn table(file: &TempFile, bytes: u64) -> (IoTable, Handle, Vec<Handle>) {
    let mut table = IoTable::new();
    let file = table.add_file(File::open(&file.0).unwrap(), 0..bytes, Access::READ).unwrap();
    let chunks = (0..8).map(|chunk| chunk * 4096..(chunk + 1) * 4096);
    let regions = chunks.map(|bytes| table.add_region(bytes, Access::READ_WRITE).unwrap());
    let regions = regions.collect();
    (table, file, regions)
}

/// Loads `bytes` at `offset` to a region.
fn load(file: Handle, offset: u32, bytes: u32, region: Handle) -> [u32; 6] {
    [file.0, 0, offset, 0, bytes, region.0]
}

fn run(driver: &mut Driver, ticket: Ticket) -> Outcome {
    loop {
        driver.dispatch(&Readback::none()).unwrap();
        match driver.outcome(ticket) {
            Outcome::Pending => assert!(driver.wait_io(SECOND), "nothing ends"),
            outcome => return outcome,
        }
    }
}

fn arena_bytes(driver: &mut Driver, region: usize, bytes: usize) -> Vec<u8> {
    let mut words = vec![0; 1024];
    driver.read_arena(1024 * region, &mut words).unwrap();
    bytemuck::cast_slice(&words)[..bytes].to_vec()
}

#[test]
fn load_miss_brings_what_it_asks_for() {
    let bytes = pattern(7, 10_000);
    let file = TempFile::new("load-miss", &bytes);
    for own_thread in [false, true] {
        everywhere(builder(), |driver| {
            let (table, file, regions) = table(&file, 10_000);
            let pump = IoPump::new(table);
            driver.attach_io(if own_thread { pump.own_thread() } else { pump }).unwrap();
            for (region, offset) in [0, 1, 4096, 5904].into_iter().enumerate() {
                let args = load(file, offset, 4096, regions[region]);
                let ticket = driver.publish(&Job::new(opcode::LOAD_MISS, &args)).unwrap();
                assert_eq!(run(driver, ticket), Outcome::Done);
                let start = offset as usize;
                assert_eq!(arena_bytes(driver, region, 4096), bytes[start..start + 4096]);
            }
            // Past the end: that one alone fails.
            let wrong = driver
                .publish(&Job::new(opcode::LOAD_MISS, &load(file, 5905, 4096, regions[0])))
                .unwrap();
            let right = driver
                .publish(&Job::new(opcode::LOAD_MISS, &load(file, 9999, 0, regions[5])))
                .unwrap();
            assert_eq!(run(driver, wrong), Outcome::Fault(fault::IO));
            assert_eq!(run(driver, right), Outcome::Done);
            assert_eq!(arena_bytes(driver, 5, 1), bytes[9999..]);
        });
    }
}

#[test]
fn load_miss_brings_what_it_asks_for_while_a_kernel_stays_on() {
    if is_skipped() {
        return;
    }
    let bytes = pattern(8, 1 << 20);
    let file = TempFile::new("load-miss-stays", &bytes);
    for own_thread in [false, true] {
        let builder = builder().persistent(persistent::DEFAULT_SLICE);
        let mut driver = open(builder, BackendChoice::Mapped);
        let (table, file, regions) = table(&file, 1 << 20);
        let pump = IoPump::new(table);
        driver.attach_io(if own_thread { pump.own_thread() } else { pump }).unwrap();
        for round in 0..50 {
            let mut kernel = driver.persist().unwrap();
            let offsets = [0, 1, 2, 3].map(|i| (round * 4 + i) * 4096 + i);
            let tickets = [0, 1, 2, 3].map(|i| {
                let args = load(file, offsets[i], 4096, regions[i]);
                kernel.publish(&Job::new(opcode::LOAD_MISS, &args)).unwrap()
            });
            for ticket in tickets {
                assert_eq!(kernel.wait(ticket, 10 * SECOND).unwrap(), Outcome::Done);
            }
            kernel.stop().unwrap();
            for (region, offset) in offsets.into_iter().enumerate() {
                let start = offset as usize;
                assert_eq!(arena_bytes(&mut driver, region, 4096), bytes[start..start + 4096]);
            }
        }
    }
}
