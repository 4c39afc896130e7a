//! Links from microcontrollers into a driver's ring and back.

mod gpu;
mod links;

use links::{Board, RUNGS, WORDS, builder, geometry, host, open};
use slipring_driver::Driver;
use slipring_driver::link::{Link, Links, Results, Wire};
use std::os::unix::net::UnixStream;
use std::thread;

fn everywhere(slots: u32, tenants: u32, check: impl Fn(&mut Driver)) {
    gpu::everywhere(builder(slots, tenants), check);
}

#[test]
fn jobs_come_over_a_socket_and_their_results_go_back() {
    everywhere(16, 1, |driver| {
        for rung in RUNGS {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let link = Link::new("pair", Wire::stream(ours));
            let link = link.results(Results::observables(0, WORDS));
            let mut links = open(Links::builder(driver).link(link), rung);
            let mut board = Board::new(7, geometry(16), theirs);
            let board = thread::scope(|scope| {
                let running = scope.spawn(move || {
                    board.run(0..500);
                    board
                });
                host(&mut links, driver, "500 jobs", |_| running.is_finished());
                running.join().unwrap()
            });
            board.assert_done(0..500, 0);
            let counters = links.counters(0);
            assert_eq!((counters.published, counters.done), (500, 500), "{counters:?}");
            assert_eq!(counters.orphaned + counters.unknown + counters.not_run, 0);
        }
    });
}
