//! Sampling, statistics and output.
//!
//! ```text
//!   ours:  prepare ─▶ [run] ─▶ …  ─┐                                      [ ] is timed
//!   peer:                          └─ prepare ─▶ [run] ─▶ …  ─┐           order flips each round
//! ```
//!
//! Ours and the peer take turns, some samples each, so that what else the machine does falls on
//! both. The first of a turn is not counted: a GPU takes long to change from one user's
//! context to another's, and so do caches.

use crate::counting::allocated;
use std::io::{self, Write};
use std::time::{Duration, Instant};

const WARM_UP: usize = 200;
const SAMPLES: usize = 4000;
/// Samples of a turn, but for the one that is not counted.
const TURN: usize = 25;
/// Of slow cases, as many samples as fit this time, but no fewer than the least; a tenth of both
/// to warm up.
const LONGEST: Duration = Duration::from_secs(4);
const LEAST: usize = 51;

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    Table,
    /// One object a line.
    Json,
}

/// What is measured: one sample is `prepare`, then a timed `run`.
pub trait Side {
    fn prepare(&mut self);
    fn run(&mut self);
}

struct Parts<S, P, R> {
    state: S,
    prepare: P,
    run: R,
}

impl<S, P: FnMut(&mut S), R: FnMut(&mut S)> Side for Parts<S, P, R> {
    fn prepare(&mut self) {
        (self.prepare)(&mut self.state);
    }

    fn run(&mut self) {
        (self.run)(&mut self.state);
    }
}

/// A side of two closures over one state.
pub fn side<S: 'static>(
    state: S,
    prepare: impl FnMut(&mut S) + 'static,
    run: impl FnMut(&mut S) + 'static,
) -> Box<dyn Side> {
    Box::new(Parts { state, prepare, run })
}

/// A side that is opened when it is first prepared, in the warm-up: what is open beside it on a GPU
/// slows it down.
struct Lazy<F> {
    open: Option<F>,
    side: Option<Box<dyn Side>>,
}

impl<F: FnOnce() -> Box<dyn Side>> Side for Lazy<F> {
    fn prepare(&mut self) {
        if let Some(open) = self.open.take() {
            self.side = Some(open());
        }
        self.side.iter_mut().for_each(|side| side.prepare());
    }

    fn run(&mut self) {
        self.side.iter_mut().for_each(|side| side.run());
    }
}

/// A side that is opened when its case comes.
pub fn lazily(open: impl FnOnce() -> Box<dyn Side> + 'static) -> Box<dyn Side> {
    Box::new(Lazy { open: Some(open), side: None })
}

/// One line of results.
pub struct Case {
    pub name: &'static str,
    /// What times are for, such as `ns/slot`.
    pub unit: &'static str,
    /// Units in one `run`.
    pub units: u32,
    /// Calls of the measured function in one `run`.
    pub calls: u32,
    pub ours: Box<dyn Side>,
    /// The peer's name, and the same work done by it.
    pub peer: Option<(&'static str, Box<dyn Side>)>,
}

/// What was measured of one side, in the case's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Summary {
    median: f64,
    min: f64,
    p99: f64,
    /// Heap allocations a call.
    allocs: f64,
}

#[derive(Default)]
struct Samples {
    nanoseconds: Vec<f64>,
    allocations: u64,
}

impl Samples {
    fn take(&mut self, side: &mut dyn Side) {
        side.prepare();
        let before = allocated();
        let start = Instant::now();
        side.run();
        let elapsed = start.elapsed();
        self.allocations += allocated() - before;
        self.nanoseconds.push(elapsed.as_nanos() as f64);
    }

    fn take_turn(&mut self, side: &mut dyn Side) {
        side.prepare();
        side.run();
        (0..TURN).for_each(|_| self.take(side));
    }

    /// At least one sample is needed.
    fn summarize(mut self, units: u32, calls: u32) -> Summary {
        self.nanoseconds.sort_by(f64::total_cmp);
        let last = self.nanoseconds.len() - 1;
        let at = |percent: usize| self.nanoseconds[last * percent / 100] / f64::from(units);
        let all_calls = self.nanoseconds.len() as f64 * f64::from(calls);
        let allocs = self.allocations as f64 / all_calls;
        Summary { median: at(50), min: at(0), p99: at(99), allocs }
    }
}

