//! I/O that the GPU asks for: requests of the IO queue, served from files that the host registered.
//!
//! ```text
//!   lane ─ request ─▶ IO queue ─▶ table: which bytes, and may they? ─▶ engine ─▶ arena, or file
//!   slot waits (WAIT_IO) ◀─ OK and bytes, or ERROR and errno ◀───────────┘
//! ```

mod requests;
mod server;
mod stay;
mod table;
mod worker;

pub(crate) use server::{Carry, log_failure};
pub use table::{Access, Handle, IoTable, TableError};

use super::ladder::climb;
use super::{IngestError, IngestPath};
use crate::arena::{Arena, Loads};
use crate::backend::StayMemory;
use requests::{Requests, Seen, set_status};
use server::{Ends, Server};
use slipring_core::io_queue::{IoQueue, MAX_SLOTS, status};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use worker::Worker;

/// Why a driver does not serve I/O.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum IoPumpError {
    /// A pump is attached already.
    #[error("the driver has an IO pump; detach it first")]
    Attached,
    /// No pump is attached.
    #[error("the driver has no IO pump; attach one (Driver::attach_io)")]
    NotAttached,
    /// A region that the arena does not have.
    #[error("handle {handle} is bytes {start}..{end} of an arena of {bytes}")]
    Region { handle: u32, start: usize, end: usize, bytes: usize },
    /// What is loaded would land on what an ingest reads, or has left to jobs that are unfinished.
    #[error(
        "bytes {start}..{end} of the arena are to be loaded into, and an ingest reads into \
         {read_start}..{read_end}; keep chunks for the pump (IngestBuilder::chunks)"
    )]
    Read { start: usize, end: usize, read_start: usize, read_end: usize },
    /// No arena, or nothing that moves bytes.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The thread did not start.
    #[error("the thread of the IO pump did not start: {source}")]
    Thread { source: io::Error },
}

/// Serves what handlers and LOAD_MISS ask for, once it is attached to a driver.
///
/// ```
/// # use slipring_core::{layout::Geometry, opcode, publisher::Outcome, ring::Job};
/// # use slipring_driver::{ArenaOptions, BackendChoice, Driver, Kernel, Readback};
/// use slipring_driver::input::{Access, IoPump, IoTable};
/// use std::time::Duration;
///
/// # let choice = BackendChoice::Twin;
/// let builder = Driver::builder(Kernel::builder().build()?, Geometry::of_slots(16, 1)?);
/// # let builder = builder.backend(choice);
/// let mut driver = builder.arena(ArenaOptions { chunks: 1, chunk_bytes: 4096 }).open()?;
///
/// let mut table = IoTable::new();
/// let file = table.add_file(std::fs::File::open("Cargo.toml")?, 0..1 << 20, Access::READ)?;
/// let block = table.add_region(0..4096, Access::WRITE)?;
/// driver.attach_io(IoPump::new(table))?;
///
/// // Load 64 bytes from byte 0 of the file on.
/// let load = [file.0, 0, 0, 0, 64, block.0];
/// let ticket = driver.publish(&Job::new(opcode::LOAD_MISS, &load))?;
/// while driver.outcome(ticket) == Outcome::Pending {
///     driver.dispatch(&Readback::none())?;
///     driver.wait_io(Duration::from_secs(1))?;
/// }
/// assert_eq!(driver.outcome(ticket), Outcome::Done);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IoPump {
    table: IoTable,
    has_thread: bool,
}

impl IoPump {
    /// A pump that the driver's own calls turn: each drain, and each wait for I/O or for a kernel
    /// that stays on.
    pub const fn new(table: IoTable) -> Self {
        Self { table, has_thread: false }
    }

    /// Has a thread do the I/O. While a kernel stays on, it serves the kernel by itself, looking for
    /// requests all the time at first, then less and less often, every millisecond at last.
    #[must_use]
    pub fn own_thread(mut self) -> Self {
        self.has_thread = true;
        self
    }
}

/// A pump that is attached.
pub(crate) struct Service {
    path: IngestPath,
    runs: Runs,
    seen: Seen,
    /// Requests that have failed in stays and that no slot waited for.
    failures: Arc<AtomicU32>,
    /// Its regions' bytes are no ingest's before the transfers have ended.
    _loads: Loads,
}

enum Runs {
    /// With the kernel that stays on, if one does.
    Inline(Box<Server>, Option<StayMemory>),
    Thread(Box<Worker>),
}

