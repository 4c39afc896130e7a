//! What goes wrong between the driver and the system, at every completion of a run: each chunk is
//! right, or named.

mod gpu;
mod ingest;

use ingest::{
    CHUNK_BYTES, Sources, TempFile, assert_whole, drain, pattern, run, sum_job, summing,
    sums_of_every,
};
use slipring_driver::input::{Caching, ChunkEnd, Fault, Faults, Ingest, IngestError, Source};
use slipring_driver::{BackendChoice, Driver, DriverBuilder, Rung};
use std::path::Path;

/// Chunks of a run.
const RUN: u32 = 200;
/// Of every so many words of a chunk one is looked at, to be done sooner: what has not landed, or
/// lies elsewhere, shows in any of them.
const STRIDE: usize = 61;

/// What may go wrong with a completion, and whether its chunk is lost by it.
const FAULTS: [(Fault, bool); 12] = [
    (Fault::Fail(libc::EIO), true),
    (Fault::Fail(libc::ENOMEM), true),
    (Fault::Fail(libc::EINTR), false),
    (Fault::Fail(libc::EAGAIN), false),
    (Fault::Fail(libc::EBUSY), false),
    (Fault::Shorten(0), false),
    (Fault::Shorten(128), false),
    (Fault::Shorten(255), false),
    (Fault::End, true),
    (Fault::Delay(3), false),
    (Fault::Delay(u32::MAX), false),
    (Fault::Reorder, false),
];

/// Opens a rig for a file of 200 chunks on each rung, and has it checked.
fn on_rungs(
    name: &str,
    builder: impl Fn() -> DriverBuilder,
    caching: Caching,
    check: impl Fn(&mut Rig<'_>),
) {
    let bytes = pattern(9, RUN as usize * CHUNK_BYTES as usize - 100);
    let file = TempFile::new(name, &bytes);
    for rung in [Rung::Pages, Rung::Plain, Rung::Threads] {
        let driver = builder().first_rung(rung).open().unwrap();
        let faults = Faults::default();
        let ingest = Ingest::builder(&driver).faults(faults.clone()).open().unwrap();
        assert_eq!(ingest.path().rung, rung);
        let mut rig = Rig { driver, ingest, faults, bytes: &bytes, file: &file, caching };
        check(&mut rig);
        assert_eq!(descriptors_of(&file.0), 0, "descriptors are left open");
    }
}

fn twin() -> DriverBuilder {
    summing(64).backend(BackendChoice::Twin)
}

fn descriptors_of(path: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = open.filter_map(|descriptor| std::fs::read_link(descriptor.ok()?.path()).ok());
    targets.filter(|target| target == path).count()
}

struct Rig<'a> {
    driver: Driver,
    ingest: Ingest,
    faults: Faults,
    bytes: &'a [u8],
    file: &'a TempFile,
    caching: Caching,
}

impl Rig<'_> {
    /// Where faults happen: everywhere, but not on each rung: the shim is one, and what it is over
    /// differs only in how reads end.
    fn places(&self) -> impl Iterator<Item = u32> + use<> {
        let step = if self.ingest.path().rung == Rung::Pages { 1 } else { 8 };
        (0..RUN).step_by(step)
    }

    /// Reads the file, with a fault at one place, and says which chunks did not come.
    fn read(&mut self, place: u32, fault: Fault) -> Vec<(u64, Option<i32>)> {
        let before = self.faults.injected();
        self.faults.at(place, fault);
        let lost = self.read_all();
        assert_eq!(self.faults.injected(), before + 1, "{fault:?} at {place}");
        lost
    }

    /// Reads the file, looks at every chunk, and says which did not come.
    fn read_all(&mut self) -> Vec<(u64, Option<i32>)> {
        let source = Source::file(&self.file.0).caching(self.caching);
        let id = self.ingest.add(source, sum_job().args(&[STRIDE as u32])).unwrap();
        let chunks = run(&mut self.ingest, &mut self.driver).remove(&id).unwrap();
        assert_eq!(self.driver.in_flight(0), 0);
        assert_eq!(chunks.len(), RUN as usize);
        let mut lost = Vec::new();
        for (offset, chunk) in chunks {
            let start = offset as usize;
            let end = self.bytes.len().min(start + CHUNK_BYTES as usize);
            match chunk {
                Ok(chunk) => {
                    let sums = sums_of_every(STRIDE, &self.bytes[start..end]);
                    let expected = ((end - start) as u32, sums);
                    assert_eq!(chunk, expected, "byte {offset}");
                }
                Err(chunk) => match chunk.end {
                    ChunkEnd::NotRead(error) => {
                        assert_eq!(*error.path, *self.file.0);
                        assert!((offset..end as u64).contains(&error.offset), "{error}");
                        lost.push((offset, error.errno));
                    }
                    end => panic!("{end:?}"),
                },
            }
        }
        lost
    }
}

