//! What a pass takes, and how it is printed.

use super::source::{Cache, Mode};
use super::{CHUNK_BYTES, ROUNDS};
use crate::counting::allocated;
use crate::harness::Format;
use std::io::{self, Write};
use std::time::Instant;

/// A path, how the file is read, and where its bytes are; and what each pass took.
pub struct Case {
    pub path: usize,
    pub mode: Mode,
    pub cache: Cache,
    pub name: String,
    pub passes: Vec<Pass>,
}

/// Gigabytes a second, CPU seconds a gigabyte, heap allocations a chunk.
pub struct Pass([f64; 3]);

impl Pass {
    /// Times one over so many bytes.
    pub fn of(bytes: u64, pass: impl FnOnce() -> io::Result<()>) -> io::Result<Self> {
        let (cpu, before, start) = (cpu_s(), allocated(), Instant::now());
        pass()?;
        let (elapsed, gb) = (start.elapsed().as_secs_f64(), bytes as f64 / 1e9);
        let allocated = (allocated() - before) as f64;
        let chunks = bytes as f64 / CHUNK_BYTES as f64;
        Ok(Self([gb / elapsed, (cpu_s() - cpu) / gb, allocated / chunks]))
    }
}

/// User and system time of all threads, with those that io_uring has for this process.
fn cpu_s() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: all zeros are valid, and the call only writes there.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

impl Case {
    /// Its passes' values of this index, from the least to the most.
    fn sorted(&self, value: usize) -> Vec<f64> {
        let mut all: Vec<_> = self.passes.iter().map(|pass| pass.0[value]).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    fn median(&self, value: usize) -> f64 {
        self.sorted(value)[ROUNDS / 2]
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.mode, self.cache) == (other.mode, other.cache)
    }
}

/// Prints a line for each case.
///
/// # Errors
/// Those of writing to stdout.
pub fn write(cases: &[Case], format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if format == Format::Table {
        write!(out, "{:<34} {:>8} {:>9} {:>9}", "ingest", "unit", "median", "best")?;
        writeln!(out, " {:>9} {:>6} {:>6}", "cpu s/GB", "allocs", "ratio")?;
    }
    for case in cases {
        let (name, best) = (&case.name, case.sorted(0)[ROUNDS - 1]);
        let [median, cpu, allocs] = [0, 1, 2].map(|value| case.median(value));
        let floor = cases.iter().find(|floor| floor.path == 0 && floor.is_like(case));
        let ratio = floor.map(|floor| median / floor.median(0));
        if format == Format::Json {
            let mut line = serde_json::json!({
                "bench": "ingest",
                "case": name,
                "unit": "GB/s",
                "median": median,
                "best": best,
                "cpu_s_per_gb": cpu,
                "allocs": allocs,
            });
            ratio.inspect(|ratio| line["ratio"] = (*ratio).into());
            writeln!(out, "{line}")?;
        } else {
            write!(out, "{name:<34} {:>8} {median:>9.2} {best:>9.2}", "GB/s")?;
            let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:>6.2}"));
            writeln!(out, " {cpu:>9.4} {allocs:>6.2} {ratio}")?;
        }
    }
    Ok(())
}
