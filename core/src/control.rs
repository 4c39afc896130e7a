//! The control buffer: counters, tenant words, observables.

use crate::layout::{Buffer, LayoutError, MAX_ENCODED, MAX_OBSERVABLES, MissingWord, check};
use crate::partition::{PartitionError, Partitions};
use crate::slot::LEVELS;
use crate::tenant::{Tenant, TenantError};
use crate::words::{Word, WordMut, Words};
use heapless::Vec;

/// Word offsets in the control buffer.
pub mod word {
    /// Non-zero stops claiming.
    pub const SHUTDOWN: usize = 0;
    /// Finished slots, wrapping.
    pub const DONE_COUNT: usize = 1;
    /// The index of the first tenant mask; written as 3, never read.
    pub const TENANT_TABLE: usize = 2;
    /// Masks: tenant t at 3 + t; 0 pauses the tenant.
    pub const TENANT_MASKS: usize = 3;
    /// Quotas: slots of the tenant that may be in flight.
    pub const TENANT_QUOTAS: usize = 32;
    /// Claims, at index tenant mod 32.
    pub const TENANT_CLAIMS: usize = 64;
    /// Runs of opcodes 0..=31, wrapping.
    pub const METRICS: usize = 96;
    /// Batches fenced, wrapping.
    pub const EPOCH: usize = 128;
    /// Where the partitions of levels 0..=4 start, then where the last one ends.
    pub const PARTITIONS: usize = 129;
    /// Stays 0: no level can starve another.
    pub const STARVATION: usize = 135;
    /// Claims per priority level.
    pub const LEVEL_CLAIMS: usize = 136;
    /// Slots that ended in FAULT, wrapping.
    pub const FAULTS: usize = 141;
    /// The first reserved word.
    pub const RESERVED: usize = 142;
    /// The first observable.
    pub const OBSERVABLES: usize = 160;
}

/// Tenants that the mask table holds.
pub const TENANTS: u32 = 29;
/// Quota words, of which the first 29 belong to tenants.
pub const QUOTAS: u32 = 32;
/// Tenant claim counters.
pub const TENANT_CLAIM_SLOTS: u32 = 32;
/// Opcodes that have a run counter.
pub const METRIC_SLOTS: usize = 32;
/// Words of the partition table.
pub const PARTITION_WORDS: usize = LEVELS + 1;
/// The mask of a tenant that runs.
pub const MASK_ALL: u32 = u32::MAX;
/// A quota from here on is no limit.
pub const UNLIMITED_QUOTA: u32 = 1_000_000;

const _: () = {
    assert!(word::TENANT_MASKS + TENANTS as usize == word::TENANT_QUOTAS);
    assert!(word::TENANT_QUOTAS + QUOTAS as usize == word::TENANT_CLAIMS);
    assert!(word::TENANT_CLAIMS + TENANT_CLAIM_SLOTS as usize == word::METRICS);
    assert!(word::METRICS + METRIC_SLOTS == word::EPOCH);
    assert!(word::PARTITIONS + PARTITION_WORDS == word::STARVATION);
    assert!(word::LEVEL_CLAIMS + LEVELS == word::FAULTS);
    assert!(word::RESERVED <= word::OBSERVABLES);
};

/// How often an opcode below 32 has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Metric {
    /// The opcode.
    pub opcode: u32,
    /// Its runs, wrapping.
    pub runs: u32,
}

/// A view of a control buffer.
///
/// A view may be shorter than 160 words: each reader then says which word is missing.
///
/// ```
/// use slipring_core::control::Control;
/// let mut words = [0u32; 162];
/// let control = Control::new(&mut words)?;
/// control.encode(false, 1)?;
/// assert_eq!(control.done_count(), Ok(0));
/// assert_eq!(control.observable(1), Ok(0));
/// assert_eq!(control.observable(2).unwrap_err().to_string(),
///     "control: word 162 is missing from a buffer of 162 words");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Control<'a, W> {
    words: &'a [W],
}

crate::words::copied_whatever_its_words!(Control);

