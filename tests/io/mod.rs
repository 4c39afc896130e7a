//! Drivers whose handlers ask for I/O, on every way there is to run and to serve them.

#![allow(dead_code, reason = "each test target uses its part")]

mod handlers;

pub use handlers::*;

use crate::gpu::{self, Checked, is_skipped};
use slipring_core::io_queue::{op, status};
use slipring_core::publisher::Outcome;
use slipring_core::ring::Job;
use slipring_driver::input::{Access, Handle, IoPump, IoTable};
use slipring_driver::persistent::DEFAULT_SLICE;
use slipring_driver::{BackendChoice, Driver, DriverBuilder, Readback, Rung};
use std::fs::{File, OpenOptions};
use std::io::PipeWriter;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// Where a kernel runs, how long it stays, and who serves it.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub choice: BackendChoice,
    pub own_thread: bool,
    pub stays: bool,
    pub rung: Rung,
}

impl Way {
    const INLINE: Self =
        Self { choice: BackendChoice::Mapped, own_thread: false, stays: false, rung: Rung::Pages };
    const ON_TWIN: Self = Self { choice: BackendChoice::Twin, ..Self::INLINE };
    const ON_PORTABLE: Self = Self { choice: BackendChoice::Portable, ..Self::INLINE };
    const STAYS: Self = Self { stays: true, ..Self::INLINE };

    fn own_thread(self) -> Self {
        Self { own_thread: true, ..self }
    }

    fn rung(self, rung: Rung) -> Self {
        Self { rung, ..self }
    }

    /// Every way on the best rung, without a GPU if that is to be skipped.
    pub fn all() -> Vec<Self> {
        let mut ways = vec![Self::ON_TWIN, Self::ON_TWIN.own_thread()];
        if !is_skipped() {
            let gpu = [Self::INLINE, Self::ON_PORTABLE, Self::STAYS];
            ways.extend(gpu.into_iter().flat_map(|way| [way, way.own_thread()]));
        }
        ways
    }

    /// And on the rungs below it.
    pub fn on_every_rung() -> Vec<Self> {
        let mut ways = Self::all();
        ways.push(Self::ON_TWIN.rung(Rung::Threads));
        if !is_skipped() {
            for way in [Self::INLINE, Self::STAYS] {
                ways.extend([way.rung(Rung::Bounce), way.own_thread().rung(Rung::Bounce)]);
            }
            for rung in [Rung::Mapped, Rung::Plain, Rung::Threads] {
                ways.extend([Self::INLINE.rung(rung), Self::STAYS.own_thread().rung(rung)]);
            }
        }
        ways
    }

    pub fn open(&self, builder: DriverBuilder) -> Checked {
        let builder = builder.first_rung(self.rung);
        let builder = if self.stays { builder.persistent(DEFAULT_SLICE) } else { builder };
        println!("{self:?}");
        match self.choice {
            BackendChoice::Twin => builder.backend(self.choice).open().unwrap().into(),
            _ => gpu::open(builder, self.choice),
        }
    }

    /// The rung that the pump has then.
    pub fn path_rung(&self) -> Rung {
        match self.choice {
            BackendChoice::Portable => Rung::Bounce,
            _ => self.rung,
        }
    }

    pub fn pump(&self, table: IoTable) -> IoPump {
        let pump = IoPump::new(table);
        if self.own_thread { pump.own_thread() } else { pump }
    }

    /// Runs jobs, side by side as far as the ring takes them, until all have ended.
    pub fn run(&self, driver: &mut Driver, jobs: &[(u32, &[u32])]) -> Vec<Outcome> {
        let jobs = jobs.iter().map(|(opcode, args)| Job::new(*opcode, args));
        if self.stays {
            let mut kernel = driver.persist().unwrap();
            let tickets: Vec<_> = jobs.map(|job| kernel.publish(&job).unwrap()).collect();
            let ends = tickets.iter().map(|ticket| kernel.wait(*ticket, PATIENCE).unwrap());
            let ends = ends.collect();
            kernel.stop().unwrap();
            return ends;
        }
        let tickets: Vec<_> = jobs.map(|job| driver.publish(&job).unwrap()).collect();
        tickets.iter().map(|ticket| finish(driver, *ticket)).collect()
    }

