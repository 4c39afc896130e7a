//! One chunk's read: what is still missing of it, and what each result makes of it.

use super::reading::Reading;
use crate::input::engine::{MAX_TRIES, Op, Transfer, is_passing};
use std::ops::Range;

/// A read on its way into a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// Where the chunk starts in its file or stream.
    pub(super) offset: u64,
    /// Its bytes; of a stream, the most that it may have.
    bytes: u32,
    filled: u32,
    /// Past the page cache.
    is_direct: bool,
    /// Whether the stream has to have bytes first.
    awaits_bytes: bool,
    tries: u32,
}

/// What is next for a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It goes on.
    Again,
    /// All has come that was to.
    Done {
        bytes: u32,
    },
    /// The stream is at its end.
    End,
    Failed(Failure),
}

/// Why a chunk was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Errno(i32),
    /// The file ended before the chunk did.
    Truncated,
}

impl Read {
    /// A read of the next chunk of a source.
    pub(super) fn new(offset: u64, bytes: u32, is_direct: bool) -> Self {
        Self { offset, bytes, filled: 0, is_direct, awaits_bytes: false, tries: 0 }
    }

    /// Its bytes that have come.
    pub(super) fn filled(&self) -> u32 {
        self.filled
    }

    /// Where in its source it is.
    pub(super) fn position(&self) -> u64 {
        self.offset + u64::from(self.filled)
    }

    /// The bytes that are missing, of a chunk that lies at `room`.
    pub(super) fn transfer(&mut self, source: &Reading, room: &Range<usize>) -> Transfer {
        let filled = self.filled as usize;
        let mut bytes = (self.bytes - self.filled) as usize;
        let mut file = source.file;
        match source.direct.filter(|_| self.is_direct) {
            // The end of the file may lie within a block, which is then read wholly.
            Some((direct, block)) if self.filled.is_multiple_of(block) => {
                bytes = bytes.next_multiple_of(block as usize).min(room.len() - filled);
                file = direct;
            }
            _ => self.is_direct = false,
        }
        let op = if self.awaits_bytes { Op::AwaitBytes } else { Op::Read };
        let offset = source.range.map(|_| self.position());
        Transfer { op, file, offset, at: room.start + filled, bytes }
    }

    /// What the result of that makes of it.
    pub(super) fn advance(&mut self, result: i32, is_stream: bool) -> Step {
        if result < 0 {
            return self.retry(-result, is_stream);
        }
        if self.awaits_bytes {
            self.awaits_bytes = false;
            return Step::Again;
        }
        if result == 0 {
            return if is_stream { Step::End } else { Step::Failed(Failure::Truncated) };
        }
        self.tries = 0;
        // A whole block may have come where the file ends within it.
        self.filled = self.filled.saturating_add(result as u32).min(self.bytes);
        if is_stream || self.filled == self.bytes {
            return Step::Done { bytes: self.filled };
        }
        Step::Again
    }

    fn retry(&mut self, errno: i32, is_stream: bool) -> Step {
        self.tries += 1;
        if self.is_direct && matches!(errno, libc::EINVAL | libc::EOPNOTSUPP | libc::EFAULT) {
            self.is_direct = false;
        } else if is_stream && errno == libc::EAGAIN && !self.awaits_bytes {
            // It was opened not to block.
            self.awaits_bytes = true;
        } else if !is_passing(errno) || self.tries > MAX_TRIES {
            return Step::Failed(Failure::Errno(errno));
        }
        Step::Again
    }

    /// Whether the file system turned out not to read past the page cache.
    pub(super) fn was_refused(&self, source: &Reading) -> bool {
        !self.is_direct && source.direct.is_some() && self.filled == 0
    }
}
