//! Who puts bytes into which part of an arena: one reader of files and streams, and pumps beside it.

use super::Arena;
use slipring_core::publisher::Ticket;
use std::ops::Range;
use std::sync::{Arc, MutexGuard, PoisonError};

/// What is whose.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// The reader's chunks, as bytes.
    read: Option<Range<usize>>,
    /// Chunks whose jobs the last reader has left unfinished; the reader's, while there is one.
    left: Vec<(u32, Ticket)>,
    /// The bytes that pumps load into.
    loaded: Vec<Range<usize>>,
}

/// Why there is no reader.
#[derive(Debug)]
pub(crate) enum NoReader {
    /// There is one.
    Taken,
    /// A pump loads into these bytes of its chunks.
    Loaded(Range<usize>),
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

impl Arena {
    fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the chunks of readers that are gone, but those whose jobs are unfinished.
    pub(crate) fn retain_left(&self, mut is_unfinished: impl FnMut(Ticket) -> bool) {
        self.owners().left.retain(|(_, ticket)| is_unfinished(*ticket));
    }
}

/// The right to read into chunks of an arena.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) arena: Arc<Arena>,
    pub(crate) chunks: Range<u32>,
    /// Chunks that are not free before these jobs have ended, of readers that are gone.
    pub(crate) left: Vec<(u32, Ticket)>,
}

impl Reader {
    /// A reader, if there is none, and no pump loads into these chunks.
    pub(crate) fn new(arena: &Arc<Arena>, chunks: Range<u32>) -> Result<Self, NoReader> {
        let mut owners = arena.owners();
        if owners.read.is_some() {
            return Err(NoReader::Taken);
        }
        let bytes = arena.chunk(chunks.start).start..arena.chunk(chunks.end).start;
        if let Some(region) = owners.loaded.iter().find(|region| overlap(region, &bytes)) {
            return Err(NoReader::Loaded(region.clone()));
        }
        owners.read = Some(bytes);
        let left = std::mem::take(&mut owners.left);
        Ok(Self { arena: Arc::clone(arena), chunks, left })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut owners = self.arena.owners();
        owners.read = None;
        owners.left = std::mem::take(&mut self.left);
    }
}

/// The right of a pump to load into parts of an arena, which pumps may share.
pub(crate) struct Loads {
    arena: Arc<Arena>,
    regions: Vec<Range<usize>>,
}

impl Loads {
    /// The right to these bytes; or which of them a reader has, or jobs that one has left, and whose
    /// they are.
    pub(crate) fn new(
        arena: &Arc<Arena>,
        regions: Vec<Range<usize>>,
    ) -> Result<Self, (Range<usize>, Range<usize>)> {
        let mut owners = arena.owners();
        let left = owners.left.iter().map(|(chunk, _)| arena.chunk(*chunk));
        for read in owners.read.iter().cloned().chain(left) {
            if let Some(region) = regions.iter().find(|region| overlap(region, &read)) {
                return Err((region.clone(), read));
            }
        }
        owners.loaded.extend_from_slice(&regions);
        drop(owners);
        Ok(Self { arena: Arc::clone(arena), regions })
    }
}

impl Drop for Loads {
    fn drop(&mut self) {
        let loaded = &mut self.arena.owners().loaded;
        for region in &self.regions {
            if let Some(index) = loaded.iter().position(|other| other == region) {
                loaded.swap_remove(index);
            }
        }
    }
}
