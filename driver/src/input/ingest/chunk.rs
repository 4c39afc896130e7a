//! Chunks of the arena, the jobs that they become, and how they end.

use super::SourceId;
use super::read::{Failure, Read};
use super::reading::Reading;
use crate::arena::Landing;
use crate::input::engine::Transfer;
use slipring_core::publisher::{Outcome, PublisherError, Ticket};
use slipring_core::ring::Job;
use slipring_core::slot::{ARGS, Priority, fault};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// What becomes of each chunk of a source: a slot of this opcode, with these arguments.
///
/// | argument | is |
/// |---|---|
/// | 0 | the chunk's first word in the arena |
/// | 1 | its bytes; the rest of the chunk's words are 0, unless handlers have written there |
/// | 2 | those of them that the next chunk does not have too ([`Source::overlap_bytes`](super::super::Source::overlap_bytes)) |
/// | 3 | which chunk of the arena it is: no other job has it before this one was handed back |
/// | 4 | the source's number |
/// | 5, 6 | where it starts in its file or stream, low and high half |
/// | 7 to 11 | what the caller adds |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkJob {
    opcode: u32,
    pub(super) tenant: u32,
    pub(super) priority: Priority,
    pub(super) extra: Vec<u32>,
}

impl ChunkJob {
    /// Arguments that the caller may add.
    pub const MAX_ARGS: usize = ARGS - 7;

    /// A normal job of tenant 0.
    pub const fn new(opcode: u32) -> Self {
        Self { opcode, tenant: 0, priority: Priority::Normal, extra: Vec::new() }
    }

    /// The same for another tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: u32) -> Self {
        self.tenant = tenant;
        self
    }

    /// The same at another level.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The same with more arguments, [`ChunkJob::MAX_ARGS`] at most.
    #[must_use]
    pub fn args(mut self, args: &[u32]) -> Self {
        self.extra = args.to_vec();
        self
    }

    pub(super) fn arguments(
        &self,
        index: u32,
        room: &Range<usize>,
        chunk: &Chunk,
        own_bytes: u32,
        source: SourceId,
    ) -> [u32; ARGS] {
        let (offset, first) = (chunk.read.offset, (room.start / 4) as u32);
        let fixed =
            [first, chunk.bytes, own_bytes, index, source.0, offset as u32, (offset >> 32) as u32];
        let mut args = [0; ARGS];
        args.iter_mut().zip(fixed.iter().chain(&self.extra)).for_each(|(arg, value)| *arg = *value);
        args
    }

    pub(super) fn with<'a>(&self, args: &'a [u32]) -> Job<'a> {
        Job { opcode: self.opcode, tenant: self.tenant, priority: self.priority, args }
    }
}

/// A chunk of the arena.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) state: State,
    pub(super) source: usize,
    pub(super) read: Read,
    pub(super) bytes: u32,
    /// Where the latest transfer ends.
    asked: usize,
    /// Bytes from its start on behind which all are 0 where they land.
    touched: usize,
    /// Bytes that the device has to get, where it is copied; none if it has them.
    pub(super) undelivered: usize,
}

#[derive(Debug)]
pub(super) enum State {
    Free,
    Reading,
    /// Waits for room in the ring.
    Landed,
    Running(Ticket),
    /// These are to be handed back.
    Ran(Ticket, Outcome),
    Failed(Failure),
    Refused(PublisherError),
}

impl Chunk {
    /// A chunk of so many bytes, which another ingest may have left there.
    pub(super) fn free(touched: usize) -> Self {
        let read = Read::new(0, 0, false);
        Self { state: State::Free, source: 0, read, bytes: 0, asked: 0, touched, undelivered: 0 }
    }

    pub(super) fn begin(&mut self, source: usize, read: Read) {
        (self.state, self.source, self.read, self.bytes) = (State::Reading, source, read, 0);
    }

    /// What is to be read next.
    pub(super) fn transfer(&mut self, source: &Reading, room: &Range<usize>) -> Transfer {
        let transfer = self.read.transfer(source, room);
        self.asked = transfer.at + transfer.bytes - room.start;
        transfer
    }

    /// Notes that bytes may have landed: of a stream those that have come; of a file all that were
    /// asked for, whatever it says.
    pub(super) fn touch(&mut self, is_stream: bool) {
        let end = if is_stream { self.read.filled() as usize } else { self.asked };
        self.touched = self.touched.max(end);
    }

    /// Notes that it has so many bytes, and zeroes what is behind them.
    pub(super) fn land(&mut self, bytes: u32, landing: &Landing, room: &Range<usize>) {
        (self.state, self.bytes, self.undelivered) = (State::Landed, bytes, self.touched);
        landing.zero(room.start + bytes as usize..room.start + self.touched);
        self.touched = bytes as usize;
    }
}

/// A chunk that is handed back.
#[derive(Debug)]
pub struct FinishedChunk {
    /// Whose it is.
    pub source: SourceId,
    /// Where it starts in its file or stream.
    pub offset: u64,
    /// Its bytes; 0 if it was not read.
    pub bytes: u32,
    /// Which chunk of the arena it was in.
    pub chunk: u32,
    /// How it ended.
    pub end: ChunkEnd,
}

/// How a chunk ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChunkEnd {
    /// Its job has finished well.
    Done,
    /// Its job has finished with this fault code.
    Fault(u8),
    /// It was read, and the publisher does not take its job. (A full ring is waited for, and so is a
    /// tenant's quota, one of 0 too.)
    Refused(PublisherError),
    /// It could not be read. The other chunks still come, of a file.
    NotRead(ReadError),
    /// Nothing is known of its job: its slot had two jobs of others since, or was taken from it (by a
    /// reset, by another publisher, or because it was published after the last
    /// checkpoint before the device was lost while a kernel stayed on).
    Unknown,
}

impl core::fmt::Display for ChunkEnd {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Done => write!(f, "done"),
            Self::Fault(code) => write!(f, "fault {code}: {}", fault::meaning(*code)),
            Self::Refused(error) => write!(f, "not published: {error}"),
            Self::NotRead(error) => write!(f, "not read: {error}"),
            Self::Unknown => write!(f, "published, and its end is not known"),
        }
    }
}

/// Why a chunk could not be read.
#[derive(Clone, Debug)]
pub struct ReadError {
    /// The file, or the stream's name.
    pub path: Arc<Path>,
    /// The byte that was not read.
    pub offset: u64,
    /// The system's error number; none if the file ended there: it became shorter meanwhile, or gives
    /// more length than it has, as in /sys. Each of its chunks that is missing is told.
    pub errno: Option<i32>,
}

impl core::fmt::Display for ReadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { path, offset, errno } = self;
        write!(f, "{} at byte {offset}: ", path.display())?;
        match errno {
            Some(errno) => write!(f, "{}", io::Error::from_raw_os_error(*errno)),
            None => write!(
                f,
                "the file ends before the length that it gave when it was opened (files that never have \
                 theirs, as in /sys, are for Source::stream)"
            ),
        }
    }
}

impl core::error::Error for ReadError {}

/// A source of which nothing is left.
#[derive(Clone, Debug)]
pub struct SourceEnd {
    /// Which one.
    pub source: SourceId,
    /// The file, or the stream's name.
    pub path: Arc<Path>,
    /// Chunks that were read.
    pub chunks: u64,
    /// Chunks that could not be read.
    pub failed: u64,
    /// Bytes that were read; those that chunks have in common count in each.
    pub bytes: u64,
}
