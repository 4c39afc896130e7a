//! The IO queue: what the kernel asks of its host.
//!
//! ```text
//!   kernel   EMPTY → RESERVED → PUBLISHED                     OK, ERROR → EMPTY
//!   host                        PUBLISHED → CLAIMED → OK, ERROR
//! ```
//!
//! Where a handler goes on, the kernel makes OK RESERVED meanwhile, for it to ask again.
//!
//! Each change has one owning side, so the host needs no read-modify-write.

use crate::layout::{Buffer, LayoutError, check_io_slots};
use crate::words::{Word, WordMut, Words};

/// Words of an IO slot.
pub const SLOT_WORDS: usize = 8;
/// The most IO slots, as a capacity.
pub const MAX_SLOTS: usize = crate::layout::MAX_IO_SLOTS as usize;
/// The tag of a prefetch: no ring slot waits for it.
pub const NO_SLOT: u32 = u32::MAX;

/// Word offsets in an IO slot.
pub mod word {
    /// [`op`](super::op).
    pub const OP: usize = 0;
    /// Where bytes come from.
    pub const SOURCE: usize = 1;
    /// Where bytes go.
    pub const DESTINATION: usize = 2;
    /// The low half of the byte offset in the file.
    pub const OFFSET_LOW: usize = 3;
    /// The high half of the byte offset in the file.
    pub const OFFSET_HIGH: usize = 4;
    /// Bytes to move; then the bytes moved (OK) or the errno (ERROR).
    pub const BYTE_COUNT: usize = 5;
    /// [`status`](super::status).
    pub const STATUS: usize = 6;
    /// The ring slot that waits, or [`NO_SLOT`](super::NO_SLOT).
    pub const TAG: usize = 7;
}

/// What is asked.
pub mod op {
    /// Bytes into memory.
    pub const READ: u32 = 1;
    /// Bytes out of memory.
    pub const WRITE: u32 = 2;
    /// After everything before it.
    pub const FENCE: u32 = 3;
}

/// The status word of an IO slot.
pub mod status {
    /// Free.
    pub const EMPTY: u32 = 0;
    /// A request.
    pub const PUBLISHED: u32 = 1;
    /// The host works on it.
    pub const CLAIMED: u32 = 2;
    /// Served.
    pub const OK: u32 = 0x10;
    /// Failed.
    pub const ERROR: u32 = 0x11;
    /// A lane is filling it in.
    pub const RESERVED: u32 = 0x12;

    /// The name in messages.
    pub const fn name(status: u32) -> &'static str {
        match status {
            EMPTY => "EMPTY",
            PUBLISHED => "PUBLISHED",
            CLAIMED => "CLAIMED",
            OK => "OK",
            ERROR => "ERROR",
            RESERVED => "RESERVED",
            _ => "of an unknown status",
        }
    }
}

/// What the kernel asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Request {
    /// The IO slot.
    pub slot: u32,
    /// [`op`].
    pub op: u32,
    /// Where bytes come from: a handle that the host registered.
    pub source: u32,
    /// Where bytes go: a handle that the host registered.
    pub destination: u32,
    /// The first byte in the file that is read or written.
    pub offset: u64,
    /// Bytes to move; 0 for the whole resource.
    pub bytes: u32,
    /// The ring slot that waits, or [`NO_SLOT`].
    pub tag: u32,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Completion {
    /// Served.
    Ok {
        /// The bytes moved.
        bytes: u32,
    },
    /// Failed.
    Error {
        /// The error number of the host's system.
        errno: u32,
    },
}

/// Why an IO slot was not completed or released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum IoQueueError {
    /// No such IO slot.
    #[error("IO slot {slot} of a queue of {slots}")]
    SlotRange { slot: u32, slots: u32 },
    /// The slot is in another state than the call needs.
    #[error("IO slot {slot} is {}; {} is needed", status::name(*status), status::name(*expected))]
    State { slot: u32, status: u32, expected: u32 },
    /// The request is not OK or ERROR.
    #[error("IO slot {slot} is {}: no request that has ended", status::name(*status))]
    NotEnded { slot: u32, status: u32 },
    /// The slot is not the host's to free: a ring slot waits for it.
    #[error("IO slot {slot} is waited for by ring slot {tag}, which frees it")]
    Waited { slot: u32, tag: u32 },
    /// One slot twice in a batch.
    #[error("IO slot {slot} is completed twice in one batch")]
    Duplicate { slot: u32 },
}

/// A view of an IO queue.
///
/// ```
/// use slipring_core::io_queue::{Completion, IoQueue};
/// let mut words = [1, 7, 0, 0, 0, 4096, 1, 3]; // a published READ of resource 7, slot 3 waits
/// let queue = IoQueue::new(&mut words)?;
/// let requests = queue.claim();
/// assert_eq!((requests[0].source, requests[0].tag), (7, 3));
/// queue.complete(&[(0, Completion::Ok { bytes: 4096 })])?;
/// assert!(queue.complete(&[(0, Completion::Ok { bytes: 0 })]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IoQueue<'a, W> {
    slots: &'a [[W; SLOT_WORDS]],
}

crate::words::copied_whatever_its_words!(IoQueue);

impl<'a, W: Word> IoQueue<'a, W> {
    /// A view of `words`.
    ///
    /// # Errors
    /// [`LayoutError::RaggedWords`] unless the length is a multiple of 8,
    /// [`LayoutError::NoIoSlots`] for none, [`LayoutError::TooMany`] beyond 64.
    pub fn new(words: impl Words<'a, Word = W>) -> Result<Self, LayoutError> {
        let words = words.into_words();
        let (slots, rest) = words.as_chunks();
        if !rest.is_empty() {
            let (buffer, words) = (Buffer::IoQueue, words.len());
            return Err(LayoutError::RaggedWords { buffer, words, head: 0, unit: SLOT_WORDS });
        }
        check_io_slots(u32::try_from(slots.len()).unwrap_or(u32::MAX))?;
        Ok(Self { slots })
    }

