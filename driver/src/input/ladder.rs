//! Which of the ways into an arena the system has.

use super::engine::Engine;
use super::ingest::IngestError;
use super::threads::Threads;
use super::uring::Uring;
use crate::arena::{Arena, Landing, Rung};
use io_uring::IoUring;
use rustix::process::{Resource, getrlimit};
use std::io;
use std::sync::atomic::AtomicU32;

/// How bytes come into an arena.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngestPath {
    /// What happens.
    pub rung: Rung,
    /// Whether the bytes are copied once they have landed.
    pub is_copied: bool,
    /// Why no better rung: what was passed over, and for what reason. Empty on the best one.
    pub reason: String,
}

impl core::fmt::Display for IngestPath {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.rung)?;
        if self.is_copied && self.rung > Rung::Bounce {
            write!(f, ", then a copy")?;
        }
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}

/// What moves bytes, and how the arena got it.
pub(super) fn climb(
    arena: &Arena,
    depth: u32,
    files: u32,
) -> Result<(Box<dyn Engine>, IngestPath), IngestError> {
    let memory = arena.chosen();
    let landing = &memory.landing;
    let mut reasons = memory.reason.clone();
    let mut step_down = |reason: String| {
        let between = if reasons.is_empty() { "" } else { "; " };
        reasons = format!("{reasons}{between}{reason}");
    };
    let is_copied = arena.is_copied();
    let (engine, rung): (Box<dyn Engine>, _) = match Uring::open(landing.clone(), depth, files) {
        Ok(_) if arena.first_rung == Rung::Threads => {
            step_down(format!("not wanted: {}", Rung::Plain));
            (open_threads(landing, depth)?, Rung::Threads)
        }
        Err(error) => {
            step_down(format!("no io_uring: {error}"));
            (open_threads(landing, depth)?, Rung::Threads)
        }
        Ok(uring) if arena.first_rung == Rung::Plain => {
            step_down(format!("not wanted: {}", memory.rung));
            (Box::new(uring), Rung::Plain)
        }
        Ok(mut uring) => {
            let registered = uring.register(arena.options().chunk_bytes as usize);
            let refused = registered.map_err(|error| step_down(refusal(&error, landing))).is_err();
            (Box::new(uring), if refused { Rung::Plain } else { memory.rung })
        }
    };
    Ok((engine, IngestPath { rung, is_copied, reason: reasons }))
}

/// What moves bytes of streams, over memory that is not registered: their pieces are small.
pub(crate) fn climb_for_streams(
    landing: &Landing,
    depth: u32,
    files: u32,
    first: Rung,
) -> io::Result<(Box<dyn Engine>, Rung)> {
    if first != Rung::Threads {
        match Uring::open(landing.clone(), depth, files) {
            Ok(uring) => return Ok((Box::new(uring), Rung::Plain)),
            Err(error) => tracing::info!(%error, "no io_uring: threads read and write"),
        }
    }
    Ok((Box::new(Threads::open(landing.clone(), depth)?), Rung::Threads))
}

fn open_threads(landing: &Landing, depth: u32) -> Result<Box<dyn Engine>, IngestError> {
    let threads = Threads::open(landing.clone(), depth);
    Ok(Box::new(threads.map_err(|source| IngestError::Engine { source })?))
}

/// Why memory was not registered.
fn refusal(error: &io::Error, landing: &Landing) -> String {
    let bytes = landing.len_bytes();
    match (error.raw_os_error(), getrlimit(Resource::Memlock).current) {
        (Some(libc::ENOMEM), Some(limit)) => {
            format!(
                "{bytes} bytes were not registered, RLIMIT_MEMLOCK allows {limit} in all (ulimit -l)"
            )
        }
        _ => format!("{bytes} bytes were not registered: {error}"),
    }
}

/// Whether the kernel registers a page of this memory. Where there is no io_uring, it need not; that
/// no more may be locked says nothing of the memory.
pub(crate) fn can_register(words: &[AtomicU32]) -> io::Result<()> {
    let Ok(ring) = IoUring::new(1) else { return Ok(()) };
    let iov_len = size_of_val(words).min(4096);
    let page = libc::iovec { iov_base: words.as_ptr().cast_mut().cast(), iov_len };
    // SAFETY: nothing is read into the page, and the ring is gone before the borrow ends.
    match unsafe { ring.submitter().register_buffers(&[page]) } {
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Ok(()),
        registered => registered,
    }
}
