//! Where the words of a result come from.

use super::{LinksError, MAX_RESULT_WORDS};
use crate::driver::{Driver, DriverError};
use slipring_core::link::{Fate, LinkTicket, ResultWords};
use slipring_core::row::Row;
use slipring_core::slot::Slot;
use std::ops::Range;
use std::sync::atomic::AtomicU32;

/// Where the words come from that go back with a job's end. A job has its slot to itself until
/// they were read, so that blocks by slot are a place for them:
///
/// ```wgsl
/// fn measure(job: Job) -> u32 {
///     observe(2u * job.slot, arg(job, 0u));
///     observe(2u * job.slot + 1u, 7u);
///     return HANDLER_OK;
/// }
/// ```
///
/// are what `Results::observables(0, 2)` sends back.
///
/// Jobs that the program publishes itself, or an [`Ingest`](crate::input::Ingest), through the same
/// driver, may take the slot of a job that has ended: publish them after
/// [`Links::turn`](super::Links::turn), never between a drain and it. While a kernel stays on, jobs
/// end at any time: have links and others use priority levels with slots of their own
/// ([`Partitions`](slipring_core::partition::Partitions)). The words of a job whose slot was taken
/// are nobody's, and the job is told as [`Fate::Unknown`].
pub struct Results(Source);

type FromJob = Box<dyn FnMut(&mut JobEnd<'_>) -> ResultWords + Send>;

enum Source {
    None,
    Observables { first: u32, words: u32 },
    Arena { first: u32, words: u32 },
    Job(FromJob),
}

impl core::fmt::Debug for Results {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.0 {
            Source::None => f.write_str("none"),
            Source::Observables { first, words } => write!(f, "observables({first}, {words})"),
            Source::Arena { first, words } => write!(f, "arena({first}, {words})"),
            Source::Job(_) => f.write_str("from_job"),
        }
    }
}

impl Results {
    /// No words: how the job has ended says it all.
    pub fn none() -> Self {
        Self(Source::None)
    }

    /// `words` observables of jobs that have ended well, from `first + words * job.slot` on; 1 to 12.
    /// Where the host's row is a copy, each drain brings them home by itself.
    pub fn observables(first: u32, words: u32) -> Self {
        Self(Source::Observables { first, words })
    }

    /// The same of the arena's words. On the portable backend, each is a read of its own.
    pub fn arena(first: u32, words: u32) -> Self {
        Self(Source::Arena { first, words })
    }

    /// Whatever the closure says of a job that has run, well or not. It should not wait or allocate,
    /// if the loop is not to.
    ///
    /// ```
    /// use slipring_driver::link::Results;
    /// let sums = Results::from_job(|job| {
    ///     let sum = job.row().control.observable(3).unwrap_or(0);
    ///     [sum, job.slot].into_iter().collect()
    /// });
    /// ```
    pub fn from_job(words: impl FnMut(&mut JobEnd<'_>) -> ResultWords + Send + 'static) -> Self {
        Self(Source::Job(Box::new(words)))
    }

    /// The observables that it takes words from, in a ring of so many slots.
    pub(super) fn observed(&self, slots: u32) -> Range<u32> {
        match self.0 {
            Source::Observables { first, words } => first..first + words * slots,
            _ => 0..0,
        }
    }

    /// Checks that there is a block for each slot.
    pub(super) fn check(&self, link: &str, driver: &Driver) -> Result<(), LinksError> {
        let geometry = driver.device.host().geometry();
        let slots = geometry.slots();
        let (what, first, words, len) = match self.0 {
            Source::None | Source::Job(_) => return Ok(()),
            Source::Observables { first, words } => {
                ("observable", first, words, u64::from(geometry.observables()))
            }
            Source::Arena { first, words } => {
                ("arena word", first, words, driver.device.options().arena_words() as u64)
            }
        };
        let link = || link.to_owned();
        if words == 0 || words as usize > MAX_RESULT_WORDS {
            return Err(LinksError::ResultWords { link: link(), words });
        }
        let end = u64::from(first) + u64::from(words) * u64::from(slots);
        if end > len {
            return Err(LinksError::ResultRange { link: link(), what, end, len, slots });
        }
        Ok(())
    }

    /// Whether there may be words of a job that has ended so.
    pub(super) fn has_words(&self, fate: Fate) -> bool {
        match self.0 {
            Source::None => false,
            Source::Observables { .. } | Source::Arena { .. } => fate == Fate::Done,
            Source::Job(_) => fate != Fate::Unknown,
        }
    }

    /// The words of a job that has some.
    pub(super) fn of(&mut self, job: &mut JobEnd<'_>) -> Result<ResultWords, DriverError> {
        let mut block = [0; MAX_RESULT_WORDS];
        let words = match &mut self.0 {
            Source::Job(words) => return Ok(words(job)),
            Source::Observables { first, words } => {
                let first = *first + *words * job.slot;
                let words = &mut block[..*words as usize];
                for (index, word) in (first..).zip(&mut *words) {
                    *word = job.row().control.observable(index).unwrap_or(0);
                }
                words
            }
            Source::Arena { first, words } => {
                let first = *first as usize + (*words * job.slot) as usize;
                let words = &mut block[..*words as usize];
                job.driver.device.read_arena(first, words)?;
                words
            }
            Source::None => return Ok(ResultWords::new()),
        };
        Ok(words.iter().copied().collect())
    }
}

/// A job of a link that has run, as [`Results::from_job`] sees it.
#[derive(Debug)]
pub struct JobEnd<'a> {
    /// Its link.
    pub link: usize,
    /// Its ticket there.
    pub ticket: LinkTicket,
    /// Its ring slot: `job.slot` in WGSL.
    pub slot: u32,
    /// [`Fate::Done`] or [`Fate::Fault`].
    pub fate: Fate,
    pub(super) driver: &'a mut Driver,
}

impl JobEnd<'_> {
    /// The row: as of the last drain in what it has brought home, or shared with the GPU.
    pub fn row(&self) -> Row<'_, AtomicU32> {
        self.driver.row()
    }

    /// The slot's words, as the GPU got them.
    pub fn job(&self) -> Slot {
        self.row().ring.slot(self.slot).unwrap_or_default()
    }

    /// Reads arena words from word `first` on. On the portable backend it waits for the GPU.
    ///
    /// # Errors
    /// As [`Driver::read_arena`].
    pub fn read_arena(&mut self, first: usize, words: &mut [u32]) -> Result<(), DriverError> {
        self.driver.check_arena(first, words.len())?;
        self.driver.device.read_arena(first, words)
    }

    /// Reads workspace words from word `first` on. On the portable backend, and while a kernel may
    /// stay on, it waits for the GPU.
    ///
    /// # Errors
    /// As [`Driver::read_workspace`].
    pub fn read_workspace(&mut self, first: usize, words: &mut [u32]) -> Result<(), DriverError> {
        self.driver.check_workspace(first, words.len())?;
        self.driver.device.read_workspace(first, words)
    }
}