    /// A view whose length was checked.
    pub(crate) const fn of(slots: &'a [[W; SLOT_WORDS]]) -> Self {
        Self { slots }
    }

    /// The words below.
    pub fn words(&self) -> &'a [W] {
        self.slots.as_flattened()
    }

    /// How many IO slots there are.
    pub fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn slot_words(&self, slot: u32) -> Option<&'a [W; SLOT_WORDS]> {
        self.slots.get(slot as usize)
    }

    /// The status word of an IO slot.
    pub fn status(&self, slot: u32) -> Option<u32> {
        self.slot_words(slot).map(|words| words[word::STATUS].load_acquire())
    }

    /// The tag of an IO slot: the ring slot that waits, or [`NO_SLOT`].
    pub fn tag(&self, slot: u32) -> Option<u32> {
        self.slot_words(slot).map(|words| words[word::TAG].load())
    }

    /// Lists the published requests, in slot order.
    pub fn poll(&self) -> heapless::Vec<Request, MAX_SLOTS> {
        let mut requests = heapless::Vec::new();
        for (slot, words) in self.slots.iter().enumerate() {
            // Acquire pairs with the lane's release store of PUBLISHED: the request is whole.
            if words[word::STATUS].load_acquire() == status::PUBLISHED {
                // Never full: a queue has at most MAX_SLOTS slots.
                let _ = requests.push(parse(slot as u32, words));
            }
        }
        requests
    }

    /// Whether no request is on its way.
    ///
    /// # Errors
    /// [`IoQueueError::State`] of the first slot that is PUBLISHED, CLAIMED or RESERVED.
    pub(crate) fn check_idle(&self) -> Result<(), IoQueueError> {
        use status::{CLAIMED, PUBLISHED, RESERVED};
        for (slot, words) in self.slots.iter().enumerate() {
            let status = words[word::STATUS].load_acquire();
            if matches!(status, PUBLISHED | CLAIMED | RESERVED) {
                let (slot, expected) = (slot as u32, status::EMPTY);
                return Err(IoQueueError::State { slot, status, expected });
            }
        }
        Ok(())
    }
}

fn parse<W: Word>(slot: u32, words: &[W; SLOT_WORDS]) -> Request {
    Request {
        slot,
        op: words[word::OP].load(),
        source: words[word::SOURCE].load(),
        destination: words[word::DESTINATION].load(),
        offset: u64::from(words[word::OFFSET_HIGH].load()) << 32
            | u64::from(words[word::OFFSET_LOW].load()),
        bytes: words[word::BYTE_COUNT].load(),
        tag: words[word::TAG].load(),
    }
}

impl<W: WordMut> IoQueue<'_, W> {
    /// Lists the published requests and makes them the host's.
    pub fn claim(&self) -> heapless::Vec<Request, MAX_SLOTS> {
        let requests = self.poll();
        for request in &requests {
            if let Some(words) = self.slot_words(request.slot) {
                words[word::STATUS].store_release(status::CLAIMED);
            }
        }
        requests
    }

    /// Publishes claimed requests again: for a host that begins anew, and knows of none.
    pub fn unclaim(&self) {
        for words in self.slots {
            if words[word::STATUS].load_acquire() == status::CLAIMED {
                words[word::STATUS].store_release(status::PUBLISHED);
            }
        }
    }

    /// Ends claimed requests: all of them, or none.
    ///
    /// # Errors
    /// For each in order [`IoQueueError::SlotRange`] then [`IoQueueError::State`] unless
    /// CLAIMED; then [`IoQueueError::Duplicate`].
    pub fn complete(&self, completions: &[(u32, Completion)]) -> Result<(), IoQueueError> {
        let mut seen = 0u64;
        let mut duplicate = None;
        for &(slot, _) in completions {
            let (slots, expected) = (self.slots(), status::CLAIMED);
            let status = self.status(slot).ok_or(IoQueueError::SlotRange { slot, slots })?;
            if status != expected {
                return Err(IoQueueError::State { slot, status, expected });
            }
            let bit = 1u64 << (slot % u64::BITS);
            if seen & bit != 0 && duplicate.is_none() {
                duplicate = Some(IoQueueError::Duplicate { slot });
            }
            seen |= bit;
        }
        if let Some(error) = duplicate {
            return Err(error);
        }
        for &(slot, completion) in completions {
            if let Some(words) = self.slot_words(slot) {
                let (count, status) = match completion {
                    Completion::Ok { bytes } => (bytes, status::OK),
                    Completion::Error { errno } => (errno, status::ERROR),
                };
                words[word::BYTE_COUNT].store(count);
                // Release pairs with the acquire of the lane that resumes: the bytes that
                // were read for it, and the count, come first.
                words[word::STATUS].store_release(status);
            }
        }
        Ok(())
    }

    /// Empties every IO slot. A ring slot that waits for one that has ended then waits for ever;
    /// [`Row::reset`](crate::row::Row::reset) looks at both.
    ///
    /// # Errors
    /// [`IoQueueError::State`] while a slot is PUBLISHED, CLAIMED or RESERVED.
    pub fn reset(&self) -> Result<(), IoQueueError> {
        self.check_idle()?;
        for word in self.words() {
            word.store(0);
        }
        Ok(())
    }
}
