//! Random requests of a GPU handler, a tenth of them hostile: those fail alone, the others are exact
//! to the byte, and the pump never stops.
//!
//! `SLIPRING_IO_REQUESTS` says how many for each way to serve them, `SLIPRING_SEED` from which seed
//! on. A failure prints the seed that makes its requests first.

mod gpu;
mod ingest;
mod io;
#[path = "io/model.rs"]
mod model;

use ingest::{TempFile, pattern};
use io::{PATIENCE, Way, open_to_read, open_to_write};
use model::{Model, REGION_BYTES, Request};
use slipring_core::layout::Geometry;
use slipring_core::publisher::{Outcome, Ticket};
use slipring_core::ring::Job;
use slipring_core::row::Row;
use slipring_core::slot::fault;
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::input::{Access, IoTable};
use slipring_driver::{ArenaOptions, BackendChoice, Driver, DriverBuilder, Handler, Kernel};
use slipring_driver::{Persistent, Readback};
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// Fills words of the arena (arguments 9, from the word of argument 7 on, with the seed of argument
/// 8), asks for what arguments 0 to 5 say, and tells the bytes moved, and a sum of the words that
/// they are in, in two observables from argument 6 on.
const MOVE: u32 = 0x100;
/// Jobs at a time: more than there are IO slots.
const JOBS: u32 = 96;
const SLOTS: u32 = 128;
/// Rounds of jobs until the arena is looked at, and in one stay.
const ROUNDS: u64 = 10;

const SOURCE: &str = "
fn move_bytes(job: Job) -> u32 {
    let first = arg(job, 7u);
    if !is_resumed(job) {
        for (var i = 0u; i < arg(job, 9u); i++) {
            arena_store(first + i, (arg(job, 8u) + i) * 2654435761u);
        }
        return request_io(
            job, arg(job, 0u), arg(job, 1u), arg(job, 2u), arg(job, 3u), arg(job, 4u), arg(job, 5u)
        );
    }
    var sum = 0u;
    for (var i = 0u; i < (io_bytes(job) + 3u) / 4u; i++) {
        sum = sum * 31u + arena_load(first + i);
    }
    observe(arg(job, 6u), io_bytes(job));
    observe(arg(job, 6u) + 1u, sum);
    return HANDLER_OK;
}";

fn move_bytes(call: &Call<'_, AtomicU32>) -> u32 {
    let first = call.arg(7);
    if !call.is_resumed() {
        for i in 0..call.arg(9) {
            call.arena_store(first + i, io::filling(call.arg(8), i));
        }
        let offset = u64::from(call.arg(4)) << 32 | u64::from(call.arg(3));
        return call.request_io(call.arg(0), call.arg(1), call.arg(2), offset, call.arg(5));
    }
    let words = (0..call.io_bytes().div_ceil(4)).map(|i| call.arena_load(first + i));
    call.observe(call.arg(6), call.io_bytes());
    call.observe(call.arg(6) + 1, model::sum(words));
    HANDLER_OK
}

fn builder() -> DriverBuilder {
    let handler = Handler::wgsl(MOVE, "move_bytes", "move_bytes.wgsl", SOURCE);
    let handler = handler.iterations(REGION_BYTES / 4 + 1).on_cpu(move_bytes);
    let kernel = Kernel::builder().handler(handler).build().unwrap();
    let chunks = (JOBS * REGION_BYTES).div_ceil(4096);
    let geometry = Geometry::of_slots(SLOTS, 2 * JOBS).unwrap();
    Driver::builder(kernel, geometry).arena(ArenaOptions { chunks, chunk_bytes: 4096 })
}

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{variable} is no number: {value}")),
        Err(_) => default,
    }
}

#[test]
fn hostile_requests_fail_alone_and_the_others_are_exact() {
    let requests = number("SLIPRING_IO_REQUESTS", 20_000);
    let seed = number("SLIPRING_SEED", 1);
    for way in Way::all().into_iter().filter(|way| way.choice != BackendChoice::Portable) {
        let start = Instant::now();
        let mut rig = Rig::open(way);
        let (mut served, mut hostile, mut round) = (0, 0, seed);
        while served < requests {
            let rounds: Vec<_> = (round..round + ROUNDS).map(|i| rig.model.round(i)).collect();
            rig.run(&rounds).unwrap_or_else(|failure| {
                panic!("{failure}\non {way:?}; again: SLIPRING_SEED={round}")
            });
            let jobs = rounds.iter().flatten();
            served += jobs.clone().count() as u64;
            hostile += jobs.filter(|job| job.end.is_err()).count() as u64;
            round += ROUNDS;
        }
        rig.stop();
        assert!((served / 20..served / 5).contains(&hostile), "{hostile} of {served}");
        let rate = served as f64 / start.elapsed().as_secs_f64();
        println!("{served} requests, {hostile} hostile, {rate:.0} a second");
    }
}

/// A driver, and what it should have done by now.
struct Rig {
    way: Way,
    driver: gpu::Checked,
    model: Model,
    written: TempFile,
    _read: [TempFile; 2],
}

