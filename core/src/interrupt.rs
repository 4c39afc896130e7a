//! Jobs from interrupts to the main loop, which sends them over a [link](crate::link) or publishes
//! them in a ring.
//!
//! ```text
//!   one interrupt               ─ publish ─▶ Queue       ─ drain ─▶ main loop
//!   interrupts of any priority  ─ publish ─▶ SharedQueue ─ drain ─▶ main loop
//! ```
//!
//! Both are for a `static`. Neither waits: one that is full refuses the job, and says how many it
//! holds. Neither loses a job that it took: it stays until the main loop has handed it on.
//!
//! What publishing costs depends on nothing but the number of arguments. The figures below are those of
//! twelve (`cargo xtask size`).

use crate::ring::{Job, PublishError, check_args, check_opcode};
use crate::slot::{Priority, WORDS};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, compiler_fence};

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum QueueError {
    /// The job itself is wrong.
    #[error(transparent)]
    Job(#[from] PublishError),
    /// The main loop has as many jobs to hand on as the queue holds.
    #[error("the queue is full: it holds {capacity} jobs")]
    Full { capacity: usize },
    /// A [`Queue`] that two publish to: this call has interrupted another one.
    #[error("another call is publishing to this queue; a SharedQueue is for several interrupts")]
    Interrupted,
}

/// Jobs on their way from one interrupt to the main loop: loads and stores only, so that it works on
/// a Cortex-M0 as it is. It holds `N` jobs (a power of two), in 60 bytes each.
///
/// One call publishes at a time, and one drains. A call that interrupts another one is refused; what
/// runs on another core at the same time is not noticed, and may lose jobs.
///
/// Publishing takes a Cortex-M3 187 instructions at most.
///
/// ```
/// use slipring_core::interrupt::Queue;
/// use slipring_core::ring::Job;
///
/// static JOBS: Queue<8> = Queue::new();
///
/// // In the interrupt:
/// JOBS.publish(&Job::new(0x100, &[3, 1]))?;
///
/// // In the main loop, as often as there is time for it:
/// let mut handed_on = 0;
/// JOBS.drain(|job| {
///     assert_eq!(job.args[..2], [3, 1]);
///     handed_on += 1;
///     Ok::<(), core::convert::Infallible>(())
/// })?;
/// assert_eq!(handed_on, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Other numbers of jobs do not compile:
///
/// ```compile_fail
/// static JOBS: slipring_core::interrupt::Queue<12> = slipring_core::interrupt::Queue::new();
/// ```
#[derive(Debug)]
pub struct Queue<const N: usize> {
    /// Job n is at n % N, as a slot's words without the status.
    jobs: [[AtomicU32; WORDS - 1]; N],
    /// Jobs so far, wrapping: those taken in, and those handed on.
    taken: AtomicU32,
    handed_on: AtomicU32,
    is_publishing: AtomicBool,
    is_draining: AtomicBool,
}

impl<const N: usize> Default for Queue<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Queue<N> {
    /// An empty one.
    pub const fn new() -> Self {
        const { assert!(N.is_power_of_two() && N as u64 <= 1 << 31, "a power of two") };
        Self {
            jobs: [const { [const { AtomicU32::new(0) }; WORDS - 1] }; N],
            taken: AtomicU32::new(0),
            handed_on: AtomicU32::new(0),
            is_publishing: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
        }
    }

    /// Takes a job to the main loop.
    ///
    /// # Errors
    /// In this order: [`QueueError::Job`], [`QueueError::Interrupted`], [`QueueError::Full`]. Nothing
    /// has changed then.
    pub fn publish(&self, job: &Job<'_>) -> Result<(), QueueError> {
        let words = Words::of(job)?;
        // Who interrupts this between the load and the store is through before the store.
        if self.is_publishing.load(Ordering::Acquire) {
            return Err(QueueError::Interrupted);
        }
        self.is_publishing.store(true, Ordering::Relaxed);
        // Who interrupts this from here on sees that: neither the words' stores nor the count's load
        // come before it, whatever the compiler makes of the rest.
        compiler_fence(Ordering::SeqCst);
        let pushed = self.push(&words);
        self.is_publishing.store(false, Ordering::Release);
        pushed
    }

    /// Puts a job behind the others.
    #[inline(always)]
    fn push(&self, words: &Words) -> Result<(), QueueError> {
        let taken = self.taken.load(Ordering::Relaxed);
        let waiting = taken.wrapping_sub(self.handed_on.load(Ordering::Acquire));
        let place = self.jobs.get(taken as usize % N).filter(|_| (waiting as usize) < N);
        let place = place.ok_or(QueueError::Full { capacity: N })?;
        // Five at a time: a loop of single words takes twice the instructions.
        for (place, words) in place.as_chunks::<5>().0.iter().zip(words.0.as_chunks::<5>().0) {
            place[0].store(words[0], Ordering::Relaxed);
            place[1].store(words[1], Ordering::Relaxed);
            place[2].store(words[2], Ordering::Relaxed);
            place[3].store(words[3], Ordering::Relaxed);
            place[4].store(words[4], Ordering::Relaxed);
        }
        // The words before the count.
        self.taken.store(taken.wrapping_add(1), Ordering::Release);
        Ok(())
    }

    /// Hands jobs on, the oldest first, until there are none, or one is refused: that one is the
    /// next again. A call from within `take`, or one that interrupts another, finds nothing to do.
    ///
    /// # Errors
    /// That of `take`. A job that it can never take it is to drop, by `Ok`: else no other one gets
    /// past.
    pub fn drain<E>(&self, mut take: impl FnMut(&Job<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.is_draining.load(Ordering::Acquire) {
            return Ok(());
        }
        self.is_draining.store(true, Ordering::Relaxed);
        // As in `publish`.
        compiler_fence(Ordering::SeqCst);
        let _end = Drain(&self.is_draining);
        while !self.is_empty() {
            let handed_on = self.handed_on.load(Ordering::Relaxed);
            let Some(words) = self.jobs.get(handed_on as usize % N) else { break };
            let mut copy = [0; WORDS - 1];
            for (copy, word) in copy.iter_mut().zip(words) {
                *copy = word.load(Ordering::Relaxed);
            }
            let [opcode, tenant, level, ref args @ ..] = copy;
            let priority = Priority::from_level(level).unwrap_or_default();
            take(&Job { opcode, tenant, priority, args })?;
            // The copy before the count, which frees its place.
            self.handed_on.store(handed_on.wrapping_add(1), Ordering::Release);
        }
        Ok(())
    }

    /// How many jobs there are to hand on.
    pub fn len(&self) -> usize {
        let handed_on = self.handed_on.load(Ordering::Relaxed);
        self.taken.load(Ordering::Acquire).wrapping_sub(handed_on) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Somebody drains, until this goes; even by a panic of whoever takes the jobs.
struct Drain<'a>(&'a AtomicBool);

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A job as a slot's words without the status.
struct Words([u32; WORDS - 1]);

const _: () = assert!((WORDS - 1).is_multiple_of(5), "all words are stored, five at a time");

impl Words {
    /// Those of a job that a ring takes.
    #[inline(always)]
    fn of(job: &Job<'_>) -> Result<Self, PublishError> {
        check_args(0, job.args.len())?;
        check_opcode(0, job.opcode)?;
        let mut words = [0; WORDS - 1];
        let [opcode, tenant, priority, args @ ..] = &mut words;
        (*opcode, *tenant, *priority) = (job.opcode, job.tenant, job.priority.level());
        for (place, arg) in args.iter_mut().zip(job.args) {
            *place = *arg;
        }
        Ok(Self(words))
    }
}

/// Jobs on their way to the main loop from interrupts of any priority, and from other cores: a
/// [`Queue`] whose jobs are put there in critical sections.
///
/// A job is checked and laid out before the critical section, which copies 60 bytes. Firmware chooses the
/// implementation of crate `critical-section` (for a single core, `cortex-m` with
/// `critical-section-single-core`). Draining needs none, and is one caller's at a time.
///
/// Publishing takes a Cortex-M3 197 instructions at most, 57 of them in the critical section.
///
/// ```
/// use slipring_core::interrupt::SharedQueue;
/// use slipring_core::link::Sender;
/// use slipring_core::ring::Job;
///
/// static JOBS: SharedQueue<16> = SharedQueue::new();
///
/// fn interrupt(sample: u32) {
///     if let Err(error) = JOBS.publish(&Job::new(0x100, &[3, sample])) {
///         // Full: count it, or make the samples fewer.
/// #       panic!("{error}");
///     }
/// }
///
/// fn main_loop(sender: &mut Sender<8>) {
///     // Jobs stay while the window is full, or nobody is connected.
///     let _ = JOBS.drain(|job| sender.publish(job).map(drop));
/// }
/// # interrupt(1);
/// # let geometry = slipring_core::layout::Geometry::of_slots(64, 8).unwrap();
/// # main_loop(&mut Sender::new(1, geometry));
/// # assert_eq!(JOBS.len(), 1);
/// ```
#[cfg(feature = "critical-section")]
#[derive(Debug, Default)]
pub struct SharedQueue<const N: usize>(Queue<N>);

#[cfg(feature = "critical-section")]
impl<const N: usize> SharedQueue<N> {
    /// An empty one.
    pub const fn new() -> Self {
        Self(Queue::new())
    }

    /// Takes a job to the main loop.
    ///
    /// # Errors
    /// In this order: [`QueueError::Job`], [`QueueError::Full`]. Nothing has changed then.
    pub fn publish(&self, job: &Job<'_>) -> Result<(), QueueError> {
        let words = Words::of(job)?;
        critical_section::with(|_| self.0.push(&words))
    }

    /// As [`Queue::drain`].
    ///
    /// # Errors
    /// That of `take`.
    pub fn drain<E>(&self, take: impl FnMut(&Job<'_>) -> Result<(), E>) -> Result<(), E> {
        self.0.drain(take)
    }

    /// How many jobs there are to hand on.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
