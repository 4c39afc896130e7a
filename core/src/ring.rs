//! The ring: slots, and the rules for publishing them.
//!
//! Publishing writes opcode, tenant, priority and arguments first and the status last, with
//! release ordering; a lane that claims the slot (acquire) sees all of it. A refused call
//! changes nothing.

mod job;

pub use job::{Job, PublishError, WorkItem};

use crate::layout::{Buffer, LayoutError, MAX_ENCODED, MAX_SLOTS, MissingWord, check};
use crate::opcode;
use crate::slot::{Priority, Slot, State, WORDS, status, word};
use crate::words::{Word, WordMut, Words};
pub(crate) use job::{check_args, check_opcode};
use job::{check_free, check_items, check_window, write, write_item};

/// A view of a ring.
///
/// ```
/// use core::sync::atomic::AtomicU32;
/// use slipring_core::{opcode, ring::{Job, Ring}, slot::State};
///
/// static WORDS: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];
/// let ring = Ring::new(&WORDS)?;
/// ring.publish(3, &Job::new(opcode::NOP, &[]))?;
/// assert_eq!(ring.state(3), Some(State::Published));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Ring<'a, W> {
    slots: &'a [[W; WORDS]],
}

crate::words::copied_whatever_its_words!(Ring);

impl<'a, W: Word> Ring<'a, W> {
    /// A view of `words`.
    ///
    /// # Errors
    /// [`LayoutError::RaggedWords`] unless the length is a multiple of 16,
    /// [`LayoutError::TooMany`] beyond [`MAX_SLOTS`].
    #[inline]
    pub fn new(words: impl Words<'a, Word = W>) -> Result<Self, LayoutError> {
        let words = words.into_words();
        let (slots, rest) = words.as_chunks();
        if !rest.is_empty() {
            let (buffer, words) = (Buffer::Ring, words.len());
            return Err(LayoutError::RaggedWords { buffer, words, head: 0, unit: WORDS });
        }
        if slots.len() as u64 > u64::from(MAX_SLOTS) {
            let count = slots.len() as u64;
            return Err(LayoutError::TooMany { buffer: Buffer::Ring, count, max: MAX_SLOTS });
        }
        Ok(Self { slots })
    }

    /// A view whose length was checked.
    pub(crate) const fn of(slots: &'a [[W; WORDS]]) -> Self {
        Self { slots }
    }

    /// The words below.
    pub fn words(&self) -> &'a [W] {
        self.slots.as_flattened()
    }

    /// How many slots there are.
    #[inline]
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The words of one slot.
    #[inline]
    pub(crate) fn slot_words(&self, slot: u32) -> Option<&'a [W; WORDS]> {
        self.slots.get(slot as usize)
    }

    /// What a slot's status says. Acquire pairs with the kernel's release store of the final
    /// status: what the slot's job wrote is visible after DONE or FAULT was seen.
    #[inline]
    pub fn state(&self, slot: u32) -> Option<State> {
        self.slot_words(slot).map(|words| State::of(words[word::STATUS].load_acquire()))
    }

    /// A copy of a slot.
    pub fn slot(&self, slot: u32) -> Option<Slot> {
        let words = self.slot_words(slot)?;
        let mut copy = [0; WORDS];
        // The status first, with acquire: the rest is then at least as new.
        for (copy, word) in copy.iter_mut().zip(words) {
            *copy = word.load_acquire();
        }
        Some(Slot::parse(&copy))
    }

    /// Whether the ring can be encoded anew.
    pub(crate) fn check_idle(&self) -> Result<(), PublishError> {
        check(Buffer::Ring, self.slots(), MAX_ENCODED)?;
        for (slot, words) in self.slots.iter().enumerate() {
            let status = words[word::STATUS].load_acquire();
            if State::of(status).is_in_flight() {
                return Err(PublishError::Busy { slot: slot as u32, status });
            }
        }
        Ok(())
    }

    fn window(&self, start: u32, items: usize) -> Result<&'a [[W; WORDS]], PublishError> {
        let end = u32::try_from(items).ok().and_then(|items| start.checked_add(items));
        let end = end.ok_or(PublishError::WindowOverflow { start, items })?;
        let range = PublishError::WindowRange { start, items, slots: self.slots() };
        self.slots.get(start as usize..end as usize).ok_or(range)
    }
}

/// Counts the DONE slots among the first `slots` of `words`, which may be longer than that.
///
/// # Errors
/// [`MissingWord`] when there are fewer than 16 × `slots` words.
///
/// ```
/// use slipring_core::ring::count_done;
/// assert_eq!(count_done(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3], 1), Ok(1));
/// assert_eq!(count_done(&[3u32], 1).unwrap_err().word, 16);
/// ```
pub fn count_done<'a, W: Words<'a>>(words: W, slots: usize) -> Result<usize, MissingWord> {
    let words = words.into_words();
    let needed = (slots as u64).saturating_mul(WORDS as u64);
    if needed > words.len() as u64 {
        return Err(MissingWord { buffer: Buffer::Ring, word: needed, words: words.len() });
    }
    let (all, _) = words.as_chunks::<WORDS>();
    let done = |words: &&[W::Word; WORDS]| {
        words[word::STATUS].load_acquire() & status::MASK == status::DONE
    };
    Ok(all.iter().take(slots).filter(done).count())
}

