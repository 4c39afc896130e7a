//! The link over a wire that flips, drops, inserts and doubles bytes, loses frames, stalls and
//! makes noise, between sides that start anew at any time: no job is lost, none runs twice, none is
//! changed, every fate that is told is true, and it never comes to a standstill.
//!
//! `SLIPRING_LINK_SLOTS` says how many jobs the long runs have, `SLIPRING_SEED` their seed.

mod random;
mod wire;
mod world;

use std::time::Instant;
use wire::Faults;
use world::{Options, Tally, World};

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{variable} is no number: {value}")),
        Err(_) => default,
    }
}

fn run(name: &str, options: Options) -> Tally {
    let start = Instant::now();
    let tally = World::<8, 64>::new(options).run();
    println!("{name}, {:.1} s: {tally:?}", start.elapsed().as_secs_f32());
    let told = tally.done + tally.faulted + tally.not_run + tally.unknown;
    assert_eq!(told + tally.forgotten, tally.published, "lost: {options:?}");
    tally
}

#[test]
fn nothing_is_lost_doubled_or_changed_at_one_fault_of_each_kind_in_a_hundred_frames() {
    let jobs = number("SLIPRING_LINK_SLOTS", 20_000);
    let seed = number("SLIPRING_SEED", 1);
    let faults = Faults::all(0.01);
    let options = Options { faults, pauses: true, ..Options::calm(seed, jobs) };
    let tally = run("1 %", options);
    assert!(tally.damaged > jobs / 50 && tally.resent > jobs / 50);
}
