//! Pages of our own, which the kernel pins and a GPU may import.

use memmap2::{Advice, MmapMut, MmapOptions, MmapRaw};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU32;

/// What pages start at a multiple of: a huge page of x86 and of Arm with pages of 4 KiB. The kernel
/// then pins hundreds of pages at once, and a disk gets one piece of memory instead of hundreds
/// (three times the speed of O_DIRECT on a virtual disk: `slipring-bench ingest`).
const ALIGNMENT_BYTES: usize = 2 << 20;

/// What pages are a multiple of: the largest page of an Arm.
const LARGEST_PAGE_BYTES: usize = 64 << 10;

/// Whole pages, all zero. The system gives memory to those that are used.
#[derive(Debug)]
pub(crate) struct Pages {
    mapping: MmapRaw,
    /// Where they start in the mapping.
    first_byte: usize,
    words: usize,
}

impl Pages {
    /// Whole pages for `words`.
    ///
    /// # Errors
    /// Those of mmap.
    pub(crate) fn new(words: usize) -> io::Result<Self> {
        let bytes = (4 * words).next_multiple_of(LARGEST_PAGE_BYTES);
        let mapping = MmapMut::map_anon(bytes + ALIGNMENT_BYTES)?;
        // Where there are no huge pages, small ones do.
        let _ = mapping.advise(Advice::HugePage);
        let first_byte = mapping.as_ptr().align_offset(ALIGNMENT_BYTES);
        Ok(Self { mapping: mapping.into(), first_byte, words: bytes / 4 })
    }

    /// Whole pages for `words`, of a memfd that is empty.
    ///
    /// # Errors
    /// Those of ftruncate and mmap.
    pub(super) fn of_memfd(memfd: &OwnedFd, words: usize) -> io::Result<Self> {
        let bytes = (4 * words).next_multiple_of(LARGEST_PAGE_BYTES);
        rustix::fs::ftruncate(memfd, bytes as u64)?;
        let mapping = MmapOptions::new().len(bytes).map_raw(memfd)?;
        Ok(Self { mapping, first_byte: 0, words: bytes / 4 })
    }

    /// All of them.
    pub(crate) fn words(&self) -> &[AtomicU32] {
        let start = self.mapping.as_mut_ptr().wrapping_add(self.first_byte).cast();
        // SAFETY: the pages stay mapped as long as `self`, start at a page, and are zero or what was
        // written; a memfd's are sealed against shrinking. Whoever else writes to them (the kernel
        // for a read that was started, a GPU) does so as with any atomic.
        // (`every_rung_delivers_every_byte` in tests/driver_ingest.rs)
        unsafe { std::slice::from_raw_parts(start, self.words) }
    }
}
