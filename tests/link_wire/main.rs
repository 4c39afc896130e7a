//! The link over a wire that flips, drops, inserts and doubles bytes, loses and replays frames, stalls
//! and makes noise, between sides that start anew at any time: no job is lost, none runs twice, none is
//! changed, every fate that is told is true, and it never comes to a standstill.
//!
//! `SLIPRING_LINK_SLOTS` says how many jobs the longest run has (the others have their share of
//! it), `SLIPRING_SEED` from which seed on. A failure prints the options that repeat it.

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

fn jobs() -> u64 {
    number("SLIPRING_LINK_SLOTS", 100_000)
}

fn seed() -> u64 {
    number("SLIPRING_SEED", 1)
}

fn run<const N: usize, const M: usize>(options: Options) -> Tally {
    let start = Instant::now();
    let tally = World::<N, M>::new(options).run();
    println!("{:.1} s: {options:?}\n    {tally:?}", start.elapsed().as_secs_f32());
    let told = tally.done + tally.faulted + tally.not_run + tally.unknown;
    assert_eq!(told + tally.forgotten, tally.published, "lost: {options:?}");
    tally
}

/// All kinds of faults at one rate.
fn run_at(rate: f64, jobs: u64) -> Tally {
    let faults = Faults::all(rate);
    run::<8, 64>(Options { faults, pauses: true, ..Options::calm(seed(), jobs) })
}

#[test]
fn nothing_is_lost_doubled_or_changed_at_a_fault_of_each_kind_in_a_thousand_frames() {
    run_at(0.001, jobs() / 4);
}

#[test]
fn nothing_is_lost_doubled_or_changed_at_a_fault_of_each_kind_in_a_hundred_frames() {
    let tally = run_at(0.01, jobs());
    assert!(tally.damaged > jobs() / 20 && tally.resent > jobs() / 20, "what wire was that?");
}

#[test]
fn nothing_is_lost_doubled_or_changed_at_a_fault_of_each_kind_in_ten_frames() {
    run_at(0.1, jobs() / 20);
}

#[test]
fn each_kind_of_fault_alone_does_no_harm() {
    let none = Faults::default();
    for faults in [
        Faults { flip: 0.1, ..none },
        Faults { drop: 0.1, ..none },
        Faults { insert: 0.1, ..none },
        Faults { duplicate: 0.1, ..none },
        Faults { lose: 0.1, ..none },
        Faults { noise: 0.1, ..none },
        Faults { stall: 0.1, ..none },
        Faults { replay: 0.1, ..none },
    ] {
        run::<8, 64>(Options { faults, ..Options::calm(seed(), jobs() / 50) });
    }
}

#[test]
fn windows_of_any_sizes_work_together() {
    let options = Options { faults: Faults::all(0.01), ..Options::calm(seed(), jobs() / 100) };
    run::<1, 1>(options);
    run::<1, 64>(options);
    run::<4, 2>(options);
    run::<64, 4>(options);
    run::<64, 64>(options);
}

#[test]
fn fates_are_true_whichever_side_starts_anew_and_however_clocks_jump() {
    let (mut unknown, mut not_run, mut orphaned) = (0, 0, 0);
    let runs = 36;
    for seed in seed()..seed() + runs {
        let choose = |from: [f64; 3], every: u64| from[(seed / every % 3) as usize];
        let tally = run::<8, 64>(Options {
            faults: Faults::all(choose([0.001, 0.01, 0.1], 1)),
            restarts: choose([0.0005, 0.002, 0.01], 3),
            clock_jumps: choose([0.0, 0.001, 0.01], 4),
            latency_ms: seed % 4,
            job_ms: choose([0.0, 2.0, 20.0], 5) as u64,
            pauses: seed & 1 == 1,
            settles: seed & 2 == 2,
            ..Options::calm(seed, jobs() / 4 / runs)
        });
        unknown += tally.unknown;
        not_run += tally.not_run;
        orphaned += tally.orphaned;
    }
    assert!(unknown > 0 && not_run > 0 && orphaned > 0, "nothing was in flight");
}

#[test]
fn a_lost_frame_in_a_hundred_costs_less_than_a_tenth_of_the_goodput() {
    let per_second = |lose| {
        let faults = Faults { lose, ..Faults::default() };
        let tally = run::<8, 64>(Options { faults, ..Options::calm(seed(), jobs() / 20) });
        tally.published as f64 * 1000.0 / tally.ms as f64
    };
    let lossless = per_second(0.0);
    assert!(lossless >= 0.95 * world::WIRE_SLOTS_PER_SECOND, "{lossless:.0} slots/s");
    for (lose, least) in [(0.001, 0.98), (0.01, 0.9), (0.1, 0.6)] {
        let share = per_second(lose) / lossless;
        println!("{lose} of the frames lost: {share:.3} of {lossless:.0} slots/s");
        assert!(share >= least, "{share:.3} of the lossless goodput at {lose} lost frames");
    }
}
