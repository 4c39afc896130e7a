//! The arena's memory: the best that the device and the kernel both work on.

use super::Mapped;
use crate::arena::{Arena, Landing, Pages, Rung};
use crate::backend::BackendError;
use crate::host_row::store_words;
use crate::input::can_register;
use crate::storage::HostMemory;
use crate::vulkan::{Allocation, Placement, Usage};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// An arena's buffer, and where its bytes land.
#[derive(Clone)]
pub(crate) struct MappedArena {
    pub(super) buffer: Allocation,
    /// If that is not the buffer itself.
    landing: Option<Arc<Pages>>,
}

impl MappedArena {
    /// The arena of a row; one word, if it has none.
    pub(super) fn open(mapped: &Mapped, arena: Option<&Arena>) -> Result<Self, BackendError> {
        let Some(arena) = arena else {
            let buffer = Allocation::new(&mapped.device, 1, Usage::Storage, Placement::HostReads)?;
            return Ok(Self { buffer, landing: None });
        };
        let buffer = open(mapped, arena)?;
        let is_copied = arena.memory().is_some_and(|memory| memory.rung == Rung::Bounce);
        Ok(Self { buffer, landing: is_copied.then(|| Arc::clone(arena.pages())) })
    }

    /// Copies words that have landed to the buffer, if that takes a copy.
    pub(crate) fn deliver(&self, words: Range<usize>) {
        if let Some(landing) = &self.landing {
            let landed = landing.words()[words.clone()].iter();
            let landed = landed.map(|word| word.load(Ordering::Relaxed));
            store_words(self.words(), words.start, landed);
        }
    }

    /// Copies words of the buffer to where they would land, if that takes a copy.
    pub(crate) fn fetch(&self, words: Range<usize>) {
        if let Some(landing) = &self.landing {
            let fetched = self.words()[words.clone()].iter();
            let fetched = fetched.map(|word| word.load(Ordering::Relaxed));
            store_words(landing.words(), words.start, fetched);
        }
    }

    /// Its words.
    pub(super) fn words(&self) -> &[AtomicU32] {
        self.buffer.mapped().unwrap_or(&[])
    }
}

/// The buffer of an arena, in the memory that it was given first; if it has none yet, of the first
/// rung of its ladder that there is.
fn open(mapped: &Mapped, arena: &Arena) -> Result<Allocation, BackendError> {
    if let Some(memory) = arena.memory() {
        return match (&memory.landing, memory.rung) {
            (Landing::Mapped(allocation), _) => Ok(allocation.clone()),
            (_, Rung::Pages) => import(mapped, arena),
            _ => allocate(mapped, arena, apart(mapped)),
        };
    }
    let mut reasons = Vec::new();
    if let Some(reason) = polls_own_memory(mapped) {
        reasons.push(reason);
    } else {
        match try_pages(mapped, arena).or_else(|reason| {
            reasons.push(reason);
            try_mapped(mapped, arena)
        }) {
            Ok((rung, allocation)) => {
                let landing = match rung {
                    Rung::Mapped => Landing::Mapped(allocation.clone()),
                    _ => Landing::Pages(arena.pages().clone()),
                };
                arena.choose(rung, reasons.join("; "), landing);
                return Ok(allocation);
            }
            Err(reason) => reasons.push(reason),
        }
    }
    let allocation = allocate(mapped, arena, apart(mapped))?;
    arena.choose_pages(Rung::Bounce, reasons.join("; "));
    Ok(allocation)
}

/// Why memory of the host's does not do, if it does not.
fn polls_own_memory(mapped: &Mapped) -> Option<String> {
    (mapped.slice.is_some() && !mapped.device.is_unified())
        .then(|| "a kernel that stays on sees what lands only in the GPU's own memory".to_owned())
}

/// Where an arena lies that is apart from where its bytes land.
fn apart(mapped: &Mapped) -> Placement {
    if mapped.slice.is_some() { Placement::Polled } else { Placement::HostWrites }
}

fn try_pages(mapped: &Mapped, arena: &Arena) -> Result<(Rung, Allocation), String> {
    if arena.first_rung > Rung::Pages && arena.first_rung < Rung::Plain {
        return Err(passed_over(Rung::Pages));
    }
    let imported = import(mapped, arena).map_err(|error| error.to_string())?;
    Ok((Rung::Pages, imported))
}

fn try_mapped(mapped: &Mapped, arena: &Arena) -> Result<(Rung, Allocation), String> {
    if arena.first_rung > Rung::Mapped && arena.first_rung < Rung::Plain {
        return Err(passed_over(Rung::Mapped));
    }
    if arena.outlives_device {
        return Err("mapped memory does not outlive its device".to_owned());
    }
    let allocation = allocate(mapped, arena, Placement::HostReads);
    let allocation = allocation.map_err(|error| error.to_string())?;
    can_register(allocation.mapped().unwrap_or(&[]))
        .map_err(|error| format!("io_uring does not register the GPU's memory: {error}"))?;
    Ok((Rung::Mapped, allocation))
}

fn passed_over(rung: Rung) -> String {
    format!("not wanted: {rung}")
}

fn import(mapped: &Mapped, arena: &Arena) -> Result<Allocation, BackendError> {
    let pages = HostMemory::Pages(arena.pages().clone());
    let words = arena.options().words() as usize;
    let mut buffers =
        Allocation::of_host(&mapped.device, &pages, std::slice::from_ref(&(0..words)))?;
    Ok(buffers.remove(0))
}

fn allocate(
    mapped: &Mapped,
    arena: &Arena,
    placement: Placement,
) -> Result<Allocation, BackendError> {
    let words = arena.options().words() as usize;
    Allocation::new(&mapped.device, words, Usage::Storage, placement)
}
