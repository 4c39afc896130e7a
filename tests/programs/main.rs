//! Random programs on the CPU twin and on the GPU: the same words in every buffer.
//!
//! ```text
//!   program ─┬─▶ twin ──────────────▶ words ═╗
//!            ├─▶ GPU, one lane ─────▶ words ═╣ equal bit for bit
//!            └─▶ GPU, a lane a slot ▶ words ═╝ if the order of lanes does not matter;
//!                                              the invariants of K1 to K4 if it does
//! ```
//!
//! `SLIPRING_PROGRAMS` says how many, `SLIPRING_SEED` from which seed on. A failure prints the
//! seed that runs its program first.

mod census;
mod effects;
mod generate;
#[path = "../gpu/mod.rs"]
mod gpu;
mod handlers;
mod invariants;
mod jobs;
mod model;
mod order;
mod program;
mod rig;
mod shape;
mod shrink;
mod state;
mod validation;
mod words;

use census::Census;
use program::Program;
use rig::Rig;
use shape::Shape;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{variable} is no number: {value}")),
        Err(_) => default,
    }
}

/// The shape of a seed's program. The largest one is rarer: it takes longer.
fn shape_of(seed: u64) -> usize {
    [0, 1, 2, 3, 4, 6, 1, 2, 3, 8, 0, 7, 6, 4, 0, 5][(seed % 16) as usize]
}

/// And what K2, K3 and K4 say, for programs whose slots race.
#[test]
fn k1_random_programs_do_the_same_on_the_twin_and_on_the_gpu() {
    if gpu::is_skipped() {
        return;
    }
    let programs = number("SLIPRING_PROGRAMS", 10_000);
    let seed = number("SLIPRING_SEED", 1);
    let done = AtomicU64::new(0);
    let start = Instant::now();
    // Two threads, a share of the shapes each.
    let census = std::thread::scope(|scope| {
        let shares = [&[0, 3, 5, 8][..], &[1, 2, 4, 6, 7]];
        let threads = shares.map(|share| {
            let (done, start) = (&done, &start);
            scope.spawn(move || run_share(share, seed..seed + programs, done, start))
        });
        threads.into_iter().fold(Census::default(), |mut sum, thread| {
            let census = thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause));
            sum.add(census);
            sum
        })
    });
    println!("{} drains; slots by status: {:?}", census.drains, census.statuses);
    println!("programs: {} run, {} serial only, 0 differences", census.programs, census.racing);
    if programs >= 1000 {
        census.assert_all_seen();
    }
}

/// Runs the programs of some shapes.
fn run_share(
    shares: &[usize],
    seeds: std::ops::Range<u64>,
    done: &AtomicU64,
    start: &Instant,
) -> Census {
    let shapes = Shape::all();
    let mut rigs: Vec<Option<Rig>> = shapes.iter().map(|_| None).collect();
    let (mut census, programs) = (Census::default(), seeds.end - seeds.start);
    for seed in seeds.filter(|seed| shares.contains(&shape_of(*seed))) {
        let shape = shape_of(seed);
        let rig = rigs[shape].get_or_insert_with(|| Rig::open(shapes[shape]));
        let program = Program::random(seed, &shapes[shape]);
        match rig.run(&program) {
            Ok(drains) => census.count(&drains),
            Err(failure) => fail(rig, seed, program, failure),
        }
        gpu::assert_no_messages();
        let ran = done.fetch_add(1, Ordering::Relaxed) + 1;
        if ran.is_multiple_of(1000) {
            println!("{ran} of {programs} programs, {:.0} s", start.elapsed().as_secs_f32());
        }
    }
    census
}

fn fail(rig: &mut Rig, seed: u64, program: Program, failure: String) -> ! {
    let (shape, first) = (rig.shape, failure.clone());
    let (program, failure) = shrink::shrink(rig, program, failure);
    panic!(
        "the program of seed {seed} differs\n{first}\n\n\
         made smaller:\n{program}\n{failure}\n\n{shape:?}\n\
         again: SLIPRING_SEED={seed} SLIPRING_PROGRAMS=1"
    );
}