impl<'a, W: Word> Control<'a, W> {
    /// A view of `words`.
    ///
    /// # Errors
    /// [`LayoutError::TooMany`] when there are more words than an index can name.
    pub fn new(words: impl Words<'a, Word = W>) -> Result<Self, LayoutError> {
        let words = words.into_words();
        let observables = words.len().saturating_sub(word::OBSERVABLES) as u64;
        if observables > u64::from(MAX_OBSERVABLES) {
            let buffer = Buffer::Control;
            return Err(LayoutError::TooMany { buffer, count: observables, max: MAX_OBSERVABLES });
        }
        Ok(Self { words })
    }

    /// A view whose length was checked.
    pub(crate) const fn of(words: &'a [W]) -> Self {
        Self { words }
    }

    /// The words below.
    pub fn words(&self) -> &'a [W] {
        self.words
    }

    fn get(&self, word: u64) -> Result<&'a W, MissingWord> {
        let missing = MissingWord { buffer: Buffer::Control, word, words: self.words.len() };
        usize::try_from(word).ok().and_then(|word| self.words.get(word)).ok_or(missing)
    }

    pub(crate) fn check_word(&self, word: usize) -> Result<(), MissingWord> {
        self.get(word as u64).map(|_| ())
    }

    fn read(&self, word: usize) -> Result<u32, MissingWord> {
        // Acquire pairs with the kernel's release store of the done count, and with the release
        // stores of a host on another core.
        self.get(word as u64).map(Word::load_acquire)
    }

    /// The number of observables.
    pub fn observables(&self) -> u32 {
        self.words.len().saturating_sub(word::OBSERVABLES) as u32
    }

    /// The shutdown word; non-zero stops claiming.
    ///
    /// # Errors
    /// [`MissingWord`] in a buffer that is too short, as for every reader here.
    pub fn shutdown(&self) -> Result<u32, MissingWord> {
        self.read(word::SHUTDOWN)
    }

    /// Finished slots, wrapping.
    ///
    /// # Errors
    /// [`MissingWord`].
    pub fn done_count(&self) -> Result<u32, MissingWord> {
        self.read(word::DONE_COUNT)
    }

    /// Slots that ended in FAULT, wrapping.
    ///
    /// # Errors
    /// [`MissingWord`].
    pub fn faults(&self) -> Result<u32, MissingWord> {
        self.read(word::FAULTS)
    }

    /// Batches fenced, wrapping.
    ///
    /// # Errors
    /// [`MissingWord`].
    pub fn epoch(&self) -> Result<u32, MissingWord> {
        self.read(word::EPOCH)
    }

    /// A result word.
    ///
    /// # Errors
    /// [`MissingWord`] past the last observable.
    pub fn observable(&self, index: u32) -> Result<u32, MissingWord> {
        self.get(word::OBSERVABLES as u64 + u64::from(index)).map(Word::load_acquire)
    }

    /// The run counters that are not 0.
    ///
    /// # Errors
    /// [`MissingWord`] naming the first counter that is not there.
    pub fn metrics(&self) -> Result<Vec<Metric, METRIC_SLOTS>, MissingWord> {
        let mut metrics = Vec::new();
        for opcode in 0..METRIC_SLOTS {
            let runs = self.read(word::METRICS + opcode)?;
            if runs != 0 {
                // Never full: one push for each of METRIC_SLOTS counters.
                let _ = metrics.push(Metric { opcode: opcode as u32, runs });
            }
        }
        Ok(metrics)
    }

    /// Slots claimed for a tenant; tenants that are equal mod 32 share a counter.
    ///
    /// # Errors
    /// [`MissingWord`].
    pub fn tenant_claims(&self, tenant: u32) -> Result<u32, MissingWord> {
        self.read(word::TENANT_CLAIMS + (tenant % TENANT_CLAIM_SLOTS) as usize)
    }

    /// Slots claimed at a level.
    ///
    /// # Errors
    /// [`MissingWord`].
    pub fn level_claims(&self, level: crate::slot::Priority) -> Result<u32, MissingWord> {
        self.read(word::LEVEL_CLAIMS + level as usize)
    }

    /// The ring's partitions.
    ///
    /// # Errors
    /// [`PartitionError`] when the words are missing or do not cover `slots` in order.
    pub fn partitions(&self, slots: u32) -> Result<Partitions, PartitionError> {
        let mut starts = [0; PARTITION_WORDS];
        for (index, start) in starts.iter_mut().enumerate() {
            *start = self.read(word::PARTITIONS + index)?;
        }
        Partitions::parse(starts, slots)
    }
}

