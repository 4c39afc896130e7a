//! Jobs whose words belong together, there and back.
//!
//! ```text
//!   2 producers ─ 12 words of one number ─▶ handler: all of that number? ran += 1
//!        └─ all of that number? ◀─ 4 words, then DONE ─┘
//! ```

use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::partition::Partitions;
use slipring_core::publisher::{Entry, Outcome, Publisher, Ticket};
use slipring_core::ring::Job;
use slipring_core::row::Row;
use slipring_core::slot::{ARGS, Priority};
use slipring_core::tenant::TenantTable;
use slipring_driver::overlapped::DispatchTicket;
use slipring_driver::{
    Driver, DriverBuilder, DriverError, Handler, Kernel, Overlapped, Persistent, Readback,
};
use std::collections::VecDeque;
use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// Slots of each producer, and the driver's own.
const SLOTS: u32 = 32;
const OWN_SLOTS: u32 = 2;
const LEVELS: [Priority; 2] = [Priority::Critical, Priority::High];
const PAYLOAD: u32 = ARGS as u32;
/// Words of an answer, and answers that nobody may have read yet.
const ANSWER: u32 = 4;
const ANSWERS: u32 = 2 * SLOTS;
const OPCODE: u32 = 0x100;
const IN_FLIGHT: usize = 2;
/// Single jobs that are timed.
const SAMPLES: usize = 2001;
const TIMEOUT: Duration = Duration::from_secs(10);
const ALIVE: &str = "the other producer does not panic";

pub const GEOMETRY: Geometry = match Geometry::of_slots(2 * SLOTS + OWN_SLOTS, ANSWERS * ANSWER) {
    Ok(geometry) => geometry,
    Err(_) => panic!("a few slots are few enough"),
};

/// What became of the jobs: those that did not run, runs beyond a job's first, jobs that the
/// handler saw in part, and answers that the host saw in part when it saw DONE.
pub type Tally = [(&'static str, u32); 4];

/// That, and the median from publishing one job to seeing it DONE.
pub type Findings = Result<(Tally, Duration), Box<dyn Error>>;

/// The kernel that looks at every job.
pub fn kernel() -> Kernel {
    let source = format!(
        "fn word(number: u32, i: u32) -> u32 {{ return (number + i * 0x9E3779B9u) * 0x85EBCA6Bu; }}
        fn litmus(job: Job) -> u32 {{
            let number = arg(job, 0u);
            for (var i = 1u; i < {PAYLOAD}u; i++) {{
                if arg(job, i) != word(number, i) {{ return fault(200u); }}
            }}
            if !workspace_store(number, workspace_load(number) + 1u) {{ return fault(201u); }}
            for (var i = 0u; i < {ANSWER}u; i++) {{
                observe(number % {ANSWERS}u * {ANSWER}u + i, word(number, {PAYLOAD}u + i));
            }}
            return HANDLER_OK;
        }}"
    );
    let handler = Handler::wgsl(OPCODE, "litmus", "litmus.wgsl", source);
    let handler = handler.iterations(PAYLOAD + ANSWER + 1);
    Kernel::builder().handler(handler).build().expect("a handler that compiles")
}

/// Word `i` of a job or its answer, as the handler has it.
fn word(number: u32, i: u32) -> u32 {
    number.wrapping_add(i.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B)
}

/// A row of [`GEOMETRY`] for so many jobs.
pub fn row(builder: DriverBuilder, jobs: u32) -> DriverBuilder {
    builder.partitions(partitions()).workspace_words(jobs as usize).in_flight(IN_FLIGHT)
}

fn partitions() -> Partitions {
    let sizes = [SLOTS, SLOTS, OWN_SLOTS, 0, 0];
    Partitions::from_sizes(sizes, GEOMETRY.slots()).expect("all slots")
}

/// By drains, some of which are in flight while both publish.
pub fn drains(driver: &mut Driver, jobs: u32) -> Findings {
    let before = begin(driver, jobs)?;
    let drains = Mutex::new((driver.overlapped(&Readback::none())?, VecDeque::new()));
    let torn = produce_both(jobs, || &drains);
    drop(drains);
    let median = median(|job| {
        let ticket = driver.publish(job)?;
        driver.dispatch(&Readback::none())?;
        Ok(driver.outcome(ticket))
    })?;
    Ok((tally(driver, jobs, before, torn)?, median))
}

/// While a kernel stays on.
pub fn stays(driver: &mut Driver, jobs: u32) -> Findings {
    begin(driver, jobs)?;
    let mut kernel = driver.persist()?;
    // NOPs have shown that the kernel sees what the host writes.
    let before = kernel.row().control.done_count()?;
    let torn = produce_both(jobs, || Stays::new(&kernel));
    let median = median(|job| {
        let ticket = kernel.publish(job)?;
        Ok(kernel.wait(ticket, TIMEOUT)?)
    })?;
    kernel.stop()?;
    Ok((tally(driver, jobs, before, torn)?, median))
}

/// Forgets all runs; returns the count of finished slots.
fn begin(driver: &mut Driver, jobs: u32) -> Result<u32, Box<dyn Error>> {
    driver.write_workspace(0, &vec![0; jobs as usize])?;
    Ok(driver.row().control.done_count()?)
}

fn tally(
    driver: &mut Driver,
    jobs: u32,
    before: u32,
    [torn_to_gpu, torn_to_host]: [u32; 2],
) -> Result<Tally, Box<dyn Error>> {
    let mut runs = vec![0u32; jobs as usize];
    driver.read_workspace(0, &mut runs)?;
    let never = runs.iter().filter(|runs| **runs == 0).count() as u32;
    let lost = never.saturating_sub(torn_to_gpu);
    let again = runs.iter().map(|runs| runs.saturating_sub(1)).sum();
    // Two runs at once may count as one in the workspace, but not in this atomic.
    let finished = driver.row().control.done_count()?.wrapping_sub(before + SAMPLES as u32);
    let doubled = finished.saturating_sub(jobs).max(again);
    let torn = [("torn_to_gpu", torn_to_gpu), ("torn_to_host", torn_to_host)];
    Ok([("lost", lost), ("doubled", doubled), torn[0], torn[1]])
}

fn median(
    mut run: impl FnMut(&Job<'_>) -> Result<Outcome, Box<dyn Error>>,
) -> Result<Duration, Box<dyn Error>> {
    let mut samples = [Duration::ZERO; SAMPLES];
    for sample in &mut samples {
        let start = Instant::now();
        let outcome = run(&Job::new(opcode::NOP, &[]))?;
        *sample = start.elapsed();
        if outcome != Outcome::Done {
            return Err(format!("a NOP ended as {outcome:?}").into());
        }
    }
    samples.sort();
    Ok(samples[SAMPLES / 2])
}

/// How a producer reaches the row.
trait Reach {
    fn publish(&mut self, job: &Job<'_>) -> Ticket;
    /// What became of a job by now; unknown where nothing will.
    fn outcome(&mut self, ticket: Ticket) -> Outcome;
    fn observable(&self, index: u32) -> u32;
}

/// A publisher without a lock: nothing else orders its words.
struct Stays<'a> {
    row: Row<'a, AtomicU32>,
    publisher: Publisher<Vec<Entry>>,
}

impl<'a> Stays<'a> {
    fn new(kernel: &'a Persistent<'_>) -> Self {
        let (row, ledger) = (kernel.row(), vec![Entry::FREE; GEOMETRY.slots() as usize]);
        let publisher = Publisher::new(row.ring, ledger, partitions(), TenantTable::open(1));
        let mut publisher = publisher.expect("an entry a slot");
        publisher.trust_ledger(true);
        Self { row, publisher }
    }
}

impl Reach for Stays<'_> {
    fn publish(&mut self, job: &Job<'_>) -> Ticket {
        self.publisher.publish(self.row.ring, job).expect("the oldest job's slot")
    }

    fn outcome(&mut self, ticket: Ticket) -> Outcome {
        self.publisher.outcome(self.row.ring, ticket)
    }

    fn observable(&self, index: u32) -> u32 {
        self.row.control.observable(index).expect("an answer's")
    }
}

/// A driver for both, and the drains in flight, of which the oldest's results come first.
type Drains<'a> = Mutex<(Overlapped<'a>, VecDeque<DispatchTicket>)>;

impl Reach for &Drains<'_> {
    fn publish(&mut self, job: &Job<'_>) -> Ticket {
        self.lock().expect(ALIVE).0.publish(job).expect("the oldest job's slot")
    }

    fn outcome(&mut self, ticket: Ticket) -> Outcome {
        let (overlapped, drains) = &mut *self.lock().expect(ALIVE);
        let outcome = overlapped.outcome(ticket);
        let mut drain = || {
            if drains.len() < IN_FLIGHT {
                drains.push_back(overlapped.dispatch()?);
            }
            if overlapped.poll(drains[0])?.is_some() {
                drains.pop_front();
            }
            Ok::<_, DriverError>(())
        };
        match outcome {
            Outcome::Pending if drain().is_err() => Outcome::Unknown,
            outcome => outcome,
        }
    }

    fn observable(&self, index: u32) -> u32 {
        let (overlapped, _) = &*self.lock().expect(ALIVE);
        overlapped.row().control.observable(index).expect("an answer's")
    }
}

