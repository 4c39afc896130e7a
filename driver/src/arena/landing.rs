//! Where bytes land: memory that the kernel's reads go to.

use super::pages::Pages;
use super::udmabuf::Shared;
use crate::vulkan::Allocation;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Memory for the kernel's reads and writes, which stays as long as any clone.
#[derive(Clone)]
pub(crate) enum Landing {
    /// Pages of our own.
    Pages(Arc<Pages>),
    /// The same, of a dma-buf.
    Shared(Arc<Shared>),
    /// The device's, mapped.
    Mapped(Arc<dyn MappedMemory>),
}

/// A device's memory that is mapped, behind a trait: what wgpu is made of is too deep for the
/// compiler to look through in whatever has an arena.
pub(crate) trait MappedMemory: Send + Sync {
    fn allocation(&self) -> &Allocation;
}

impl MappedMemory for Allocation {
    fn allocation(&self) -> &Allocation {
        self
    }
}

impl core::fmt::Debug for Landing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Pages(_) => "Pages",
            Self::Shared(_) => "Shared",
            Self::Mapped(_) => "Mapped",
        })
    }
}

impl Landing {
    /// Its words; not fewer than the arena's.
    pub(crate) fn words(&self) -> &[AtomicU32] {
        match self {
            Self::Pages(pages) => pages.words(),
            Self::Shared(shared) => shared.pages().words(),
            Self::Mapped(memory) => memory.allocation().mapped().unwrap_or(&[]),
        }
    }

    /// Its bytes.
    pub(crate) fn len_bytes(&self) -> usize {
        4 * self.words().len()
    }

    /// Where byte `at` is.
    pub(crate) fn pointer(&self, at: usize) -> *mut u8 {
        self.words().as_ptr().cast_mut().cast::<u8>().wrapping_add(at)
    }

    /// Zeroes bytes, which nobody else writes to meanwhile.
    pub(crate) fn zero(&self, bytes: Range<usize>) {
        let Range { start, end } = bytes;
        let mut at = start;
        for word in self.words().iter().take(end.div_ceil(4)).skip(start / 4) {
            let (first, kept) = (at % 4, (end - (at - at % 4)).min(4));
            let zeroed = (0..4).filter(|byte| (first..kept).contains(byte));
            let mask = zeroed.fold(0u32, |mask, byte| mask | 0xFF << (8 * byte));
            word.store(word.load(Ordering::Relaxed) & !mask, Ordering::Relaxed);
            at = at - at % 4 + 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroing_spares_the_bytes_around() {
        let landing = Landing::Pages(Arc::new(Pages::new(4).unwrap()));
        let words = &landing.words()[..4];
        for (start, end, expected) in [
            (0, 16, [0, 0, 0, 0]),
            (5, 5, [!0, !0, !0, !0]),
            (1, 3, [0xFF00_00FF, !0, !0, !0]),
            (3, 9, [0x00FF_FFFF, 0, 0xFFFF_FF00, !0]),
            (15, 16, [!0, !0, !0, 0x00FF_FFFF]),
        ] {
            words.iter().for_each(|word| word.store(!0, Ordering::Relaxed));
            landing.zero(start..end);
            let left: Vec<_> = words.iter().map(|word| word.load(Ordering::Relaxed)).collect();
            assert_eq!(left, expected, "{start}..{end}");
        }
    }
}
