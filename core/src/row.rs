//! A row: the four buffers of one ring, of one geometry.

use crate::control::{Control, EncodeError};
use crate::debug_log::DebugLog;
use crate::io_queue::{IoQueue, IoQueueError};
use crate::layout::{Buffer, Geometry, LayoutError, MissingWord};
use crate::partition::Partitions;
use crate::ring::{PublishError, Ring};
use crate::slot::WORDS;
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
    /// Never from a row whose geometry was checked.
    #[error(transparent)]
    MissingWord(#[from] MissingWord),
}

impl From<EncodeError> for ResetError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Layout(error) => Self::Layout(error),
            EncodeError::MissingWord(error) => Self::MissingWord(error),
        }
    }
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
    /// [`MissingWord`] when `storage` is shorter than the four together; it is then unchanged.
    pub fn snapshot(&self, storage: &mut [u32]) -> Result<(), MissingWord> {
        let total: u64 = Buffer::ALL.iter().map(|&buffer| self.words(buffer).len() as u64).sum();
        if (storage.len() as u64) < total {
            let (word, words) = (total - 1, storage.len());
            return Err(MissingWord { buffer: Buffer::IoQueue, word, words });
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
    /// Encodes the four buffers anew, in place: `tenants` open tenants, the partitions, zero
    /// elsewhere.
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
        self.control.encode(false, tenants)?;
        self.control.set_partitions(partitions)?;
        self.ring.reset()?;
        self.debug_log.reset()?;
        Ok(self.io_queue.reset()?)
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
/// let row = ROW.row()?;
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
    io_queue: [[AtomicU32; crate::io_queue::SLOT_WORDS]; IO],
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
            assert!(IO >= 1 && IO <= crate::io_queue::MAX_SLOTS, "IO: 1 to 64 IO slots");
            assert!(SLOTS <= crate::layout::MAX_ENCODED as usize, "SLOTS: at most 2^20");
        }
        Self {
            ring: CacheLines([const { [const { AtomicU32::new(0) }; WORDS] }; SLOTS]),
            control: [const { AtomicU32::new(0) }; CONTROL],
            debug_log: [const { AtomicU32::new(0) }; LOG],
            io_queue: [const { [const { AtomicU32::new(0) }; 8] }; IO],
        }
    }

    /// The row over this storage.
    ///
    /// # Errors
    /// None: [`Storage::new`] has checked every length. The type says so only because the
    /// limits of [`Geometry::new`] are not the compiler's to know.
    pub fn row(&self) -> Result<Row<'_, AtomicU32>, LayoutError> {
        let observables = (CONTROL - control_words(0)) as u32;
        let records = ((LOG - debug_log_words(0)) / crate::debug_log::RECORD_WORDS) as u32;
        let geometry = Geometry::new(SLOTS as u32, observables, records, IO as u32)?;
        let (ring, io_queue) = (self.ring.0.as_flattened(), self.io_queue.as_flattened());
        Row::new(geometry, &self.control[..], ring, &self.debug_log[..], io_queue)
    }
}

impl<const CONTROL: usize, const SLOTS: usize, const LOG: usize, const IO: usize> Default
    for Storage<CONTROL, SLOTS, LOG, IO>
{
    fn default() -> Self {
        Self::new()
    }
}