impl<W: WordMut> Control<'_, W> {
    /// Writes the whole buffer: `shutdown`, masks and quotas of the first `tenants`
    /// tenants, 0 elsewhere (the partition words too; see [`Control::set_partitions`]).
    /// Tenants beyond the table are cut off, as the quota table (32) and the mask table (29)
    /// each can hold.
    ///
    /// # Errors
    /// [`MissingWord`] when there are fewer than 160 words, [`LayoutError::TooMany`] beyond
    /// [`MAX_ENCODED`] observables. The buffer is then unchanged.
    pub fn encode(&self, shutdown: bool, tenants: u32) -> Result<(), EncodeError> {
        check(Buffer::Control, self.observables(), MAX_ENCODED)?;
        self.check_word(word::OBSERVABLES - 1)?;
        self.fill(shutdown, tenants);
        Ok(())
    }

    /// [`Control::encode`] of a buffer whose length was checked.
    pub(crate) fn fill(&self, shutdown: bool, tenants: u32) {
        for word in self.words {
            word.store(0);
        }
        let fill = |first: usize, count: u32, value: u32| {
            let words = self.words.get(first..).unwrap_or(&[]);
            words.iter().take(count as usize).for_each(|word| word.store(value));
        };
        fill(word::SHUTDOWN, 1, u32::from(shutdown));
        fill(word::TENANT_TABLE, 1, word::TENANT_MASKS as u32);
        fill(word::TENANT_MASKS, tenants.min(TENANTS), MASK_ALL);
        fill(word::TENANT_QUOTAS, tenants.min(QUOTAS), UNLIMITED_QUOTA);
    }

    fn write(&self, word: usize, value: u32) -> Result<(), MissingWord> {
        // Release: a lane that sees the flag or mask also sees what was written before it.
        self.get(word as u64).map(|word| word.store_release(value))
    }

    /// Stops (`true`) or allows (`false`) claiming.
    ///
    /// # Errors
    /// [`MissingWord`].
    pub fn set_shutdown(&self, shutdown: bool) -> Result<(), MissingWord> {
        self.write(word::SHUTDOWN, u32::from(shutdown))
    }

    /// Writes a result word.
    ///
    /// # Errors
    /// [`MissingWord`] past the last observable.
    pub fn set_observable(&self, index: u32, value: u32) -> Result<(), MissingWord> {
        let word = word::OBSERVABLES as u64 + u64::from(index);
        self.get(word).map(|word| word.store_release(value))
    }

    /// Writes a tenant's mask (0 pauses it) and quota.
    ///
    /// # Errors
    /// [`EncodeError::Tenant`] from 29 on, [`EncodeError::MissingWord`].
    pub fn set_tenant(&self, tenant: u32, value: &Tenant) -> Result<(), EncodeError> {
        if tenant >= TENANTS {
            return Err(TenantError::Unknown { tenant }.into());
        }
        let quota_word = self.get((word::TENANT_QUOTAS as u64) + u64::from(tenant))?;
        quota_word.store(value.quota);
        Ok(self.write(word::TENANT_MASKS + tenant as usize, value.mask)?)
    }

    /// Writes the six partition words, all or none.
    ///
    /// # Errors
    /// [`MissingWord`] when the last of them is not there.
    pub fn set_partitions(&self, partitions: &Partitions) -> Result<(), MissingWord> {
        self.check_word(word::PARTITIONS + PARTITION_WORDS - 1)?;
        self.fill_partitions(partitions);
        Ok(())
    }

    /// [`Control::set_partitions`] in a buffer whose length was checked.
    pub(crate) fn fill_partitions(&self, partitions: &Partitions) {
        let words = self.words.get(word::PARTITIONS..).unwrap_or(&[]);
        for (word, start) in words.iter().zip(partitions.words()) {
            word.store_release(start);
        }
    }
}

/// Why a buffer was not encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EncodeError {
    /// A length or count beyond the limits.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The buffer is too short.
    #[error(transparent)]
    MissingWord(#[from] MissingWord),
    /// No such tenant.
    #[error(transparent)]
    Tenant(#[from] TenantError),
}
