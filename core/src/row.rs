//! A row: the four buffers of one ring, of one geometry.

use crate::control::Control;
use crate::debug_log::DebugLog;
use crate::io_queue;
use crate::io_queue::{IoQueue, IoQueueError, status};
use crate::layout::{Buffer, Geometry, LayoutError, MAX_ENCODED, MissingWord};
use crate::partition::Partitions;
use crate::ring::{PublishError, Ring};
use crate::slot::{State, WORDS};
use crate::words::{Word, WordMut, Words, from_bytes};
use core::sync::atomic::AtomicU32;

/// Why a row was not reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ResetError {
    /// A count beyond what the encoders write, or partitions for another slot count.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A ring slot is in flight.
    #[error(transparent)]
    Ring(PublishError),
    /// An IO slot is in flight.
    #[error(transparent)]
    IoQueue(#[from] IoQueueError),
    /// A control buffer too short for the tenants' words.
    #[error(transparent)]
    MissingWord(#[from] MissingWord),
}

impl From<PublishError> for ResetError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Layout(error) => Self::Layout(error),
            error => Self::Ring(error),
        }
    }
}

/// Four views whose lengths are exactly a geometry's.
///
/// ```
/// use slipring_core::{layout::Geometry, partition::Partitions, row::Row};
/// let geometry = Geometry::of_slots(4, 8)?;
/// let (mut control, mut ring) = ([0; 168], [0; 64]);
/// let (mut debug_log, mut io_queue) = ([0; 257], [0; 512]);
/// let row = Row::new(geometry, &mut control, &mut ring, &mut debug_log, &mut io_queue)?;
/// row.reset(1, &Partitions::single(4))?;
/// assert_eq!(row.control.done_count(), Ok(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Row<'a, W> {
    geometry: Geometry,
    /// Counters, tenant words, observables.
    pub control: Control<'a, W>,
    /// The job slots.
    pub ring: Ring<'a, W>,
    /// The kernel's records.
    pub debug_log: DebugLog<'a, W>,
    /// The kernel's requests.
    pub io_queue: IoQueue<'a, W>,
}

crate::words::copied_whatever_its_words!(Row);

impl<'a, W: Word> Row<'a, W> {
    /// Adopts four buffers.
    ///
    /// # Errors
    /// Of control, debug log, IO queue, ring, in this order: what the view says of the length,
    /// or [`LayoutError::WrongLength`].
    pub fn new(
        geometry: Geometry,
        control: impl Words<'a, Word = W>,
        ring: impl Words<'a, Word = W>,
        debug_log: impl Words<'a, Word = W>,
        io_queue: impl Words<'a, Word = W>,
    ) -> Result<Self, LayoutError> {
        let control = Control::new(control)?;
        geometry.check_words(Buffer::Control, control.words().len())?;
        let debug_log = DebugLog::new(debug_log)?;
        geometry.check_words(Buffer::DebugLog, debug_log.words().len())?;
        let io_queue = IoQueue::new(io_queue)?;
        geometry.check_words(Buffer::IoQueue, io_queue.words().len())?;
        let ring = Ring::new(ring)?;
        geometry.check_words(Buffer::Ring, ring.words().len())?;
        Ok(Self { geometry, control, ring, debug_log, io_queue })
    }

    /// The row's counts.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Whether the row has the slots that a kernel or another row needs.
    ///
    /// # Errors
    /// [`LayoutError::SlotCount`] with both counts.
    pub const fn check_slots(&self, expected: u32) -> Result<(), LayoutError> {
        let slots = self.geometry.slots();
        if slots != expected {
            return Err(LayoutError::SlotCount { slots, expected });
        }
        Ok(())
    }

    /// The ring slot that waits for an IO slot, if one does.
    pub fn waiting_slot(&self, io_slot: u32) -> Option<u32> {
        let tag = self.io_queue.tag(io_slot)?;
        match self.ring.state(tag)? {
            State::WaitIo(waits_for) if u32::from(waits_for) == io_slot => Some(tag),
            _ => None,
        }
    }