/// Two threads, each with half of the jobs; how many were torn to the GPU, and to the host.
fn produce_both<R: Reach + Send>(jobs: u32, reach: impl Fn() -> R) -> [u32; 2] {
    std::thread::scope(|scope| {
        let threads = [0, 1].map(|first| {
            let reach = reach();
            scope.spawn(move || produce(reach, LEVELS[first as usize], (first..jobs).step_by(2)))
        });
        let [one, other] = threads.map(|thread| thread.join().expect("its counts"));
        [one[0] + other[0], one[1] + other[1]]
    })
}

/// Publishes until no slot is free, then looks at the oldest job, whose slot is the next to be
/// used.
fn produce(
    mut reach: impl Reach,
    level: Priority,
    mut numbers: impl Iterator<Item = u32>,
) -> [u32; 2] {
    let [mut to_gpu, mut to_host] = [0; 2];
    let mut waiting = VecDeque::new();
    loop {
        if waiting.len() < SLOTS as usize
            && let Some(number) = numbers.next()
        {
            let args: [u32; ARGS] =
                std::array::from_fn(|i| if i == 0 { number } else { word(number, i as u32) });
            let ticket = reach.publish(&Job::new(OPCODE, &args).priority(level));
            waiting.push_back((number, ticket));
            continue;
        }
        let Some((number, ticket)) = waiting.pop_front() else { return [to_gpu, to_host] };
        match wait(|| reach.outcome(ticket)) {
            Outcome::Done => {
                let at = number % ANSWERS * ANSWER;
                let is_torn = |i| reach.observable(at + i) != word(number, PAYLOAD + i);
                to_host += u32::from((0..ANSWER).any(is_torn));
            }
            Outcome::Fault(_) => to_gpu += 1,
            // This job and those after it count as lost.
            Outcome::Pending | Outcome::Unknown => return [to_gpu, to_host],
        }
    }
}

fn wait(mut outcome: impl FnMut() -> Outcome) -> Outcome {
    let start = Instant::now();
    loop {
        match outcome() {
            Outcome::Pending if start.elapsed() < TIMEOUT => std::thread::yield_now(),
            outcome => return outcome,
        }
    }
}
