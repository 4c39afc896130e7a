//! Moves bytes between files and memory, several transfers at once.
//!
//! ```text
//!   start, start, … ─▶ submit ─▶ kernel ─▶ next, next, …     in any order
//! ```

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// What a transfer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Bytes of a file to memory.
    Read,
    /// Bytes of memory to a file.
    Write,
    /// No bytes: ends when a stream has some.
    AwaitBytes,
}

/// A file that an engine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileRef {
    /// By its descriptor.
    Fd(RawFd),
    /// By its place in a table of the kernel's.
    Fixed(u32),
}

/// Bytes to move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) op: Op,
    pub(crate) file: FileRef,
    /// Where in the file; none for a stream, which has one position.
    pub(crate) offset: Option<u64>,
    /// Where in the memory, in bytes.
    pub(crate) at: usize,
    pub(crate) bytes: usize,
}

/// A transfer that has ended: the bytes moved, perhaps fewer than asked for, or the negative error
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) token: u32,
    pub(crate) result: i32,
}

/// Moves bytes between files and one [`Landing`](crate::arena::Landing), which it keeps until all
/// its transfers have ended: dropping it cancels what can be, and waits for the rest. It never
/// allocates once it is open.
pub(crate) trait Engine: Send {
    /// Makes an open file known, which must stay open until it is removed.
    fn add_file(&mut self, fd: RawFd) -> FileRef;

    /// Forgets a file that no transfer is under way to or from.
    fn remove_file(&mut self, file: FileRef);

    /// Takes a transfer, of which there may be as many as the engine was opened for. Its range is
    /// within the memory, and nobody else's until it has ended.
    fn start(&mut self, token: u32, transfer: Transfer);

    /// Has what was started be under way, as far as the system takes it now.
    fn submit(&mut self) -> io::Result<()>;

    /// A transfer that has ended by now.
    fn next(&mut self) -> Option<Ended>;

    /// Waits until a transfer ends, if one is under way; not longer than the timeout, nor always as
    /// long.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Asks for a transfer to end early; it may then end as ECANCELED.
    fn cancel(&mut self, token: u32);

    /// Transfers that have not ended.
    fn in_flight(&self) -> usize;
}

/// The longest wait of an engine, which the system is not asked to exceed: it takes the seconds of
/// `Duration::MAX` for a time that is over.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How often a transfer is tried again at one byte, when the system says that it may succeed later.
pub(crate) const MAX_TRIES: u32 = 1000;

/// Whether the same call or transfer may succeed when it is made again. (What a thread has started,
/// the kernel cancels when that thread ends.)
pub(crate) fn is_passing(errno: i32) -> bool {
    matches!(errno, libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ECANCELED)
}

/// Takes a call that would succeed later for a success: what it was to do, the next one does. So it
/// takes a wait whose time is over.
pub(crate) fn unless_passing(result: io::Result<()>) -> io::Result<()> {
    let errno = result.as_ref().err().and_then(io::Error::raw_os_error);
    match errno {
        Some(libc::ETIME) => Ok(()),
        Some(errno) if is_passing(errno) => Ok(()),
        _ => result,
    }
}
