//! Priority partitions: which slots of the ring belong to which level.

use crate::control::PARTITION_WORDS;
use crate::layout::MissingWord;
use crate::slot::{LEVELS, Priority};
use core::ops::Range;

/// Partition words that do not describe the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum PartitionError {
    /// The sizes do not add up to the ring.
    #[error("the partitions hold {sum} slots and the ring {slots}")]
    Sum { sum: u64, slots: u32 },
    /// A partition that starts before its predecessor.
    #[error("the partition of level {level} starts at slot {start}, before {previous}")]
    Descending { level: u32, start: u32, previous: u32 },
    /// The first partition does not start at slot 0.
    #[error("the first partition starts at slot {start}, not at 0")]
    Start { start: u32 },
    /// A control buffer without partition words.
    #[error(transparent)]
    MissingWord(#[from] MissingWord),
}

/// How the ring's slots are shared out to the priority levels, in slot order.
///
/// ```
/// use slipring_core::{partition::Partitions, slot::Priority};
/// let partitions = Partitions::from_sizes([8, 0, 48, 0, 8], 64)?;
/// assert_eq!(partitions.range(Priority::Normal), 8..56);
/// assert_eq!(Partitions::even(12).sizes(), [2, 2, 4, 2, 2]);
/// # Ok::<(), slipring_core::partition::PartitionError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Partitions {
    starts: [u32; PARTITION_WORDS],
}

impl Partitions {
    /// One partition: every slot is normal. The default, because it leaves a user of one
    /// level the whole ring.
    pub const fn single(slots: u32) -> Self {
        Self { starts: [0, 0, 0, slots, slots, slots] }
    }

    /// A fifth for each level, the remainder to the normal one.
    pub const fn even(slots: u32) -> Self {
        let fifth = slots / LEVELS as u32;
        let low = slots - 2 * fifth;
        Self { starts: [0, fifth, 2 * fifth, low, low + fifth, slots] }
    }

    /// Partitions of these sizes, critical first.
    ///
    /// # Errors
    /// [`PartitionError::Sum`] when they do not add up to `slots`.
    pub fn from_sizes(sizes: [u32; LEVELS], slots: u32) -> Result<Self, PartitionError> {
        let sum: u64 = sizes.iter().map(|&size| u64::from(size)).sum();
        if sum != u64::from(slots) {
            return Err(PartitionError::Sum { sum, slots });
        }
        let mut starts = [0; PARTITION_WORDS];
        let mut end = 0;
        for (start, size) in starts.iter_mut().skip(1).zip(sizes) {
            end += size;
            *start = end;
        }
        Ok(Self { starts })
    }

    /// Reads the six words. All 0 mean one partition.
    ///
    /// # Errors
    /// [`PartitionError`] unless they ascend from 0 to `slots`.
    pub fn parse(starts: [u32; PARTITION_WORDS], slots: u32) -> Result<Self, PartitionError> {
        if starts == [0; PARTITION_WORDS] {
            return Ok(Self::single(slots));
        }
        let [first, .., end] = starts;
        if first != 0 {
            return Err(PartitionError::Start { start: first });
        }
        let mut previous = first;
        for (level, start) in starts.into_iter().enumerate() {
            if start < previous {
                let level = level as u32;
                return Err(PartitionError::Descending { level, start, previous });
            }
            previous = start;
        }
        if end != slots {
            return Err(PartitionError::Sum { sum: u64::from(end), slots });
        }
        Ok(Self { starts })
    }

    /// The six words, as the control buffer holds them.
    pub const fn words(&self) -> [u32; PARTITION_WORDS] {
        self.starts
    }

    /// Slots of the ring.
    #[inline]
    pub const fn slots(&self) -> u32 {
        let [.., end] = self.starts;
        end
    }

    /// The slots of a level.
    #[inline]
    pub fn range(&self, level: Priority) -> Range<u32> {
        let [a, b, c, d, e, f] = self.starts;
        match level {
            Priority::Critical => a..b,
            Priority::High => b..c,
            Priority::Normal => c..d,
            Priority::Low => d..e,
            Priority::Idle => e..f,
        }
    }

    /// Slots per level, critical first.
    pub fn sizes(&self) -> [u32; LEVELS] {
        Priority::ALL.map(|level| self.range(level).len() as u32)
    }

    /// The level of a slot, if the ring has it.
    pub fn level_of(&self, slot: u32) -> Option<Priority> {
        Priority::ALL.into_iter().find(|&level| self.range(level).contains(&slot))
    }
}
