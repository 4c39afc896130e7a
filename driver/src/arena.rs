//! The arena: memory in chunks of one size, which files are read into and handlers see.

use crate::open::{MAX_WORKSPACE_WORDS, OpenError};

/// What a chunk's size is a multiple of: the page and the block that direct I/O wants.
pub const CHUNK_STEP_BYTES: u32 = 4096;

/// The largest chunk: 1 GiB.
pub const MAX_CHUNK_BYTES: u32 = 1 << 30;

/// The most chunks.
pub const MAX_CHUNKS: u32 = 65_536;

/// How large an arena is.
///
/// ```
/// use slipring_core::layout::Geometry;
/// use slipring_driver::{ArenaOptions, Driver, Kernel};
/// # use slipring_driver::BackendChoice;
/// # let choice = BackendChoice::Twin;
/// let builder = Driver::builder(Kernel::builder().build()?, Geometry::of_slots(64, 8)?);
/// # let builder = builder.backend(choice);
/// let mut driver = builder.arena(ArenaOptions { chunks: 4, chunk_bytes: 65_536 }).open()?;
/// // The last word.
/// driver.write_arena(65_535, &[7])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaOptions {
    /// Chunks, 1 to [`MAX_CHUNKS`].
    pub chunks: u32,
    /// Bytes of each, a multiple of [`CHUNK_STEP_BYTES`] up to [`MAX_CHUNK_BYTES`]. All chunks
    /// together have at most [`MAX_WORKSPACE_WORDS`] words.
    pub chunk_bytes: u32,
}

impl ArenaOptions {
    /// Words of all chunks.
    pub(crate) fn words(self) -> u64 {
        u64::from(self.chunks) * u64::from(self.chunk_bytes / 4)
    }

    pub(crate) fn check(self) -> Result<(), OpenError> {
        let Self { chunks, chunk_bytes } = self;
        let is_whole = chunk_bytes.is_multiple_of(CHUNK_STEP_BYTES);
        if !is_whole || !(CHUNK_STEP_BYTES..=MAX_CHUNK_BYTES).contains(&chunk_bytes) {
            return Err(OpenError::ArenaChunkBytes { chunk_bytes });
        }
        if !(1..=MAX_CHUNKS).contains(&chunks) {
            return Err(OpenError::ArenaChunks { chunks });
        }
        let words = self.words();
        if words > MAX_WORKSPACE_WORDS as u64 {
            return Err(OpenError::Arena { words });
        }
        Ok(())
    }
}
