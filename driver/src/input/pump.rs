//! I/O that the GPU asks for: requests of the IO queue, served from files that the host registered.
//!
//! ```text
//!   lane ─ request ─▶ IO queue ─▶ table: which bytes, and may they? ─▶ engine ─▶ arena, or file
//!   slot waits (WAIT_IO) ◀─ OK and bytes, or ERROR and errno ◀───────────┘
//! ```

mod server;
mod table;
mod worker;

pub(crate) use server::{Carry, end_in_stay, in_order};
pub use table::{Access, Handle, IoTable, TableError};

use super::faults::Faults;
use super::ladder::climb;
use super::{IngestError, IngestPath};
use crate::arena::Arena;
use crate::backend::StayMemory;
use server::{Ends, Server};
use slipring_core::io_queue::{MAX_SLOTS, Request};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use table::Move;
use worker::Worker;

/// Why a driver does not serve I/O.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum IoPumpError {
    /// A pump is attached already.
    #[error("the driver has an IO pump; detach it first")]
    Attached,
    /// A region that the arena does not have.
    #[error("handle {handle} is bytes {start}..{end} of an arena of {bytes}")]
    Region { handle: u32, start: usize, end: usize, bytes: usize },
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
///     driver.wait_io(Duration::from_secs(1));
/// }
/// assert_eq!(driver.outcome(ticket), Outcome::Done);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IoPump {
    table: IoTable,
    has_thread: bool,
    faults: Option<Faults>,
}

impl IoPump {
    /// A pump that the driver's own calls turn: each drain, and each wait for I/O or for a kernel
    /// that stays on.
    pub const fn new(table: IoTable) -> Self {
        Self { table, has_thread: false, faults: None }
    }

    /// Has a thread do the I/O. While a kernel stays on, it serves the kernel by itself, looking for
    /// requests all the time at first, then less and less often, every millisecond at last.
    #[must_use]
    pub fn own_thread(mut self) -> Self {
        self.has_thread = true;
        self
    }

    /// Injects faults, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = Some(faults);
        self
    }
}

/// A pump that is attached.
pub(crate) struct Service {
    table: Arc<IoTable>,
    path: IngestPath,
    runs: Runs,
}

enum Runs {
    Inline(Box<Server>),
    /// With what each IO slot's request moves: the driver carries it to the GPU.
    Thread(Worker, [Option<Move>; MAX_SLOTS]),
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
        let table = Arc::new(pump.table);
        let (engine, path, _) =
            climb(arena, MAX_SLOTS as u32, table.entries().len().max(1) as u32, pump.faults)?;
        let server = Server::new(engine, Arc::clone(&table));
        let runs = match pump.has_thread {
            false => Runs::Inline(Box::new(server)),
            true => {
                let worker =
                    Worker::new(server).map_err(|source| IoPumpError::Thread { source })?;
                Runs::Thread(worker, [None; MAX_SLOTS])
            }
        };
        Ok(Self { table, path, runs })
    }

    pub(crate) fn path(&self) -> &IngestPath {
        &self.path
    }

    /// Takes requests that the queue had at one time.
    pub(crate) fn accept(&mut self, requests: &[Request], carry: &mut dyn Carry) {
        for request in in_order(requests) {
            match &mut self.runs {
                Runs::Inline(server) => server.accept(request, carry),
                Runs::Thread(worker, moves) => {
                    let part = self.table.resolve(request).ok();
                    moves[request.slot as usize] = part;
                    if let Some(part) = part.filter(|part| part.is_write()) {
                        // A device that is lost here is lost for the drain too, which says so.
                        let _ = carry.fetch(part.words());
                    }
                    worker.accept(*request);
                }
            }
        }
    }

    /// The requests that have ended by now.
    pub(crate) fn poll(&mut self, carry: &mut dyn Carry) -> Ends {
        match &mut self.runs {
            Runs::Inline(server) => server.poll(carry),
            Runs::Thread(worker, moves) => {
                let ends = worker.poll();
                for (io_slot, _) in &ends {
                    let part = moves[*io_slot as usize].take();
                    if let Some(part) = part.filter(|part| !part.is_write()) {
                        let _ = carry.deliver(part.words());
                    }
                }
                ends
            }
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        match &self.runs {
            Runs::Inline(server) => server.is_idle(),
            Runs::Thread(worker, _) => worker.is_idle(),
        }
    }

    /// Waits until a request ends, if one is under way; not longer than the timeout, nor always as
    /// long.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        match &mut self.runs {
            Runs::Inline(server) => server.wait(timeout),
            Runs::Thread(worker, _) => worker.wait(timeout),
        }
    }

    /// Forgets every request.
    pub(crate) fn forget(&mut self) {
        match &mut self.runs {
            Runs::Inline(server) => server.forget(),
            Runs::Thread(worker, moves) => {
                worker.forget();
                *moves = [None; MAX_SLOTS];
            }
        }
    }

    /// Whether the kernel that stays on has to be served by the driver.
    pub(crate) fn is_inline(&self) -> bool {
        matches!(self.runs, Runs::Inline(_))
    }

    /// Has a thread serve the kernel that stays on.
    pub(crate) fn enter(&mut self, memory: Option<StayMemory>) {
        if let (Runs::Thread(worker, _), Some(memory)) = (&mut self.runs, memory) {
            worker.enter(memory);
        }
    }

    /// Has the thread let go of the kernel that stayed on.
    pub(crate) fn leave(&mut self) {
        if let Runs::Thread(worker, _) = &mut self.runs {
            worker.leave();
        }
    }

    /// Prefetches that have failed in stays, unseen by the driver.
    pub(crate) fn prefetch_failures(&self) -> u32 {
        match &self.runs {
            Runs::Inline(_) => 0,
            Runs::Thread(worker, _) => worker.prefetch_failures(),
        }
    }
}