    /// The words of one buffer.
    pub fn words(&self, buffer: Buffer) -> &'a [W] {
        match buffer {
            Buffer::Control => self.control.words(),
            Buffer::Ring => self.ring.words(),
            Buffer::DebugLog => self.debug_log.words(),
            Buffer::IoQueue => self.io_queue.words(),
        }
    }

    /// Copies the four buffers, in binding order, to caller storage.
    ///
    /// # Errors
    /// [`LayoutError::ShortStorage`] when `storage` is shorter than the four together; it is then
    /// unchanged.
    pub fn snapshot(&self, storage: &mut [u32]) -> Result<(), LayoutError> {
        let needed: u64 = Buffer::ALL.iter().map(|&buffer| self.words(buffer).len() as u64).sum();
        if (storage.len() as u64) < needed {
            return Err(LayoutError::ShortStorage { words: storage.len(), needed });
        }
        let all = Buffer::ALL.into_iter().flat_map(|buffer| self.words(buffer));
        for (copy, word) in storage.iter_mut().zip(all) {
            *copy = word.load_acquire();
        }
        Ok(())
    }
}

impl<'a> Row<'a, u32> {
    /// Reads back a row from bytes, to look at.
    ///
    /// # Errors
    /// [`LayoutError::BufferCount`] unless there are four; then, in the order of [`Row::new`],
    /// whatever is wrong with each.
    pub fn read(geometry: Geometry, buffers: &[&'a [u8]]) -> Result<Self, LayoutError> {
        let &[control, ring, debug_log, io_queue] = buffers else {
            return Err(LayoutError::BufferCount { buffers: buffers.len() });
        };
        let checked = |buffer, bytes| {
            let words = from_bytes(buffer, bytes)?;
            geometry.check_words(buffer, words.len()).map(|()| words)
        };
        let control = checked(Buffer::Control, control)?;
        let debug_log = checked(Buffer::DebugLog, debug_log)?;
        let io_queue = checked(Buffer::IoQueue, io_queue)?;
        let ring = checked(Buffer::Ring, ring)?;
        Self::new(geometry, control, ring, debug_log, io_queue)
    }
}

impl<W: WordMut> Row<'_, W> {
    /// Encodes the four buffers anew, in place: the first `tenants` tenants open, the partitions,
    /// zero elsewhere.
    ///
    /// A [`Publisher`](crate::publisher::Publisher) of the ring is to
    /// [`adopt`](crate::publisher::Publisher::adopt) it then.
    ///
    /// # Errors
    /// [`ResetError`] while a ring or IO slot is in flight, beyond the encoders' limits, or
    /// for partitions of another slot count. Nothing is then changed.
    pub fn reset(&self, tenants: u32, partitions: &Partitions) -> Result<(), ResetError> {
        let (slots, expected) = (partitions.slots(), self.geometry.slots());
        if slots != expected {
            return Err(LayoutError::SlotCount { slots, expected }.into());
        }
        self.geometry.check_encodable()?;
        self.ring.check_idle()?;
        self.io_queue.check_idle()?;
        self.control.fill(false, tenants);
        self.control.fill_partitions(partitions);
        for buffer in [Buffer::Ring, Buffer::DebugLog, Buffer::IoQueue] {
            self.words(buffer).iter().for_each(|word| word.store(0));
        }
        Ok(())
    }

    /// Frees an IO slot that has ended and that no ring slot waits for: a prefetch's.
    ///
    /// # Errors
    /// [`IoQueueError::SlotRange`], [`IoQueueError::NotEnded`] unless OK or ERROR,
    /// [`IoQueueError::Waited`] while a ring slot waits: the kernel frees it then.
    ///
    /// ```
    /// use slipring_core::{io_queue::IoQueueError, layout::Geometry, row::Row};
    /// let (mut control, mut ring, mut debug_log) = ([0; 160], [0; 16], [0]);
    /// let mut io_queue = [1, 7, 0, 0, 0, 0, 0x10, u32::MAX]; // a prefetch that is OK
    /// let geometry = Geometry::new(1, 0, 0, 1)?;
    /// let row = Row::new(geometry, &mut control, &mut ring, &mut debug_log, &mut io_queue)?;
    /// row.release_io(0)?;
    /// assert_eq!(row.release_io(0), Err(IoQueueError::NotEnded { slot: 0, status: 0 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn release_io(&self, slot: u32) -> Result<(), IoQueueError> {
        let slots = self.io_queue.slots();
        let words = self.io_queue.slot_words(slot);
        let words = words.ok_or(IoQueueError::SlotRange { slot, slots })?;
        let status = words[io_queue::word::STATUS].load_acquire();
        if !matches!(status, status::OK | status::ERROR) {
            return Err(IoQueueError::NotEnded { slot, status });
        }
        if let Some(tag) = self.waiting_slot(slot) {
            return Err(IoQueueError::Waited { slot, tag });
        }
        words[io_queue::word::STATUS].store_release(status::EMPTY);
        Ok(())
    }
}