/// Reads the file with each fault at some places: a chunk is lost where it must be, no other.
fn check_completions(rig: &mut Rig<'_>, places: impl Iterator<Item = u32>) {
    for place in places {
        for (fault, is_loss) in FAULTS {
            let lost = rig.read(place, fault);
            let errno = match fault {
                Fault::Fail(errno) => Some(errno),
                _ => None,
            };
            assert_eq!(lost.len(), usize::from(is_loss), "{fault:?} at {place}: {lost:?}");
            assert!(lost.iter().all(|(_, said)| *said == errno), "{fault:?}: {lost:?}");
        }
    }
}

#[test]
fn a_fault_at_any_completion_costs_its_own_chunk_at_most() {
    on_rungs("completions", twin, Caching::Buffered, |rig| {
        let places = rig.places();
        check_completions(rig, places);
    });
}

#[test]
fn a_fault_past_the_page_cache_costs_its_own_chunk_at_most() {
    on_rungs("direct", twin, Caching::Direct, |rig| check_completions(rig, (0..RUN).step_by(40)));
}

#[test]
fn a_fault_costs_its_own_chunk_at_most_where_a_gpu_looks_at_it() {
    if gpu::is_skipped() {
        return;
    }
    let mapped = || summing(64).backend(BackendChoice::Mapped);
    on_rungs("gpu", mapped, Caching::Auto, |rig| check_completions(rig, [0, 150].into_iter()));
}

#[test]
fn a_call_that_fails_for_good_says_so_and_the_next_one_goes_on() {
    on_rungs("fatal", twin, Caching::Buffered, |rig| {
        for place in [0, 1, 2, 7] {
            let id = rig.ingest.add(Source::file(&rig.file.0), sum_job()).unwrap();
            rig.faults.at(place, Fault::Call(libc::ENOMEM));
            let (mut all, mut errors) = (Sources::new(), 0);
            while !rig.ingest.is_idle() {
                if let Err(error) = rig.ingest.wait(&mut rig.driver) {
                    let IngestError::Engine { source } = error else { panic!("{error}") };
                    assert_eq!(source.raw_os_error(), Some(libc::ENOMEM));
                    errors += 1;
                }
                drain(&mut rig.ingest, &mut rig.driver, &mut all);
            }
            assert_eq!(errors, 1);
            assert_whole(&all[&id], rig.bytes, 0);
        }
    });
}

#[test]
fn a_call_that_fails_for_now_costs_nothing() {
    on_rungs("calls", twin, Caching::Buffered, |rig| {
        for place in rig.places() {
            for errno in [libc::EINTR, libc::EAGAIN, libc::EBUSY] {
                rig.faults.at(place, Fault::Call(errno));
                assert_eq!(rig.read_all(), []);
            }
        }
        // (There are fewer calls than completions: the last places may not be reached in a run.)
        assert!(rig.faults.injected() as usize >= rig.places().count());
    });
}

#[test]
fn everything_may_go_wrong_at_once() {
    on_rungs("at-once", twin, Caching::Buffered, |rig| {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..50 {
            let mut losses = 0;
            for place in 0..RUN {
                if random.u32(..4) == 0 {
                    let (fault, is_loss) = FAULTS[random.usize(..FAULTS.len())];
                    rig.faults.at(place, fault);
                    losses += usize::from(is_loss);
                }
            }
            let lost = rig.read_all();
            assert_eq!(lost.len(), losses, "{lost:?}");
        }
    });
}
