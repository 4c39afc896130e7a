//! One producer: a queue of loads and stores.

use core::sync::atomic::{AtomicU32, Ordering};

use super::{STAGED_WORDS, StageError, Staged};
use crate::ring::Job;

/// A queue from one interrupt to the main loop, for which nobody ever turns interrupts off: `N` jobs
/// (a power of two), 60 bytes each.
///
/// [`Queue::split`] gives the two ends away: the [`Producer`] to the interrupt (in RTIC as a local
/// resource of its task), the [`Consumer`] to the main loop.
///
/// ```
/// use slipring_core::interrupt::Queue;
/// use slipring_core::ring::Job;
///
/// let mut queue = Queue::<8>::new(); // In firmware: a static, by `cortex_m::singleton!`.
/// let (mut producer, mut consumer) = queue.split();
///
/// // In the interrupt:
/// producer.publish(&Job::new(0x100, &[3, 42]))?;
///
/// // In the main loop, where the closure would be `|job| sender.publish(job)`:
/// let taken = consumer.drain_into(|job| {
///     assert_eq!((job.opcode, job.args[1]), (0x100, 42));
///     Ok::<(), ()>(())
/// });
/// assert_eq!(taken, Ok(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// There is one of each end:
///
/// ```compile_fail
/// # use slipring_core::interrupt::Queue;
/// # let mut queue = Queue::<8>::new();
/// let (first, _) = queue.split();
/// let (second, _) = queue.split();
/// drop((first, second));
/// ```
#[derive(Debug)]
pub struct Queue<const N: usize> {
    // heapless's queue would do, but its ends take the remainder of a length that only it knows not
    // to be 0: a panic path.
    jobs: [[AtomicU32; STAGED_WORDS]; N],
    /// The number of the oldest job; written by the consumer. Both count up and wrap.
    oldest: AtomicU32,
    /// The number of the next job; written by the producer, as the count of refused ones is.
    next: AtomicU32,
    refused: AtomicU32,
}

impl<const N: usize> Queue<N> {
    /// No jobs yet.
    pub const fn new() -> Self {
        const { assert!(STAGED_WORDS.is_multiple_of(5)) };
        const { assert!(N.is_power_of_two() && N <= super::MAX_PLACES) };
        Self {
            jobs: [const { [const { AtomicU32::new(0) }; STAGED_WORDS] }; N],
            oldest: AtomicU32::new(0),
            next: AtomicU32::new(0),
            refused: AtomicU32::new(0),
        }
    }

    /// Its two ends.
    pub const fn split(&mut self) -> (Producer<'_, N>, Consumer<'_, N>) {
        (Producer { queue: self }, Consumer { queue: self })
    }

    fn place(&self, number: u32) -> Option<&[AtomicU32; STAGED_WORDS]> {
        self.jobs.get(number as usize % N)
    }
}

impl<const N: usize> Default for Queue<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// The interrupt's end of a [`Queue`].
#[derive(Debug)]
pub struct Producer<'a, const N: usize> {
    queue: &'a Queue<N>,
}

impl<const N: usize> Producer<'_, N> {
    /// Stages a job.
    ///
    /// # Errors
    /// In this order: [`StageError::Job`], [`StageError::Full`].
    #[inline]
    pub fn publish(&mut self, job: &Job<'_>) -> Result<(), StageError> {
        let job = Staged::new(job)?;
        let (queue, capacity) = (self.queue, N as u32);
        let next = queue.next.load(Ordering::Relaxed);
        // Acquire pairs with the consumer's release store: it has read the place that it gave back.
        let waiting = next.wrapping_sub(queue.oldest.load(Ordering::Acquire));
        match queue.place(next) {
            Some(place) if waiting < capacity => {
                store(place, &job);
            }
            _ => {
                let refused = queue.refused.load(Ordering::Relaxed).saturating_add(1);
                queue.refused.store(refused, Ordering::Relaxed);
                return Err(StageError::Full { capacity });
            }
        }
        // Release pairs with the consumer's acquire load: the words come first.
        queue.next.store(next.wrapping_add(1), Ordering::Release);
        Ok(())
    }
}

/// Five words at a time: a loop of single ones takes three times the instructions.
#[inline(always)]
fn store(place: &[AtomicU32; STAGED_WORDS], job: &Staged) {
    for (words, values) in place.as_chunks().0.iter().zip(job.0.as_chunks().0) {
        let [a, b, c, d, e]: &[AtomicU32; 5] = words;
        let [v, w, x, y, z] = *values;
        a.store(v, Ordering::Relaxed);
        b.store(w, Ordering::Relaxed);
        c.store(x, Ordering::Relaxed);
        d.store(y, Ordering::Relaxed);
        e.store(z, Ordering::Relaxed);
    }
}

/// The main loop's end of a [`Queue`].
#[derive(Debug)]
pub struct Consumer<'a, const N: usize> {
    queue: &'a Queue<N>,
}

impl<const N: usize> Consumer<'_, N> {
    /// Offers the jobs, oldest first, to `take`; up to `N` of them, and says how many were taken. A
    /// job that `take` refuses stays the oldest, and is offered again by the next call. (To drop
    /// one, answer that it was taken.)
    ///
    /// # Errors
    /// What `take` answers. The jobs before that were taken.
    pub fn drain_into<T, E>(
        &mut self,
        mut take: impl FnMut(&Job<'_>) -> Result<T, E>,
    ) -> Result<u32, E> {
        let mut taken = 0;
        while taken < N as u32
            && let Some(job) = self.oldest()
        {
            take(&job.job())?;
            let oldest = self.queue.oldest.load(Ordering::Relaxed);
            // Release pairs with the producer's acquire load: the job was copied before.
            self.queue.oldest.store(oldest.wrapping_add(1), Ordering::Release);
            taken += 1;
        }
        Ok(taken)
    }

    fn oldest(&self) -> Option<Staged> {
        if self.waiting() == 0 {
            return None;
        }
        let place = self.queue.place(self.queue.oldest.load(Ordering::Relaxed))?;
        Some(Staged(place.each_ref().map(|word| word.load(Ordering::Relaxed))))
    }

    /// How many jobs wait.
    pub fn waiting(&self) -> u32 {
        // Acquire pairs with the producer's release store: what it counts can be read.
        let next = self.queue.next.load(Ordering::Acquire);
        next.wrapping_sub(self.queue.oldest.load(Ordering::Relaxed))
    }

    /// How many jobs were refused since there was no place; stops at 2^32 - 1.
    pub fn refused(&self) -> u32 {
        self.queue.refused.load(Ordering::Relaxed)
    }
}
