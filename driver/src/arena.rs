//! The arena: memory in chunks of one size, which files are read into and handlers see.

mod landing;
mod owners;
mod pages;
mod udmabuf;

pub(crate) use landing::Landing;
pub(crate) use owners::{Loads, NoReader, Reader};
pub(crate) use pages::Pages;
pub(crate) use udmabuf::Shared;

use owners::Owners;

use crate::open::{MAX_WORKSPACE_WORDS, OpenError};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

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
        // What an address can reach is fewer on 32-bit machines.
        if words > (MAX_WORKSPACE_WORDS as u64).min(isize::MAX as u64 / 8) {
            return Err(OpenError::Arena { words });
        }
        Ok(())
    }
}

/// How bytes come into an arena, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rung {
    /// Into registered pages of our own, which the GPU has imported (VK_EXT_external_memory_host);
    /// or the twin works on. No copies.
    Pages,
    /// Into the GPU's mapped memory, registered. No copies.
    Mapped,
    /// Into registered pages of our own that the GPU has imported as a dma-buf (/dev/udmabuf). No
    /// copies.
    Udmabuf,
    /// Into registered pages of our own, then copied to the GPU's memory.
    Bounce,
    /// By io_uring into memory that is not registered; copied as before, if it is not the GPU's.
    Plain,
    /// By threads that read and wait, where there is no io_uring.
    Threads,
}

impl Rung {
    /// What happens on it, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pages => "io_uring into registered pages that the GPU works on",
            Self::Mapped => "io_uring into the GPU's mapped memory, registered",
            Self::Udmabuf => "io_uring into registered pages that the GPU has as a dma-buf",
            Self::Bounce => "io_uring into registered pages, then a copy",
            Self::Plain => "io_uring into memory that is not registered",
            Self::Threads => "threads that read",
        }
    }
}

impl core::fmt::Display for Rung {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// An arena, whatever device works on it.
#[derive(Debug)]
pub(crate) struct Arena {
    options: ArenaOptions,
    /// Where the ladder begins.
    pub(crate) first_rung: Rung,
    /// Whether what has landed is to be there still when the device is lost.
    pub(crate) outlives_device: bool,
    /// Of the arena's length.
    pages: Arc<Pages>,
    /// The same as a dma-buf, once that was asked for; or why not.
    shared: OnceLock<Result<Arc<Shared>, String>>,
    memory: OnceLock<Memory>,
    owners: Mutex<Owners>,
}

/// The memory of an arena, chosen once for all its devices.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// One up to [`Rung::Bounce`].
    pub(crate) rung: Rung,
    /// Why not a better one.
    pub(crate) reason: String,
    pub(crate) landing: Landing,
}

impl Arena {
    /// An arena whose options were checked.
    pub(crate) fn new(
        options: ArenaOptions,
        first_rung: Rung,
        outlives_device: bool,
    ) -> Result<Arc<Self>, OpenError> {
        let pages = Pages::new(options.words() as usize);
        let pages = pages.map_err(|_| OpenError::OutOfMemory { bytes: 4 * options.words() })?;
        let (pages, shared, memory) = (Arc::new(pages), OnceLock::new(), OnceLock::new());
        let owners = Mutex::default();
        Ok(Arc::new(Self { options, first_rung, outlives_device, pages, shared, memory, owners }))
    }

    pub(crate) fn options(&self) -> ArenaOptions {
        self.options
    }

    pub(crate) fn pages(&self) -> &Arc<Pages> {
        &self.pages
    }

    /// Pages of the arena's length that are a dma-buf, or why there are none.
    pub(crate) fn shared(&self) -> Result<Arc<Shared>, String> {
        let make = || Shared::new(self.options.words() as usize).map(Arc::new);
        self.shared.get_or_init(make).clone()
    }

    /// The memory that a device has chosen.
    pub(crate) fn memory(&self) -> Option<&Memory> {
        self.memory.get()
    }

    /// The same, of a driver that is open.
    pub(crate) fn chosen(&self) -> &Memory {
        self.memory().expect("a driver that is open has chosen it")
    }

    /// Whether the kernel works on a copy of what has landed.
    pub(crate) fn is_copied(&self) -> bool {
        self.memory().is_some_and(|memory| memory.rung == Rung::Bounce)
    }

    /// Has this be its memory, unless it has one: once the device is there to stay.
    pub(crate) fn choose(&self, memory: Memory) {
        let _ = self.memory.set(memory);
    }

    /// Its pages, as its memory.
    pub(crate) fn in_pages(&self, rung: Rung, reason: String) -> Memory {
        Memory { rung, reason, landing: Landing::Pages(Arc::clone(&self.pages)) }
    }

    /// The bytes of a chunk.
    pub(crate) fn chunk(&self, index: u32) -> Range<usize> {
        let bytes = self.options.chunk_bytes as usize;
        let start = index as usize * bytes;
        start..start + bytes
    }
}
