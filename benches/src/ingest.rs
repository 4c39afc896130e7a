//! Getting a file's bytes to memory that a GPU can read: several paths, each held against a floor.
//!
//! ```text
//!   file ─▶ path ─▶ ring of chunks ─▶ sums of each chunk, by whoever reads that memory (not timed)
//! ```
//!
//! A pass takes as long as all samples of another bench: paths take turns, a pass each.

mod gpu;
mod memory;
mod ours;
mod pread;
mod read_fixed;
mod report;
mod source;
mod write_buffer;

use crate::harness::Format;
use report::{Case, Pass};
use source::{Cache, Mode, Source, Sums};
use std::io;

const CHUNK_BYTES: usize = 512 << 10;
/// Chunks of a path's ring: with less than 4 MiB on its way a disk waits, and more than the CPU's
/// caches hold makes copying slower.
const DEPTH: usize = 8;
const RING_BYTES: usize = DEPTH * CHUNK_BYTES;
const ROUNDS: usize = 5;

/// A way to get a file there.
trait Path {
    /// Gets every chunk of the file into memory that a GPU can read, and returns when the last one
    /// is there. With a place for each chunk's sums, whoever reads that memory fills it.
    fn pass(&mut self, source: &Source, mode: Mode, sums: Option<&mut [Sums]>) -> io::Result<()>;
}

/// Every path by its name, the floor first.
fn paths() -> io::Result<Vec<(&'static str, Box<dyn Path>)>> {
    Ok(vec![
        ("read_fixed", Box::new(read_fixed::ReadFixed::open()?)),
        ("ours", Box::new(ours::Ours::open()?)),
        ("write_buffer", Box::new(write_buffer::WriteBuffer::open())),
        ("pread", Box::new(pread::Pread::open())),
    ])
}

/// Measures the cases whose name has `only` in it, over a file of so many MiB, and prints them.
///
/// # Errors
/// Those of the file and of stdout, and bytes that did not come as they are in the file.
pub fn run(mib: u32, (format, only): (Format, &str)) -> io::Result<()> {
    let source = Source::open(mib)?;
    let mut paths = paths()?;
    let mut cases = Vec::new();
    for (mode, mode_name) in [(Mode::Direct, "O_DIRECT"), (Mode::Buffered, "buffered")] {
        for (cache, state) in [(Cache::Cold, "cold"), (Cache::Warm, "warm")] {
            for (path, (name, _)) in paths.iter().enumerate() {
                let name = format!("{name}, {mode_name}, {state}");
                cases.push(Case { path, mode, cache, name, passes: Vec::new() });
            }
        }
    }
    cases.retain(|case| case.name.contains(only));
    let mut pass = |case: &Case, sums: Option<&mut [Sums]>| {
        source.set(case.cache)?;
        let path = &mut paths[case.path].1;
        Pass::of(source.bytes, || path.pass(&source, case.mode, sums))
    };
    // Every chunk is checked on each path before any pass is timed.
    let wanted = source.sums()?;
    for case in &cases {
        let mut found = vec![[0; 2]; wanted.len()];
        pass(case, Some(&mut found))?;
        if let Some(chunk) = (0..wanted.len()).find(|&chunk| found[chunk] != wanted[chunk]) {
            let (name, found, wanted) = (&case.name, found[chunk], wanted[chunk]);
            let message = format!("{name}: chunk {chunk} adds up to {found:x?}, not {wanted:x?}");
            return Err(io::Error::other(message));
        }
    }
    for round in 0..ROUNDS {
        let turns = (0..cases.len()).map(|turn| [turn, cases.len() - 1 - turn][round % 2]);
        for case in turns.collect::<Vec<_>>() {
            let took = pass(&cases[case], None)?;
            cases[case].passes.push(took);
        }
    }
    report::write(&cases, format)
}