impl<W: WordMut> Ring<'_, W> {
    /// Publishes one slot.
    ///
    /// # Errors
    /// In this order: [`PublishError::SlotRange`], [`PublishError::TooManyArgs`],
    /// [`PublishError::Opcode`], [`PublishError::Busy`].
    #[inline(always)]
    pub fn publish(&self, slot: u32, job: &Job<'_>) -> Result<(), PublishError> {
        let range = PublishError::SlotRange { slot, slots: self.slots() };
        let words = self.slot_words(slot).ok_or(range)?;
        check_args(0, job.args.len())?;
        check_opcode(0, job.opcode)?;
        check_free(slot, words)?;
        write(words, job.opcode, job.tenant, job.priority, job.args);
        Ok(())
    }

    /// Publishes a job that was checked in slots that are free, one after the other.
    #[inline]
    pub(crate) fn fill<'j>(&self, start: u32, jobs: impl Iterator<Item = Job<'j>>) {
        let slots = self.slots.get(start as usize..).unwrap_or(&[]);
        for (words, job) in slots.iter().zip(jobs) {
            write(words, job.opcode, job.tenant, job.priority, job.args);
        }
    }

    /// Publishes items that were checked in slots that are free.
    #[inline]
    pub(crate) fn fill_items(
        &self,
        start: u32,
        tenant: u32,
        priority: Priority,
        items: &[WorkItem],
    ) {
        let slots = self.slots.get(start as usize..).unwrap_or(&[]);
        for (words, item) in slots.iter().zip(items) {
            write_item(words, tenant, priority, item);
        }
    }

    /// Publishes `items` in the slots from `start` on, all normal, and says how many.
    ///
    /// # Errors
    /// In this order: [`PublishError::Opcode`] of any item, [`PublishError::WindowOverflow`],
    /// [`PublishError::WindowRange`], [`PublishError::Busy`] for any slot.
    #[inline]
    pub fn publish_items(
        &self,
        start: u32,
        tenant: u32,
        items: &[WorkItem],
    ) -> Result<u32, PublishError> {
        check_items(items)?;
        let window = self.window(start, items.len())?;
        check_window(start, window)?;
        self.fill_items(start, tenant, Priority::Normal, items);
        Ok(items.len() as u32)
    }

    /// Publishes `(opcode, arguments)` pairs from `start` on and closes them with a fence that
    /// carries `tag`; returns the slots used, one more than the items.
    ///
    /// # Errors
    /// In this order: [`PublishError::WindowOverflow`], [`PublishError::WindowRange`], for
    /// each item [`PublishError::TooManyArgs`] then [`PublishError::Opcode`], then
    /// [`PublishError::Busy`] for any slot, the fence's too.
    ///
    /// ```
    /// use slipring_core::{opcode, ring::Ring};
    /// let mut words = [0; 16 * 3];
    /// let ring = Ring::new(&mut words)?;
    /// let used = ring.publish_batch(0, 1, &[(8, &[5]), (opcode::NOP, &[])], 0xFACE)?;
    /// assert_eq!(used, 3);
    /// assert_eq!(ring.slot(2).unwrap().args[..2], [2, 0xFACE]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish_batch(
        &self,
        start: u32,
        tenant: u32,
        items: &[(u32, &[u32])],
        tag: u32,
    ) -> Result<u32, PublishError> {
        let window = self.window(start, items.len().saturating_add(1))?;
        for (item, (opcode, args)) in items.iter().enumerate() {
            check_args(item, args.len())?;
            check_opcode(item, *opcode)?;
        }
        check_window(start, window)?;
        Ok(self.fill_batch(start, tenant, Priority::Normal, items, tag))
    }

    /// Publishes a batch that was checked in slots that are free.
    pub(crate) fn fill_batch(
        &self,
        start: u32,
        tenant: u32,
        priority: Priority,
        items: &[(u32, &[u32])],
        tag: u32,
    ) -> u32 {
        let count = items.len() as u32;
        let fence_args = [count, tag];
        let fence = (opcode::BATCH_FENCE, fence_args.as_slice());
        let jobs = items.iter().copied().chain([fence]);
        self.fill(start, jobs.map(|(opcode, args)| Job { opcode, tenant, priority, args }));
        count + 1
    }

    /// Encodes the whole ring anew: `items` published in the first slots, zero elsewhere.
    ///
    /// # Errors
    /// In this order: [`PublishError::TooManyItems`], [`PublishError::Opcode`],
    /// [`PublishError::Layout`] beyond [`MAX_ENCODED`] slots, [`PublishError::Busy`] while any
    /// slot is in flight.
    pub fn encode_items(&self, tenant: u32, items: &[WorkItem]) -> Result<(), PublishError> {
        let slots = self.slots();
        if items.len() > self.slots.len() {
            return Err(PublishError::TooManyItems { items: items.len(), slots });
        }
        check_items(items)?;
        self.reset()?;
        for (words, item) in self.slots.iter().zip(items) {
            write_item(words, tenant, Priority::Normal, item);
        }
        Ok(())
    }

    /// Zeroes every slot.
    ///
    /// # Errors
    /// [`PublishError::Layout`] beyond [`MAX_ENCODED`] slots, [`PublishError::Busy`] while any
    /// slot is in flight. (The words are the caller's: to throw work away, zero them. A
    /// [`Publisher`](crate::publisher::Publisher) of the ring is to adopt it then.)
    pub fn reset(&self) -> Result<(), PublishError> {
        self.check_idle()?;
        for word in self.words() {
            word.store(0);
        }
        Ok(())
    }
}
