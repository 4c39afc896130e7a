//! What links allocate once they are open: nothing, be it for jobs or for wires that come and go.

mod counting;
mod gpu;
mod links;

use counting::allocated;
use links::{Board, RUNGS, WORDS, builder, geometry, open};
use slipring_driver::link::{Link, Links, Results, Wire};
use slipring_driver::{BackendChoice, Readback};
use std::os::unix::net::UnixListener;
use std::time::Duration;

const SLOTS: u32 = 8;

#[test]
fn jobs_and_wires_that_come_and_go_allocate_nothing() {
    if gpu::is_skipped() {
        return;
    }
    for rung in RUNGS {
        // Without the validation layer, whose messages would count.
        let mut driver = builder(SLOTS, 1).backend(BackendChoice::Mapped).open().unwrap();
        let path = links::TempPath::new("allocations");
        let listener = UnixListener::bind(&path.0).unwrap();
        let link = Link::new("board", Wire::unix(&path.0));
        let builder = Links::builder(&driver).link(link.results(Results::observables(0, WORDS)));
        let mut links = open(builder, rung);
        let readback = Readback::observables(0..WORDS * SLOTS);
        // The board allocates: the host's own allocations are counted while it does nothing.
        let mut host_allocated = 0;
        let mut turn = |links: &mut Links| {
            let before = allocated();
            for _ in 0..4 {
                links.turn(&mut driver).unwrap();
                if driver.has_work() {
                    driver.dispatch(&readback).unwrap();
                }
                links.wait(&mut driver, Duration::from_micros(100)).unwrap();
                while links.next_event().is_some() {}
            }
            host_allocated += allocated() - before;
            host_allocated
        };
        turn(&mut links);
        let mut board = Board::new(1, geometry(SLOTS), listener.accept().unwrap().0);
        let (mut next, mut before) = (0, 0);
        while board.ends.len() < 500 {
            if next < 500 && board.publish_one(next) {
                next += 1;
            }
            board.turn();
            let allocated = turn(&mut links);
            if board.ends.len() < 10 {
                before = allocated;
            }
            if next % 100 == 99 {
                next += u32::from(board.publish_one(next));
                board.unplug();
                listener.set_nonblocking(true).unwrap();
                let wire = loop {
                    turn(&mut links);
                    if let Ok((wire, _)) = listener.accept() {
                        break wire;
                    }
                };
                board.plug(wire);
            }
        }
        assert!(links.counters(0).wires > 4, "{:?}", links.counters(0));
        assert_eq!(turn(&mut links) - before, 0, "with {rung}");
    }
}
