//! Jobs, the checks that they pass, and how they are written to a slot.

use crate::layout::LayoutError;
use crate::opcode;
use crate::slot::{ARGS, Priority, State, WORDS, status, word};
use crate::words::{Word, WordMut};

/// What a slot is to run.
///
/// ```
/// use slipring_core::{opcode, ring::Job, slot::Priority};
/// let job = Job::new(opcode::ATOMIC_ADD, &[1, 160]).tenant(4).priority(Priority::High);
/// assert_eq!(job.args, [1, 160]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Job<'a> {
    /// See [`opcode`].
    pub opcode: u32,
    /// Who asks; the kernel refuses tenants from 29 on.
    pub tenant: u32,
    /// The level. A bare [`Ring`](super::Ring) only writes it down; a
    /// [`Publisher`](crate::publisher::Publisher) places the slot by it.
    pub priority: Priority,
    /// At most twelve arguments; the rest are 0.
    pub args: &'a [u32],
}

impl<'a> Job<'a> {
    /// A normal job of tenant 0.
    #[inline]
    pub const fn new(opcode: u32, args: &'a [u32]) -> Self {
        Self { opcode, tenant: 0, priority: Priority::Normal, args }
    }

    /// The same for another tenant.
    #[inline]
    #[must_use]
    pub const fn tenant(mut self, tenant: u32) -> Self {
        self.tenant = tenant;
        self
    }

    /// The same at another level.
    #[inline]
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }
}

/// A job of three arguments, for whole windows of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct WorkItem {
    /// See [`opcode`].
    pub opcode: u32,
    /// Argument 0.
    pub input: u32,
    /// Argument 1.
    pub output: u32,
    /// Argument 2.
    pub param: u32,
}

impl WorkItem {
    /// The arguments, in a slot's order.
    #[inline]
    pub const fn args(&self) -> [u32; 3] {
        [self.input, self.output, self.param]
    }
}

/// Why nothing was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum PublishError {
    /// No such slot.
    #[error("slot {slot} of a ring of {slots}")]
    SlotRange { slot: u32, slots: u32 },
    /// More arguments than a slot has.
    #[error("item {item}: {args} arguments; a slot holds {ARGS}")]
    TooManyArgs { item: usize, args: usize },
    /// An opcode of the system's range that the kernel does not run.
    #[error("item {item}: opcode {opcode:#x} is reserved; use a built-in or a user opcode")]
    Opcode { item: usize, opcode: u32 },
    /// The slot is neither EMPTY, DONE nor FAULT.
    #[error("slot {slot} is busy: {:?}, status word {status:#x}", State::of(*status))]
    Busy { slot: u32, status: u32 },
    /// The window's end is no u32.
    #[error("a window of {items} slots from slot {start} on ends beyond 2^32")]
    WindowOverflow { start: u32, items: usize },
    /// The window runs off the ring.
    #[error("a window of {items} slots from slot {start} on in a ring of {slots}")]
    WindowRange { start: u32, items: usize, slots: u32 },
    /// More items than the ring has slots.
    #[error("{items} items for a ring of {slots} slots")]
    TooManyItems { items: usize, slots: u32 },
    /// The ring is larger than the encoders write.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

#[inline]
pub(crate) fn check_args(item: usize, args: usize) -> Result<(), PublishError> {
    if args > ARGS {
        return Err(PublishError::TooManyArgs { item, args });
    }
    Ok(())
}

#[inline]
pub(crate) fn check_opcode(item: usize, opcode: u32) -> Result<(), PublishError> {
    if !opcode::is_publishable(opcode) {
        return Err(PublishError::Opcode { item, opcode });
    }
    Ok(())
}

#[inline]
pub(super) fn check_items(items: &[WorkItem]) -> Result<(), PublishError> {
    for (index, item) in items.iter().enumerate() {
        check_opcode(index, item.opcode)?;
    }
    Ok(())
}

#[inline]
pub(super) fn check_free<W: Word>(slot: u32, words: &[W; WORDS]) -> Result<(), PublishError> {
    // Acquire pairs with the kernel's release store of DONE or FAULT: what its lane still
    // read from the slot comes before what is written now.
    let status = words[word::STATUS].load_acquire();
    if !State::of(status).is_publishable() {
        return Err(PublishError::Busy { slot, status });
    }
    Ok(())
}

#[inline]
pub(super) fn check_window<W: Word>(start: u32, window: &[[W; WORDS]]) -> Result<(), PublishError> {
    for (offset, words) in window.iter().enumerate() {
        check_free(start + offset as u32, words)?;
    }
    Ok(())
}

#[inline(always)]
pub(super) fn write<W: WordMut>(
    words: &[W; WORDS],
    opcode: u32,
    tenant: u32,
    priority: Priority,
    args: &[u32],
) {
    words[word::OPCODE].store(opcode);
    words[word::TENANT].store(tenant);
    words[word::PRIORITY].store(priority.level());
    let mut rest = args;
    for quad in words[word::ARGS..].as_chunks::<4>().0 {
        if let Some((&[a, b, c, d], after)) = rest.split_first_chunk::<4>() {
            // All four are loaded before the first is stored, so that they go as one vector: the
            // compiler cannot know that the arguments do not lie in the slot.
            for (word, arg) in quad.iter().zip(&[a, b, c, d]) {
                word.store(*arg);
            }
            rest = after;
        } else if rest.is_empty() {
            for word in quad {
                word.store(0);
            }
        } else {
            for (index, word) in quad.iter().enumerate() {
                word.store(rest.get(index).copied().unwrap_or(0));
            }
            rest = &[];
        }
    }
    // Release pairs with the acquire of the lane's claim: the words above come first.
    words[word::STATUS].store_release(status::PUBLISHED);
}

#[inline(always)]
pub(super) fn write_item<W: WordMut>(
    words: &[W; WORDS],
    tenant: u32,
    priority: Priority,
    item: &WorkItem,
) {
    words[word::OPCODE].store(item.opcode);
    words[word::TENANT].store(tenant);
    words[word::PRIORITY].store(priority.level());
    let (args, rest) = words[word::ARGS..].split_at(3);
    for (word, arg) in args.iter().zip(item.args()) {
        word.store(arg);
    }
    for word in rest {
        word.store(0);
    }
    words[word::STATUS].store_release(status::PUBLISHED);
}
