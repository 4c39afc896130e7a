//! The work list: which slots a drain looks at.
//!
//! Only slots that may hold work are listed: those published since the last drain, those that
//! it left PUBLISHED, and those whose I/O has ended. So a drain's upload and its lanes follow
//! the work, not the ring's size.

use crate::kernel::Kernel;
use slipring_core::slot::{LEVELS, Priority};

/// One list a level, and one for the fences of all levels. Capacity for every slot of the ring
/// is reserved at the start, so that publishing never allocates.
#[derive(Debug)]
pub(crate) struct WorkList {
    levels: [Vec<u32>; LEVELS],
    fences: Vec<u32>,
}

impl WorkList {
    /// An empty list. `sizes` are the slots of each level.
    pub(crate) fn new(sizes: [u32; LEVELS]) -> Self {
        let slots: u32 = sizes.iter().sum();
        let levels = sizes.map(|size| Vec::with_capacity(size as usize));
        Self { levels, fences: Vec::with_capacity(slots as usize) }
    }

    pub(crate) fn push(&mut self, slot: u32, level: Priority, is_fence: bool) {
        let list = if is_fence { &mut self.fences } else { &mut self.levels[level as usize] };
        list.push(entry_of(slot, level));
    }

    /// Each level's entries once and in ascending order, the order of the serial geometry.
    pub(crate) fn sort(&mut self) {
        for list in self.levels.iter_mut().chain([&mut self.fences]) {
            list.sort_unstable();
            list.dedup();
        }
    }

    /// The levels that have work, most urgent first.
    pub(crate) fn levels(&self) -> impl Iterator<Item = &[u32]> {
        self.levels.iter().filter(|level| !level.is_empty()).map(Vec::as_slice)
    }

    pub(crate) fn fences(&self) -> &[u32] {
        &self.fences
    }

    /// Slots listed.
    pub(crate) fn len(&self) -> usize {
        self.levels.iter().map(Vec::len).sum::<usize>() + self.fences.len()
    }

    /// Every listed slot.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        self.levels.iter().flatten().chain(&self.fences).map(|&entry| slot_of(entry))
    }

    /// Keeps the slots that are still to be looked at.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        for list in self.levels.iter_mut().chain([&mut self.fences]) {
            list.retain(|&entry| keep(slot_of(entry)));
        }
    }

    /// Lists what another list does too, and empties that.
    pub(crate) fn append(&mut self, other: &mut Self) {
        for (list, other) in self.levels.iter_mut().zip(&mut other.levels) {
            list.append(other);
        }
        self.fences.append(&mut other.fences);
    }

    pub(crate) fn clear(&mut self) {
        self.retain(|_| false);
    }
}

/// The entry of a slot at its level.
pub(crate) fn entry_of(slot: u32, level: Priority) -> u32 {
    level.level() << Kernel::ENTRY_LEVEL_SHIFT | slot
}

/// The slot of an entry.
pub(crate) fn slot_of(entry: u32) -> u32 {
    entry & ((1 << Kernel::ENTRY_LEVEL_SHIFT) - 1)
}

/// The level of an entry.
pub(crate) fn level_of(entry: u32) -> Priority {
    Priority::ALL[(entry >> Kernel::ENTRY_LEVEL_SHIFT) as usize]
}

/// Runs of adjacent numbers in an ascending list, as (first, count).
pub(crate) fn runs(ascending: &[u32]) -> impl Iterator<Item = (u32, u32)> {
    ascending.chunk_by(|a, b| *b == a.wrapping_add(1)).map(|run| (run[0], run.len() as u32))
}
