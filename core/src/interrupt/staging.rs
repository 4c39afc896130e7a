//! Many producers: places behind a critical section.

use core::cell::Cell;

use critical_section::{CriticalSection, Mutex};

use super::{STAGED_WORDS, StageError, Staged};
use crate::ring::Job;

/// A place for jobs that any interrupt and the main loop may fill: `N` of them (a power of two), 60
/// bytes each. Jobs leave in the order in which they came.
///
/// ```
/// use slipring_core::interrupt::{StageError, Staging};
/// use slipring_core::link::{SendError, Sender};
/// use slipring_core::ring::Job;
///
/// static STAGING: Staging<8> = Staging::new();
///
/// // In any interrupt:
/// fn on_sample(value: u32) -> Result<(), StageError> {
///     STAGING.publish(&Job::new(0x100, &[3, value]))
/// }
///
/// // In the main loop. What the sender has no room for yet stays, in order.
/// fn hand_on(sender: &mut Sender<8>) {
///     match STAGING.drain_into(|job| sender.publish(job)) {
///         Ok(_) | Err(SendError::Full { .. } | SendError::NotConnected) => {}
///         Err(error) => { /* tell somebody */ }
///     }
/// }
/// # use slipring_core::layout::Geometry;
/// # on_sample(7).unwrap();
/// # hand_on(&mut Sender::new(7, Geometry::of_slots(64, 8).unwrap()));
/// # assert_eq!(STAGING.waiting(), 1);
/// ```
///
/// Other sizes do not compile:
///
/// ```compile_fail
/// # use slipring_core::interrupt::Staging;
/// static STAGING: Staging<12> = Staging::new();
/// ```
#[derive(Debug)]
pub struct Staging<const N: usize> {
    places: Mutex<Places<N>>,
}

#[derive(Debug)]
struct Places<const N: usize> {
    jobs: [Cell<Staged>; N],
    /// The numbers of the oldest job and of the next; both count up and wrap.
    oldest: Cell<u32>,
    next: Cell<u32>,
    refused: Cell<u32>,
    is_drained: Cell<bool>,
}

impl<const N: usize> Places<N> {
    fn place(&self, number: u32) -> Option<&Cell<Staged>> {
        self.jobs.get(number as usize % N)
    }

    fn waiting(&self) -> u32 {
        self.next.get().wrapping_sub(self.oldest.get())
    }

    /// All that is done with interrupts off.
    #[inline(always)]
    fn push(&self, job: &Staged) -> Result<(), StageError> {
        let capacity = N as u32;
        let next = self.next.get();
        match self.place(next) {
            Some(place) if self.waiting() < capacity => place.set(*job),
            _ => {
                self.refused.set(self.refused.get().saturating_add(1));
                return Err(StageError::Full { capacity });
            }
        }
        self.next.set(next.wrapping_add(1));
        Ok(())
    }

    fn oldest(&self) -> Option<Staged> {
        (self.waiting() != 0).then(|| self.place(self.oldest.get()).map(Cell::get)).flatten()
    }
}

impl<const N: usize> Staging<N> {
    /// No jobs yet.
    pub const fn new() -> Self {
        const { assert!(N.is_power_of_two() && N <= super::MAX_PLACES) };
        Self {
            places: Mutex::new(Places {
                jobs: [const { Cell::new(Staged([0; STAGED_WORDS])) }; N],
                oldest: Cell::new(0),
                next: Cell::new(0),
                refused: Cell::new(0),
                is_drained: Cell::new(false),
            }),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&Places<N>) -> T) -> T {
        critical_section::with(|cs: CriticalSection<'_>| act(self.places.borrow(cs)))
    }

    /// Stages a job. The job is checked, and its words are laid out, before interrupts go off.
    ///
    /// # Errors
    /// In this order: [`StageError::Job`], [`StageError::Full`].
    #[inline]
    pub fn publish(&self, job: &Job<'_>) -> Result<(), StageError> {
        let job = Staged::new(job)?;
        self.with(|places| places.push(&job))
    }

    /// Offers the jobs, oldest first, to `take`, with interrupts on; up to `N` of them, and says
    /// how many were taken. A job that `take` refuses stays the oldest, and is offered again by the
    /// next call. (To drop one, answer that it was taken.)
    ///
    /// One at a time drains: while one does, other calls take nothing.
    ///
    /// # Errors
    /// What `take` answers. The jobs before that were taken.
    pub fn drain_into<T, E>(
        &self,
        mut take: impl FnMut(&Job<'_>) -> Result<T, E>,
    ) -> Result<u32, E> {
        if self.with(|places| places.is_drained.replace(true)) {
            return Ok(0);
        }
        let _end = Drain(self);
        let mut taken = 0;
        while taken < N as u32
            && let Some(job) = self.with(Places::oldest)
        {
            take(&job.job())?;
            self.with(|places| places.oldest.set(places.oldest.get().wrapping_add(1)));
            taken += 1;
        }
        Ok(taken)
    }

    /// How many jobs wait.
    pub fn waiting(&self) -> u32 {
        self.with(Places::waiting)
    }

    /// How many jobs were refused since there was no place; stops at 2^32 - 1.
    pub fn refused(&self) -> u32 {
        self.with(|places| places.refused.get())
    }
}

impl<const N: usize> Default for Staging<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Lets the next one drain, also when `take` unwinds.
struct Drain<'a, const N: usize>(&'a Staging<N>);

impl<const N: usize> Drop for Drain<'_, N> {
    fn drop(&mut self) {
        self.0.with(|places| places.is_drained.set(false));
    }
}
