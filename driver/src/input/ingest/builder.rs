//! What an ingest is made of.

use super::chunk::Chunk;
use super::{Ingest, IngestError};
use crate::arena::{ArenaOptions, NoReader, Reader};
use crate::driver::Driver;
use crate::input::faults::{Faults, Faulty};
use crate::input::ladder::climb;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// The most reads of files at once.
const MAX_DEPTH: u32 = 4096;
/// The most streams at once.
const MAX_STREAMS: u32 = 4096;
/// The most sources at once.
const MAX_SOURCES: u32 = 65_536;

/// The parts of an [`Ingest`].
#[derive(Debug)]
pub struct IngestBuilder<'a> {
    driver: &'a Driver,
    chunks: Option<Range<u32>>,
    depth: Option<u32>,
    batch: u32,
    sources: u32,
    faults: Option<Faults>,
}

impl<'a> IngestBuilder<'a> {
    pub(super) fn new(driver: &'a Driver) -> Self {
        Self { driver, chunks: None, depth: None, batch: 1, sources: 64, faults: None }
    }

    /// Which chunks of the arena it reads into, all if not said. The others are the caller's: for what
    /// handlers load themselves ([`IoTable::add_region`](super::super::IoTable::add_region)), or
    /// their results.
    #[must_use]
    pub fn chunks(mut self, chunks: Range<u32>) -> Self {
        self.chunks = Some(chunks);
        self
    }

    /// How many reads of files are under way at once, 1 to 4096; as many as make 8 MiB, but 4 to 64,
    /// if not said. A disk wants some MiB in flight (`slipring-bench ingest`). Each stream has one
    /// besides.
    #[must_use]
    pub fn depth(mut self, reads: u32) -> Self {
        self.depth = Some(reads);
        self
    }

    /// How many chunks [`Ingest::wait`] waits for, 1 if not said: the first one is published when it
    /// comes, as all are, but a drain for each may cost more than it brings. At least one, and not
    /// more than it has chunks; what is outside counts as the nearest.
    #[must_use]
    pub fn batch(mut self, chunks: u32) -> Self {
        self.batch = chunks;
        self
    }

    /// How many sources may be read at once, 1 to 65,536; 64 if not said. Each has a file descriptor
    /// open from [`Ingest::add`] on, and a second one if it is read past the page cache: mind the
    /// process's limit (`ulimit -n`).
    #[must_use]
    pub fn sources(mut self, sources: u32) -> Self {
        self.sources = sources;
        self
    }

    /// Injects faults, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = Some(faults);
        self
    }

    /// Creates everything that the ingest will ever need, but what a source needs.
    ///
    /// # Errors
    /// [`IngestError::NoArena`], [`IngestError::Chunks`], [`IngestError::Depth`],
    /// [`IngestError::Sources`], [`IngestError::Taken`], [`IngestError::Region`], and
    /// [`IngestError::Engine`] when nothing can be read at all.
    pub fn open(self) -> Result<Ingest, IngestError> {
        let arena = self.driver.device.options().arena.as_ref();
        let arena = Arc::clone(arena.ok_or(IngestError::NoArena)?);
        let ArenaOptions { chunks: most, chunk_bytes } = arena.options();
        let own = self.chunks.unwrap_or(0..most);
        let Range { start, end } = own;
        if start >= end || end > most {
            return Err(IngestError::Chunks { start, end, chunks: most });
        }
        let chunks = end - start;
        let depth = self.depth.unwrap_or(((8 << 20) / chunk_bytes).clamp(4, 64));
        if depth == 0 || depth > MAX_DEPTH {
            return Err(IngestError::Depth { depth, most: MAX_DEPTH });
        }
        let sources = self.sources;
        if sources == 0 || sources > MAX_SOURCES {
            return Err(IngestError::Sources { sources, most: MAX_SOURCES });
        }
        let reader = Reader::new(&arena, own.clone()).map_err(|why| match why {
            NoReader::Taken => IngestError::Taken,
            NoReader::Loaded(Range { start, end }) => IngestError::Region { start, end },
        })?;
        let is_left = |chunk: &u32| reader.left.iter().any(|(left, _)| left == chunk);
        let mut free = Vec::with_capacity(chunks as usize);
        free.extend(own.rev().filter(|chunk| !is_left(chunk)));
        let most_streams = (chunks.max(2) - 1).min(MAX_STREAMS);
        let transfers = (depth + most_streams.min(sources)).min(chunks);
        // A file may be known twice: with the page cache, and past it.
        let (mut engine, path) = climb(&arena, transfers, 2 * sources)?;
        if let Some(faults) = self.faults {
            engine = Box::new(Faulty { engine, faults, held: Vec::new() });
        }
        let slots = self.driver.device.host().geometry().slots() as usize;
        let listed = || VecDeque::with_capacity(chunks as usize);
        Ok(Ingest {
            engine,
            path,
            reader,
            depth: depth as usize,
            batch: self.batch.clamp(1, chunks),
            sources: (0..sources).map(|_| None).collect(),
            next_id: 0,
            files: VecDeque::with_capacity(sources as usize),
            streams: VecDeque::with_capacity(sources as usize),
            most_streams,
            file_reads: 0,
            was_stream: false,
            chunks: (0..most).map(|_| Chunk::free(chunk_bytes as usize)).collect(),
            free,
            landed: listed(),
            running: listed(),
            over: listed(),
            by_slot: vec![u32::MAX; slots],
            ended: VecDeque::with_capacity(sources as usize),
            ends: 0,
        })
    }
}
