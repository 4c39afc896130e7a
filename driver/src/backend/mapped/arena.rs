//! The arena's memory: the best that the device and the kernel both work on.

use super::Mapped;
use crate::arena::{Arena, Landing, Memory, Pages, Rung, Shared};
use crate::backend::BackendError;
use crate::host_row::{load_words, store_words};
use crate::input::can_register;
use crate::storage::HostMemory;
use crate::vulkan::{Allocation, Placement, Usage};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// An arena's buffer, and where its bytes land.
#[derive(Clone)]
pub(crate) struct MappedArena {
    pub(super) buffer: Allocation,
    between: Between,
}

/// What lies between an arena's buffer and where its bytes land.
#[derive(Clone)]
enum Between {
    Nothing,
    /// A copy from these pages.
    Copy(Arc<Pages>),
    /// The CPU's caches.
    Caches(Arc<Shared>),
}

impl MappedArena {
    /// The one word of a row that has no arena.
    pub(super) fn none(mapped: &Mapped) -> Result<Self, BackendError> {
        let buffer = Allocation::new(&mapped.device, 1, Usage::Storage, Placement::HostReads)?;
        Ok(Self { buffer, between: Between::Nothing })
    }

    /// The arena of a row, and the memory that it is to have from then on.
    pub(super) fn open(mapped: &Mapped, arena: &Arena) -> Result<(Self, Memory), BackendError> {
        let (buffer, memory) = match arena.memory() {
            Some(memory) => (open_again(mapped, arena, memory)?, memory.clone()),
            None => open(mapped, arena)?,
        };
        let between = match &memory {
            Memory { landing: Landing::Shared(shared), .. } => Between::Caches(Arc::clone(shared)),
            Memory { rung: Rung::Bounce, .. } => Between::Copy(Arc::clone(arena.pages())),
            _ => Between::Nothing,
        };
        Ok((Self { buffer, between }, memory))
    }

    /// Has the GPU see words that have landed.
    pub(crate) fn deliver(&self, words: Range<usize>) -> Result<(), BackendError> {
        match &self.between {
            Between::Nothing => Ok(()),
            Between::Copy(pages) => {
                copy(pages.words(), self.words(), words);
                // The GPU's own memory is write-combined: what tells the kernel of the words must
                // not get there before them.
                fence(Ordering::SeqCst);
                Ok(())
            }
            Between::Caches(shared) => shared.give().map_err(not_synchronized),
        }
    }

    /// Has words that the GPU has written be where they would land.
    pub(crate) fn fetch(&self, words: Range<usize>) -> Result<(), BackendError> {
        match &self.between {
            Between::Nothing => Ok(()),
            Between::Copy(pages) => {
                copy(self.words(), pages.words(), words);
                Ok(())
            }
            // To have the CPU's caches forget them, they would forget what is landing meanwhile.
            Between::Caches(_) => Err(BackendError::Refused {
                message: "the arena is a dma-buf, which is for input only".to_owned(),
            }),
        }
    }

    /// Writes words from word `first` on.
    pub(super) fn write(&self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        store_words(self.words(), first, words.iter().copied());
        match &self.between {
            Between::Caches(_) => self.deliver(first..first + words.len()),
            Between::Nothing | Between::Copy(_) => Ok(()),
        }
    }

    /// Reads words from word `first` on.
    pub(super) fn read(&self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        if let Between::Caches(_) = self.between {
            self.fetch(first..first + words.len())?;
        }
        load_words(self.words(), first, words);
        Ok(())
    }

    /// Its words.
    fn words(&self) -> &[AtomicU32] {
        self.buffer.mapped().unwrap_or(&[])
    }
}

fn copy(from: &[AtomicU32], to: &[AtomicU32], words: Range<usize>) {
    let values = from[words.clone()].iter().map(|word| word.load(Ordering::Relaxed));
    store_words(to, words.start, values);
}