#[derive(Debug)]
#[repr(C, align(64))]
struct CacheLines<T>(T);

/// The four buffers of a row as one value, for a `static`: in .bss, the ring on 64-byte lines.
///
/// `CONTROL` is [`control_words`], `LOG` is [`debug_log_words`].
///
/// ```
/// use slipring_core::row::{Storage, control_words, debug_log_words};
/// use slipring_core::{partition::Partitions, ring::Job};
///
/// static ROW: Storage<{ control_words(8) }, 16, { debug_log_words(4) }, 1> = Storage::new();
///
/// let row = ROW.row();
/// row.reset(1, &Partitions::single(16))?;
/// row.ring.publish(0, &Job::new(0x100, &[1, 2, 3]))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[repr(C)]
pub struct Storage<const CONTROL: usize, const SLOTS: usize, const LOG: usize, const IO: usize> {
    ring: CacheLines<[[AtomicU32; WORDS]; SLOTS]>,
    control: [AtomicU32; CONTROL],
    debug_log: [AtomicU32; LOG],
    io_queue: [[AtomicU32; io_queue::SLOT_WORDS]; IO],
}

/// Words of a control buffer with `observables`.
pub const fn control_words(observables: usize) -> usize {
    crate::control::word::OBSERVABLES + observables
}

/// Words of a debug log of `records`.
pub const fn debug_log_words(records: usize) -> usize {
    crate::debug_log::word::RECORDS + crate::debug_log::RECORD_WORDS * records
}

impl<const CONTROL: usize, const SLOTS: usize, const LOG: usize, const IO: usize>
    Storage<CONTROL, SLOTS, LOG, IO>
{
    /// All zero. Lengths that no geometry has do not compile.
    pub const fn new() -> Self {
        const {
            assert!(CONTROL >= control_words(0), "CONTROL: use control_words(observables)");
            assert!(
                LOG % crate::debug_log::RECORD_WORDS == debug_log_words(0),
                "LOG: use debug_log_words(records)"
            );
            assert!(IO >= 1 && IO <= io_queue::MAX_SLOTS, "IO: 1 to 64 IO slots");
            let max = MAX_ENCODED as usize;
            assert!(SLOTS <= max, "SLOTS: at most 2^20");
            assert!(CONTROL <= control_words(max), "CONTROL: at most 2^20 observables");
            assert!(LOG <= debug_log_words(max), "LOG: at most 2^20 records");
        }
        Self {
            ring: CacheLines([const { [const { AtomicU32::new(0) }; WORDS] }; SLOTS]),
            control: [const { AtomicU32::new(0) }; CONTROL],
            debug_log: [const { AtomicU32::new(0) }; LOG],
            io_queue: [const { [const { AtomicU32::new(0) }; io_queue::SLOT_WORDS] }; IO],
        }
    }

    /// The storage's counts, which [`Storage::new`] has checked.
    const GEOMETRY: Geometry = {
        let observables = (CONTROL - control_words(0)) as u32;
        let records = ((LOG - debug_log_words(0)) / crate::debug_log::RECORD_WORDS) as u32;
        match Geometry::new(SLOTS as u32, observables, records, IO as u32) {
            Ok(geometry) => geometry,
            Err(_) => panic!("lengths that no geometry has"),
        }
    };

    /// The row over this storage.
    pub fn row(&self) -> Row<'_, AtomicU32> {
        Row {
            geometry: Self::GEOMETRY,
            control: Control::of(&self.control),
            ring: Ring::of(&self.ring.0),
            debug_log: DebugLog::of(&self.debug_log),
            io_queue: IoQueue::of(&self.io_queue),
        }
    }
}

impl<const CONTROL: usize, const SLOTS: usize, const LOG: usize, const IO: usize> Default
    for Storage<CONTROL, SLOTS, LOG, IO>
{
    fn default() -> Self {
        Self::new()
    }
}