/// Measures and prints the cases whose name has `only` in it, one after the other.
///
/// # Errors
/// Those of writing to stdout.
pub fn run(bench: &str, mut cases: Vec<Case>, (format, only): (Format, &str)) -> io::Result<()> {
    cases.retain(|case| case.name.contains(only));
    if cases.iter().all(|case| case.peer.is_none()) {
        eprintln!("{bench}: ours alone; add --features peers to measure a peer in the same run");
    }
    let mut out = io::stdout().lock();
    if format == Format::Table {
        write!(out, "{bench:<34} {:>8} {:>9} {:>9} {:>9}", "unit", "median", "min", "p99")?;
        writeln!(
            out,
            " {:>6} {:>9} {:>9} {:>6} {:>6}",
            "allocs", "peer", "min", "allocs", "ratio"
        )?;
    }
    // Each case goes before the next one comes.
    for mut case in cases {
        let (ours, peer) = measure(&mut case);
        match format {
            Format::Table => write_row(&mut out, &case, ours, peer)?,
            Format::Json => writeln!(out, "{}", json(bench, &case, ours, peer))?,
        }
    }
    Ok(())
}

fn measure(case: &mut Case) -> (Summary, Option<Summary>) {
    take_turns(case, WARM_UP, LEAST / 10, LONGEST / 10);
    let (ours, theirs) = take_turns(case, SAMPLES, LEAST, LONGEST);
    let peer = case.peer.as_ref().map(|_| theirs.summarize(case.units, case.calls));
    (ours.summarize(case.units, case.calls), peer)
}

/// Samples of both sides: `most` of each, or fewer once `longest` has passed.
fn take_turns(case: &mut Case, most: usize, least: usize, longest: Duration) -> (Samples, Samples) {
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    let start = Instant::now();
    for round in 0..most.div_ceil(TURN) {
        if round * TURN >= least && start.elapsed() > longest {
            break;
        }
        match &mut case.peer {
            None => ours.take_turn(&mut *case.ours),
            Some((_, peer)) if round % 2 == 0 => {
                ours.take_turn(&mut *case.ours);
                theirs.take_turn(&mut **peer);
            }
            Some((_, peer)) => {
                theirs.take_turn(&mut **peer);
                ours.take_turn(&mut *case.ours);
            }
        }
    }
    (ours, theirs)
}

fn write_row(
    out: &mut impl Write,
    case: &Case,
    ours: Summary,
    peer: Option<Summary>,
) -> io::Result<()> {
    let Summary { median, min, p99, allocs } = ours;
    write!(out, "{:<34} {:>8} {median:>9.2} {min:>9.2} {p99:>9.2}", case.name, case.unit)?;
    write!(out, " {allocs:>6.2}")?;
    if let Some(Summary { median: theirs, min, allocs, .. }) = peer {
        write!(out, " {theirs:>9.2} {min:>9.2} {allocs:>6.2} {:>6.2}", theirs / median)?;
    }
    writeln!(out)
}

fn json(bench: &str, case: &Case, ours: Summary, peer: Option<Summary>) -> serde_json::Value {
    let mut line = serde_json::json!({
        "bench": bench,
        "case": case.name,
        "unit": case.unit,
        "median": ours.median,
        "min": ours.min,
        "p99": ours.p99,
        "allocs": ours.allocs,
    });
    if let (Some((name, _)), Some(peer)) = (&case.peer, peer) {
        line["peer"] = (*name).into();
        line["ratio"] = (peer.median / ours.median).into();
        line["peer_median"] = peer.median.into();
        line["peer_min"] = peer.min.into();
        line["peer_p99"] = peer.p99.into();
        line["peer_allocs"] = peer.allocs.into();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_per_unit_and_counts_allocations_per_call() {
        let nanoseconds = (0..=100).rev().map(|i| f64::from(i) * 10.0).collect();
        let samples = Samples { nanoseconds, allocations: 404 };

        let summary = samples.summarize(10, 2);

        assert_eq!(summary, Summary { median: 50.0, min: 0.0, p99: 99.0, allocs: 2.0 });
    }

    #[test]
    fn a_side_that_allocates_is_caught() {
        let mut samples = Samples::default();

        let mut boxes = side(Vec::new(), Vec::clear, |all| all.push(Box::new(7u32)));
        samples.take(&mut *boxes);

        assert!(samples.allocations >= 1);
    }
}
