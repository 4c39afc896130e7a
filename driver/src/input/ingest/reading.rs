//! A source that is being read.

use super::ChunkJob;
use super::read::Read;
use crate::input::engine::{Engine, FileRef};
use crate::input::source::{FileRange, Opened};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

/// Names a source of one [`Ingest`](super::Ingest); arguments of its jobs carry the number. Numbers
/// count up, wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(pub u32);

#[derive(Debug)]
pub(super) struct Reading {
    pub(super) id: SourceId,
    pub(super) path: Arc<Path>,
    pub(super) job: ChunkJob,
    pub(super) file: FileRef,
    /// The same past the page cache, and what offsets are a multiple of there.
    pub(super) direct: Option<(FileRef, u32)>,
    pub(super) range: Option<FileRange>,
    /// Whether the file system refused to read past the page cache.
    is_direct_refused: bool,
    /// Where the next chunk starts.
    next: u64,
    /// Whether no chunk comes any more.
    is_exhausted: bool,
    is_cancelled: bool,
    /// Reads under way.
    reads: u32,
    /// Chunks that were begun and not handed back.
    outstanding: u32,
    /// Chunks that were read, those that could not be, and bytes.
    pub(super) chunks: u64,
    pub(super) failed: u64,
    pub(super) bytes: u64,
    /// Keeps both files open.
    _opened: Opened,
}

impl Reading {
    pub(super) fn new(
        id: SourceId,
        opened: Opened,
        job: ChunkJob,
        engine: &mut dyn Engine,
    ) -> Self {
        let file = engine.add_file(opened.file.as_raw_fd());
        let direct = opened.direct.as_ref();
        let direct =
            direct.map(|direct| (engine.add_file(direct.file.as_raw_fd()), direct.block_bytes));
        let (path, range) = (Arc::clone(&opened.path), opened.range);
        let is_exhausted = range.is_some_and(|range| range.len_bytes == 0);
        Self {
            id,
            path,
            job,
            file,
            direct,
            range,
            is_direct_refused: false,
            next: 0,
            is_exhausted,
            is_cancelled: false,
            reads: 0,
            outstanding: 0,
            chunks: 0,
            failed: 0,
            bytes: 0,
            _opened: opened,
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.range.is_none()
    }

    /// Begins the next chunk, if there is one: a stream's only when the one before has come.
    pub(super) fn begin(&mut self, chunk_bytes: u32) -> Option<Read> {
        if !self.has_more() {
            return None;
        }
        let mut bytes = chunk_bytes;
        let offset = self.next;
        if let Some(FileRange { step, len_bytes }) = self.range {
            bytes = (len_bytes - offset).min(chunk_bytes.into()) as u32;
            self.next += u64::from(step);
            // A last chunk that the one before has wholly would be read twice.
            self.is_exhausted = offset + u64::from(bytes) >= len_bytes;
        }
        self.reads += 1;
        self.outstanding += 1;
        let is_direct = self.direct.is_some() && !self.is_direct_refused;
        Some(Read::new(offset, bytes, is_direct))
    }

    /// Whether a chunk can be begun now.
    pub(super) fn has_more(&self) -> bool {
        !self.is_exhausted && (self.reads == 0 || !self.is_stream())
    }

    /// Of so many bytes read at `offset`, those that the next chunk does not have too.
    pub(super) fn own_bytes(&self, offset: u64, bytes: u32) -> u32 {
        match self.range {
            Some(range) if offset + u64::from(bytes) < range.len_bytes => range.step,
            _ => bytes,
        }
    }

    /// Has later chunks be read through the page cache.
    pub(super) fn direct_refused(&mut self) {
        self.is_direct_refused = true;
    }

    /// Notes that a read has ended.
    pub(super) fn ended(&mut self) {
        self.reads -= 1;
    }

    /// Notes that a chunk was handed back.
    pub(super) fn handed_back(&mut self) {
        self.outstanding -= 1;
    }

    /// Notes what a read has brought.
    pub(super) fn came(&mut self, bytes: u32) {
        self.chunks += 1;
        self.bytes += u64::from(bytes);
        if self.is_stream() {
            self.next += u64::from(bytes);
        }
    }

    /// Ends it: no chunk comes any more.
    pub(super) fn exhaust(&mut self) {
        self.is_exhausted = true;
    }

    /// Ends it, and has what is being read be given up.
    pub(super) fn cancel(&mut self) {
        (self.is_exhausted, self.is_cancelled) = (true, true);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    /// Whether it is over: all chunks were handed back.
    pub(super) fn is_over(&self) -> bool {
        self.is_exhausted && self.outstanding == 0
    }

    /// Has the engine forget its files.
    pub(super) fn close(self, engine: &mut dyn Engine) {
        engine.remove_file(self.file);
        if let Some((direct, _)) = self.direct {
            engine.remove_file(direct);
        }
    }
}