fn not_synchronized(error: std::io::Error) -> BackendError {
    BackendError::Refused { message: format!("the dma-buf was not synchronized: {error}") }
}

/// The buffer of an arena in the memory that it has.
fn open_again(mapped: &Mapped, arena: &Arena, memory: &Memory) -> Result<Allocation, BackendError> {
    match (&memory.landing, memory.rung) {
        (Landing::Mapped(memory), _) => Ok(memory.allocation().clone()),
        (Landing::Shared(shared), _) => import(mapped, arena, HostMemory::Shared(shared.clone())),
        (Landing::Pages(pages), Rung::Pages) => {
            import(mapped, arena, HostMemory::Pages(pages.clone()))
        }
        _ => allocate(mapped, arena, apart(mapped)),
    }
}

/// The buffer of an arena on the first rung of its ladder that there is.
fn open(mapped: &Mapped, arena: &Arena) -> Result<(Allocation, Memory), BackendError> {
    let mut reasons = Vec::new();
    if mapped.slice.is_some() && !mapped.device.is_unified() {
        let reason = "a kernel that stays on sees what lands only in the GPU's own memory";
        reasons.push(reason.to_owned());
    } else {
        for (rung, try_rung) in RUNGS {
            let is_wanted = arena.first_rung <= rung || arena.first_rung > Rung::Bounce;
            let tried = match is_wanted {
                true => try_rung(mapped, arena),
                false => Err(format!("not wanted: {rung}")),
            };
            match tried {
                Ok((buffer, landing)) => {
                    let reason = reasons.join("; ");
                    return Ok((buffer, Memory { rung, reason, landing }));
                }
                Err(reason) => reasons.push(reason),
            }
        }
    }
    let buffer = allocate(mapped, arena, apart(mapped))?;
    Ok((buffer, arena.in_pages(Rung::Bounce, reasons.join("; "))))
}

type TryRung = fn(&Mapped, &Arena) -> Result<(Allocation, Landing), String>;

/// The rungs without a copy, best first.
const RUNGS: [(Rung, TryRung); 3] =
    [(Rung::Pages, try_pages), (Rung::Mapped, try_mapped), (Rung::Udmabuf, try_udmabuf)];

/// Where an arena lies that is apart from where its bytes land.
fn apart(mapped: &Mapped) -> Placement {
    if mapped.slice.is_some() { Placement::Polled } else { Placement::HostWrites }
}

fn try_pages(mapped: &Mapped, arena: &Arena) -> Result<(Allocation, Landing), String> {
    let pages = Arc::clone(arena.pages());
    let imported = import(mapped, arena, HostMemory::Pages(Arc::clone(&pages)));
    Ok((imported.map_err(|error| error.to_string())?, Landing::Pages(pages)))
}

fn try_mapped(mapped: &Mapped, arena: &Arena) -> Result<(Allocation, Landing), String> {
    if arena.outlives_device {
        return Err("mapped memory does not outlive its device".to_owned());
    }
    let buffer = allocate(mapped, arena, Placement::HostReads);
    let buffer = buffer.map_err(|error| error.to_string())?;
    can_register(buffer.mapped().unwrap_or(&[]))
        .map_err(|error| format!("io_uring does not register the GPU's memory: {error}"))?;
    Ok((buffer.clone(), Landing::Mapped(Arc::new(buffer))))
}

fn try_udmabuf(mapped: &Mapped, arena: &Arena) -> Result<(Allocation, Landing), String> {
    let shared = arena.shared()?;
    let imported = import(mapped, arena, HostMemory::Shared(Arc::clone(&shared)));
    Ok((imported.map_err(|error| error.to_string())?, Landing::Shared(shared)))
}

fn import(mapped: &Mapped, arena: &Arena, memory: HostMemory) -> Result<Allocation, BackendError> {
    let whole = 0..arena.options().words() as usize;
    let mut buffers = Allocation::of_host(&mapped.device, &memory, std::slice::from_ref(&whole))?;
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
