//! Files and streams into memory that the GPU reads, through io_uring where there is one.
//!
//! ```text
//!   Source ─▶ Engine (io_uring, or threads) ─▶ arena ─▶ a slot for each chunk ─▶ jobs
//! ```

pub(crate) mod engine;
mod faults;
mod ingest;
pub(crate) mod ladder;
mod publish;
mod pump;
mod source;
mod threads;
mod uring;

pub use crate::arena::Rung;
#[doc(hidden)]
pub use faults::{Fault, Faults};
pub use ingest::{
    ChunkEnd, ChunkJob, FinishedChunk, Ingest, IngestBuilder, IngestError, ReadError, SourceEnd,
    SourceId,
};
pub use ladder::IngestPath;
pub use publish::Publish;
pub use pump::{Access, Handle, IoPump, IoPumpError, IoTable, TableError};
pub(crate) use pump::{Carry, Service, log_failure};
pub use source::{Caching, Source, SourceError};

pub(crate) use ingest::nap_of;
pub(crate) use ladder::can_register;
pub(crate) use publish::Refusals;
