//! Requests that are served while drains are in flight.

mod gpu;
mod ingest;
mod io;

use ingest::{TempFile, pattern};
use io::*;
use slipring_core::publisher::{Outcome, Ticket};
use slipring_core::ring::Job;
use slipring_driver::input::{Access, Handle, IoTable};
use slipring_driver::{BackendChoice, Driver, Overlapped, Readback};
use std::collections::VecDeque;
use std::time::Instant;

const BYTES: usize = 1 << 20;

fn table(temp: &TempFile) -> IoTable {
    let mut table = IoTable::new();
    table.add_file(open_to_read(&temp.0), 0..BYTES as u64, Access::READ).unwrap();
    add_regions(&mut table);
    table
}

/// Jobs of every kind that asks, of which the request is published well before its lane leaves.
fn publish(driver: &mut Overlapped<'_>, number: u32) -> Option<Ticket> {
    let region = Handle(2 + number % REGIONS as u32);
    let offset = u64::from(number) * 1000 % (BYTES as u64 - 4096);
    let ask = Ask::read(Handle(1), offset, 100, region).own(number % SLOTS);
    let (opcode, most) = [(ASK, 0), (DAWDLE, MOST), (LEAVE, 0), (DAWDLE, 100)][number as usize % 4];
    driver.publish(&Job::new(opcode, &ask.args(most))).ok()
}

/// Keeps three drains in flight, and looks at what has ended; how many jobs ended meanwhile.
fn overlap(driver: &mut Driver, jobs: u32) -> u32 {
    let mut overlapped = driver.overlapped(&Readback::none()).unwrap();
    let (start, mut number, mut ended) = (Instant::now(), 0, 0);
    let (mut tickets, mut dispatches) = (Vec::new(), VecDeque::new());
    // On the mapped backend all of them end while there always is a drain in flight.
    while ended < jobs && start.elapsed() < PATIENCE {
        while number < jobs && tickets.len() < 24 {
            let Some(ticket) = publish(&mut overlapped, number) else { break };
            tickets.push(ticket);
            number += 1;
        }
        dispatches.push_back(overlapped.dispatch().unwrap());
        if dispatches.len() == 3 {
            overlapped.wait(dispatches.pop_front().unwrap()).unwrap();
        }
        let before = tickets.len();
        tickets.retain(|&ticket| match overlapped.outcome(ticket) {
            Outcome::Pending => true,
            outcome => {
                assert_eq!(outcome, Outcome::Done);
                false
            }
        });
        ended += (before - tickets.len()) as u32;
    }
    ended
}

#[test]
fn on_the_mapped_backend_requests_are_served_while_drains_are_in_flight() {
    let temp = TempFile::new("overlapped", &pattern(50, BYTES));
    let is_mapped = |way: &Way| way.choice == BackendChoice::Mapped && !way.stays;
    for way in Way::all().into_iter().filter(is_mapped) {
        let mut driver = way.open(builder(4).in_flight(3));
        driver.attach_io(way.pump(table(&temp))).unwrap();
        assert_eq!(overlap(&mut driver, 1000), 1000);
        settle(&mut driver);
        assert_eq!((driver.in_flight(0), driver.prefetch_failures()), (0, 0));
    }
}

/// A fence that is asked for while a drain is in flight ends after what its job has asked before.
#[test]
fn fences_of_drains_in_flight_come_last() {
    let bytes = pattern(51, BYTES);
    let temp = TempFile::new("overlapped-fences", &bytes);
    for way in Way::all().into_iter().filter(|way| !way.stays) {
        let mut driver = way.open(builder(64).in_flight(3));
        driver.attach_io(way.pump(table(&temp))).unwrap();
        for round in 0..100 {
            let mut overlapped = driver.overlapped(&Readback::none()).unwrap();
            let start = |job: u32| (round * 8 + job) * 4;
            let tickets: Vec<_> = (0..8)
                .map(|job| {
                    let region = Handle(2 + job);
                    let ask = Ask::read(Handle(1), start(job).into(), 4, region).own(job);
                    let args = ask.args(1024 * job);
                    let ticket = overlapped.publish(&Job::new(FENCED, &args)).unwrap();
                    let dispatch = overlapped.dispatch().unwrap();
                    if overlapped.poll(dispatch).unwrap().is_none() {
                        overlapped.wait(dispatch).unwrap();
                    }
                    ticket
                })
                .collect();
            drop(overlapped);
            for ticket in tickets {
                assert_eq!(finish(&mut driver, ticket), Outcome::Done);
            }
            settle(&mut driver);
            for job in 0..8 {
                let start = start(job) as usize;
                let expected = u32::from_ne_bytes(bytes[start..start + 4].try_into().unwrap());
                assert_eq!(driver.row().control.observable(job), Ok(expected));
            }
        }
    }
}

/// Where the host's row is a copy, they are when none is.
#[test]
fn elsewhere_requests_are_served_when_no_drain_is_in_flight() {
    let temp = TempFile::new("overlapped-copies", &pattern(52, BYTES));
    let is_copy = |way: &Way| way.choice != BackendChoice::Mapped;
    for way in Way::all().into_iter().filter(is_copy) {
        let mut driver = way.open(builder(4).in_flight(2));
        driver.attach_io(way.pump(table(&temp))).unwrap();
        let mut overlapped = driver.overlapped(&Readback::none()).unwrap();
        let tickets: Vec<_> = (0..16).filter_map(|i| publish(&mut overlapped, i)).collect();
        for _ in 0..2 {
            let first = overlapped.dispatch().unwrap();
            let second = overlapped.dispatch().unwrap();
            overlapped.wait(first).unwrap();
            overlapped.wait(second).unwrap();
        }
        drop(overlapped);
        for ticket in tickets {
            assert_eq!(finish(&mut driver, ticket), Outcome::Done);
        }
        settle(&mut driver);
        assert_eq!(driver.in_flight(0), 0);
    }
}