impl Service {
    pub(crate) fn open(pump: IoPump, arena: Option<&Arc<Arena>>) -> Result<Self, IoPumpError> {
        let arena = arena.ok_or(IngestError::NoArena)?;
        let bytes = 4 * arena.options().words() as usize;
        for (handle, region) in pump.table.regions() {
            if region.end > bytes {
                let (start, end) = (region.start, region.end);
                return Err(IoPumpError::Region { handle, start, end, bytes });
            }
        }
        let loads = Loads::new(arena, pump.table.loaded().cloned().collect());
        let loads = loads.map_err(|(region, read)| IoPumpError::Read {
            start: region.start,
            end: region.end,
            read_start: read.start,
            read_end: read.end,
        })?;
        let table = Arc::new(pump.table);
        let files = table.entries().len().max(1) as u32;
        let (engine, path) = climb(arena, MAX_SLOTS as u32, files)?;
        let landing = arena.chosen().landing.clone();
        let server = Server::new(engine, landing, Arc::clone(&table));
        let failures = Arc::new(AtomicU32::new(0));
        let runs = match pump.has_thread {
            false => Runs::Inline(Box::new(server), None),
            true => {
                let worker = Worker::new(server, table, Arc::clone(&failures))
                    .map_err(|source| IoPumpError::Thread { source })?;
                Runs::Thread(Box::new(worker))
            }
        };
        Ok(Self { path, runs, seen: Seen::default(), failures, _loads: loads })
    }

    pub(crate) fn path(&self) -> &IngestPath {
        &self.path
    }

    /// Takes over the requests that are there and whole, when so many drains have `ended` and some
    /// are in flight. They are to be accepted.
    pub(crate) fn claim(
        &mut self,
        queue: &IoQueue<'_, AtomicU32>,
        ended: u64,
        in_flight: usize,
    ) -> Requests {
        let requests = self.seen.take(queue, ended, in_flight);
        requests.iter().for_each(|request| set_status(queue, request.slot, status::CLAIMED));
        requests
    }

    pub(crate) fn accept(&mut self, requests: &Requests, carry: &mut dyn Carry) {
        for request in requests {
            match &mut self.runs {
                Runs::Inline(server, _) => server.accept(request, carry),
                Runs::Thread(worker) => worker.accept(request, carry),
            }
        }
    }

    /// The requests that have ended by now.
    pub(crate) fn poll(&mut self, carry: &mut dyn Carry) -> Ends {
        match &mut self.runs {
            Runs::Inline(server, _) => server.poll(carry),
            Runs::Thread(worker) => worker.poll(carry),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        match &self.runs {
            Runs::Inline(server, _) => server.is_idle(),
            Runs::Thread(worker) => worker.is_idle(),
        }
    }

    /// Waits until a request ends, if one is under way; not longer than the timeout, nor always as
    /// long.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        match &mut self.runs {
            Runs::Inline(server, _) => server.wait(timeout),
            Runs::Thread(worker) => worker.wait(timeout),
        }
    }

    /// Forgets every request, once its transfer has ended.
    pub(crate) fn forget(&mut self) {
        match &mut self.runs {
            Runs::Inline(server, _) => server.forget(),
            Runs::Thread(worker) => worker.forget(),
        }
    }

    /// Has requests taken from the queue of a kernel that is to stay on, and end there. Those that
    /// have ended before are there to be polled.
    pub(crate) fn enter(&mut self, memory: Option<StayMemory>) {
        match (&mut self.runs, memory) {
            (Runs::Inline(_, stay), memory) => *stay = memory,
            (Runs::Thread(worker), Some(memory)) => worker.enter(memory),
            (Runs::Thread(_), None) => {}
        }
    }

    /// Serves the kernel that stays on, or lets the thread run that does; says whether there was
    /// anything to do here.
    pub(crate) fn serve_stay(&mut self) -> bool {
        let turn = match &mut self.runs {
            Runs::Inline(server, Some(memory)) => stay::serve(server, memory),
            Runs::Inline(_, None) => return false,
            Runs::Thread(_) => {
                std::thread::yield_now();
                return false;
            }
        };
        self.failures.fetch_add(turn.failures, Ordering::Relaxed);
        turn.was_busy
    }

    /// Lets go of the kernel that stayed on; what it has asked for still ends as between drains.
    pub(crate) fn leave(&mut self) {
        match &mut self.runs {
            Runs::Inline(_, stay) => *stay = None,
            Runs::Thread(worker) => worker.leave(),
        }
    }

    /// Takes the count of requests that have failed in stays and that no slot waited for.
    pub(crate) fn take_failures(&self) -> u32 {
        self.failures.swap(0, Ordering::Relaxed)
    }

    /// What that would be.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }
}
