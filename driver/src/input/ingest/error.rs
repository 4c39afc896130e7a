//! Why input cannot go on.

use crate::driver::DriverError;
use crate::input::source::SourceError;
use crate::persistent::PersistError;
use std::io;

/// Why input cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum IngestError {
    /// The driver was opened without [`DriverBuilder::arena`](crate::DriverBuilder::arena).
    #[error("the driver has no arena; use DriverBuilder::arena")]
    NoArena,
    /// Another driver than the one whose arena is read into.
    #[error("this is not the driver that the ingest was opened for")]
    OtherArena,
    /// No chunks, or some that the arena does not have.
    #[error("chunks {start}..{end} of an arena of {chunks}; at least one is needed")]
    Chunks { start: u32, end: u32, chunks: u32 },
    /// A depth of 0, or of more than the ring takes.
    #[error("{depth} reads at once; 1 to {most} are possible")]
    Depth { depth: u32, most: u32 },
    /// No room for sources, or for too many.
    #[error("room for {sources} sources; 1 to {most} are possible")]
    Sources { sources: u32, most: u32 },
    /// Another ingest reads into the arena.
    #[error("another ingest reads into this driver's arena; drop it first")]
    Taken,
    /// What a pump loads would land on what is read.
    #[error(
        "the driver's IO pump loads into bytes {start}..{end} of the arena; keep chunks for it \
         (IngestBuilder::chunks)"
    )]
    Region { start: usize, end: usize },
    /// As many sources are being read as there may be.
    #[error("{sources} sources are being read, and there is room for no more; wait for one to end")]
    Full { sources: u32 },
    /// More streams than may wait, each in a chunk of its own; one is left for the rest.
    #[error("{streams} streams at once; {most} are possible, each waits in a chunk of its own")]
    Streams { streams: u32, most: u32 },
    /// More arguments than a slot has room for.
    #[error("{args} more arguments for each chunk; a slot has room for {most}")]
    Args { args: usize, most: usize },
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The system does not take reads any more.
    #[error("reading is not possible any more: {source}")]
    Engine { source: io::Error },
    /// The kernel that stays on is gone.
    #[error(transparent)]
    Persist(#[from] PersistError),
    /// The device did not take a chunk.
    #[error(transparent)]
    Driver(#[from] DriverError),
}