impl Rig {
    fn open(way: Way) -> Self {
        let mut driver = way.open(builder());
        let [bytes, short, to_write] =
            [(70, 200_000), (71, 1000), (72, 100_000)].map(|(seed, bytes)| pattern(seed, bytes));
        let temp = |name, bytes: &[u8]| TempFile::new(&format!("random-{name}"), bytes);
        let read = [temp("bytes", &bytes), temp("short", &short)];
        let written = temp("written", &to_write);
        let mut table = IoTable::new();
        let mut model = Model::new(JOBS);
        let mut file = |temp: &TempFile, bytes: &[u8], range: std::ops::Range<u64>, access| {
            let open = if access == Access::READ { open_to_read } else { open_to_write };
            let handle = table.add_file(open(&temp.0), range.clone(), access).unwrap();
            model.add_file(handle.0, bytes, range, access);
        };
        file(&read[0], &bytes, 10..200_000, Access::READ);
        // The range is longer than the file.
        file(&read[1], &short, 500..2000, Access::READ);
        file(&written, &to_write, 100..99_000, Access::READ_WRITE);
        file(&written, &to_write, 0..100_000, Access { read: false, write: false });
        for job in 0..JOBS {
            let start = (job * REGION_BYTES) as usize;
            // Of many lengths, and some not for all.
            let bytes = start..start + 4 + (job as usize * 52) % REGION_BYTES as usize;
            let bytes = bytes.start..bytes.end.next_multiple_of(4);
            let access = [Access::READ_WRITE, Access::READ_WRITE, Access::READ, Access::WRITE];
            let access = access[job as usize % 4];
            let handle = table.add_region(bytes.clone(), access).unwrap();
            model.add_region(handle.0, bytes, access);
        }
        driver.attach_io(way.pump(table)).unwrap();
        Self { way, driver, model, written, _read: read }
    }

    /// Runs rounds of requests, each side by side, and compares what has become of each, and of the
    /// arena in the end.
    fn run(&mut self, rounds: &[Vec<Request>]) -> Result<(), String> {
        if self.way.stays {
            let mut kernel = self.driver.persist().unwrap();
            for jobs in rounds {
                let ends = stay(&mut kernel, jobs)?;
                check(kernel.row(), jobs, &ends)?;
            }
            kernel.stop().unwrap();
        } else {
            for jobs in rounds {
                let ends = drain(&mut self.driver, jobs)?;
                check(self.driver.row(), jobs, &ends)?;
            }
        }
        let mut words = vec![0; self.model.arena.len() / 4];
        self.driver.read_arena(0, &mut words).unwrap();
        match self.model.differs(bytemuck::cast_slice(&words)) {
            Some(difference) => Err(format!("the arena differs: {difference}")),
            None => Ok(()),
        }
    }

    /// The files in the end.
    fn stop(self) {
        drop(self.driver);
        let written = std::fs::read(&self.written.0).unwrap();
        assert!(written == self.model.written(), "the file differs");
    }
}

fn check(row: Row<'_, AtomicU32>, jobs: &[Request], ends: &[Outcome]) -> Result<(), String> {
    for (job, outcome) in jobs.iter().zip(ends) {
        let told = [0, 1].map(|i| row.control.observable(job.own + i).unwrap());
        let is_right = match job.end {
            Ok(end) => (*outcome, told) == (Outcome::Done, end),
            Err(_) => *outcome == Outcome::Fault(fault::IO),
        };
        if !is_right {
            return Err(format!("{outcome:?} and {told:?} of {job:?}"));
        }
    }
    Ok(())
}

fn drain(driver: &mut Driver, jobs: &[Request]) -> Result<Vec<Outcome>, String> {
    let publish = |job: &Request| driver.publish(&Job::new(MOVE, &job.args())).unwrap();
    let tickets: Vec<Ticket> = jobs.iter().map(publish).collect();
    let mut ends = vec![Outcome::Pending; jobs.len()];
    let start = Instant::now();
    while ends.contains(&Outcome::Pending) {
        if start.elapsed() > PATIENCE {
            return Err(format!("{ends:?}"));
        }
        driver.dispatch(&Readback::observables(0..2 * JOBS)).unwrap();
        driver.wait_io(Duration::from_secs(1)).unwrap();
        for (end, ticket) in ends.iter_mut().zip(&tickets) {
            if *end == Outcome::Pending {
                *end = driver.outcome(*ticket);
            }
        }
    }
    Ok(ends)
}

fn stay(kernel: &mut Persistent<'_>, jobs: &[Request]) -> Result<Vec<Outcome>, String> {
    let publish = |job: &Request| kernel.publish(&Job::new(MOVE, &job.args())).unwrap();
    let tickets: Vec<Ticket> = jobs.iter().map(publish).collect();
    let ends = tickets.iter().map(|ticket| kernel.wait(*ticket, PATIENCE));
    ends.collect::<Result<_, _>>().map_err(|error| error.to_string())
}