    /// Runs one job.
    pub fn run_one(&self, driver: &mut Driver, opcode: u32, args: &[u32]) -> Outcome {
        self.run(driver, &[(opcode, args)])[0]
    }
}

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Drains until a job has ended.
pub fn finish(driver: &mut Driver, ticket: slipring_core::publisher::Ticket) -> Outcome {
    let start = std::time::Instant::now();
    loop {
        match driver.outcome(ticket) {
            Outcome::Pending => {}
            outcome => return outcome,
        }
        assert!(start.elapsed() < PATIENCE, "it does not end");
        // (Some tests serve by hand, without a pump.)
        let _ = driver.wait_io(Duration::from_millis(100));
        driver.dispatch(&Readback::observables(0..SLOTS)).unwrap();
    }
}

/// Serves what no slot waits for, until nothing is under way.
pub fn settle(driver: &mut Driver) {
    let start = std::time::Instant::now();
    while (0..driver.row().io_queue.slots()).any(|slot| io_status(driver, slot) != status::EMPTY) {
        assert!(start.elapsed() < PATIENCE, "it does not end");
        driver.wait_io(Duration::from_millis(100)).unwrap();
        driver.dispatch(&Readback::none()).unwrap();
    }
}

pub fn io_status(driver: &Driver, io_slot: u32) -> u32 {
    driver.row().io_queue.status(io_slot).unwrap()
}

/// The regions of the arena, one a chunk, all to be read and written.
pub fn add_regions(table: &mut IoTable) -> Vec<Handle> {
    let regions = (0..REGIONS).map(|i| i * REGION_BYTES..(i + 1) * REGION_BYTES);
    regions.map(|bytes| table.add_region(bytes, Access::READ_WRITE).unwrap()).collect()
}

pub fn open_to_read(path: &Path) -> File {
    File::open(path).unwrap()
}

pub fn open_to_write(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

/// A file that is the read end of a pipe, and the other end: what is asked for at offset 0 comes
/// when it is written.
pub fn pipe() -> (File, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    (OwnedFd::from(reader).into(), writer)
}

/// A job's request: its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub op: u32,
    pub source: u32,
    pub destination: u32,
    pub offset: u64,
    pub bytes: u32,
    /// The job's own observable.
    pub own: u32,
}

impl Ask {
    pub fn read(source: Handle, offset: u64, bytes: u32, destination: Handle) -> Self {
        let (op, own) = (op::READ, 0);
        Self { op, source: source.0, destination: destination.0, offset, bytes, own }
    }

    pub fn write(source: Handle, destination: Handle, offset: u64, bytes: u32) -> Self {
        let (op, own) = (op::WRITE, 0);
        Self { op, source: source.0, destination: destination.0, offset, bytes, own }
    }

    pub fn fence() -> Self {
        Self { op: op::FENCE, source: 0, destination: 0, offset: 0, bytes: 0, own: 0 }
    }

    pub fn own(self, own: u32) -> Self {
        Self { own, ..self }
    }

    /// The arguments of handlers that ask, with argument 7.
    pub fn args(&self, last: u32) -> [u32; 8] {
        let Self { op, source, destination, offset, bytes, own } = *self;
        [op, source, destination, offset as u32, (offset >> 32) as u32, bytes, own, last]
    }
}

/// The bytes of a region.
pub fn region(driver: &mut Driver, index: usize) -> Vec<u8> {
    let mut words = vec![0; REGION_BYTES / 4];
    driver.read_arena(index * REGION_BYTES / 4, &mut words).unwrap();
    bytemuck::cast_slice(&words).to_vec()
}

/// Has every byte of a region be this one.
pub fn fill_region(driver: &mut Driver, index: usize, byte: u8) {
    let words = [u32::from_ne_bytes([byte; 4]); REGION_BYTES / 4];
    driver.write_arena(index * REGION_BYTES / 4, &words).unwrap();
}
