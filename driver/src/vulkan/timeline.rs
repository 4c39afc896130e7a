//! Submissions, and when they have ended.

use super::device::{Device, failed};
use crate::backend::BackendError;
use ash::vk;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a wait looks before it sleeps.
const SPIN: Duration = Duration::from_micros(200);
/// Fences, where there are no timeline semaphores: submissions that may be pending at once.
const FENCES: usize = 64;
/// How long a submission waits for the one of [`FENCES`] before it.
const FENCE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a wait for a fence sleeps between two looks.
const FENCE_SLEEP: Duration = Duration::from_micros(20);

/// Submissions, numbered from 1 on, which end in this order.
pub(crate) struct Timeline {
    device: Arc<Device>,
    ends: Ends,
    /// Written by whoever holds the queue.
    submitted: AtomicU64,
    /// The last submission that a fence was seen to have ended.
    ended: AtomicU64,
}

/// How the end of a submission is known.
enum Ends {
    /// A timeline semaphore: each submission moves it on by one.
    Semaphore(vk::Semaphore),
    /// Submission n has fence n modulo [`FENCES`]. The lock is held for a look, never for a wait.
    Fences(Mutex<Vec<vk::Fence>>),
}

impl Timeline {
    pub(crate) fn new(device: &Arc<Device>) -> Result<Self, BackendError> {
        let ends = match device.has_timeline() {
            true => Ends::Semaphore(new_semaphore(device)?),
            false => Ends::Fences(Mutex::new(Vec::with_capacity(FENCES))),
        };
        let [submitted, ended] = [0, 0].map(AtomicU64::new);
        let timeline = Self { device: Arc::clone(device), ends, submitted, ended };
        if let Ends::Fences(fences) = &timeline.ends {
            // What was made of them is destroyed whatever fails.
            let mut fences = lock(fences);
            for _ in 0..FENCES {
                let description = vk::FenceCreateInfo::default();
                // SAFETY: the device is alive.
                let fence = unsafe { device.raw().create_fence(&description, None) };
                fences.push(fence.map_err(failed("vkCreateFence"))?);
            }
        }
        Ok(timeline)
    }

    /// Submits recorded commands behind everything submitted before, and numbers the submission.
    pub(crate) fn submit(&self, commands: &[vk::CommandBuffer]) -> Result<u64, BackendError> {
        let (number, queue, _order) = self.turn()?;
        let values = [number];
        let mut timeline =
            vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&values);
        let mut submission = vk::SubmitInfo::default().command_buffers(commands);
        let (semaphores, held);
        let mut fence = vk::Fence::null();
        match &self.ends {
            Ends::Semaphore(semaphore) => {
                semaphores = [*semaphore];
                submission = submission.signal_semaphores(&semaphores).push_next(&mut timeline);
            }
            Ends::Fences(fences) => {
                // Nobody looks at the fence until it is the new submission's.
                held = lock(fences);
                fence = held[number as usize % FENCES];
                // SAFETY: the fence's last submission has ended or was refused, and `held` is.
                unsafe { self.device.raw().reset_fences(&[fence]) }
                    .map_err(failed("vkResetFences"))?;
            }
        }
        // SAFETY: the commands are recorded, of this device and not pending: the caller has
        // waited for them. The semaphore's value only grows, and nobody else uses the queue:
        // `_order` is held, and `held` where there is a fence, which is not signalled. What the
        // commands use outlives them, because its owner waits before it drops.
        unsafe { self.device.raw().queue_submit(queue, &[submission], fence) }
            .map_err(failed("vkQueueSubmit"))?;
        self.submitted.store(number, Ordering::Release);
        Ok(number)
    }
    /// The next submission's number, and the queue for it. Where there are fences, the one that it
    /// is to have is free.
    fn turn(&self) -> Result<(u64, vk::Queue, MutexGuard<'_, ()>), BackendError> {
        loop {
            let number = self.submitted() + 1;
            if matches!(self.ends, Ends::Fences(_)) && number > FENCES as u64 {
                // Without the queue, which others may use meanwhile.
                self.wait(number - FENCES as u64, FENCE_TIMEOUT)?;
            }
            let (queue, order) = self.device.queue();
            if self.submitted() + 1 == number {
                return Ok((number, queue, order));
            }
        }
    }

    /// Whether submission `number` has ended.
    pub(crate) fn is_finished(&self, number: u64) -> Result<bool, BackendError> {
        let raw = self.device.raw();
        match &self.ends {
            Ends::Semaphore(semaphore) => {
                // SAFETY: the semaphore is alive.
                let reached = unsafe { raw.get_semaphore_counter_value(*semaphore) };
                Ok(reached.map_err(failed("vkGetSemaphoreCounterValue"))? >= number)
            }
            Ends::Fences(fences) => {
                let fences = lock(fences);
                // Its fence may be another submission's by now, or one's that was refused.
                if number <= self.ended.load(Ordering::Acquire) {
                    return Ok(true);
                }
                // SAFETY: the fence is alive, and nobody else has it while the lock is held.
                let ended = unsafe { raw.get_fence_status(fences[number as usize % FENCES]) };
                let ended = ended.map_err(failed("vkGetFenceStatus"))?;
                if ended {
                    self.ended.fetch_max(number, Ordering::AcqRel);
                }
                Ok(ended)
            }
        }
    }

    /// Waits for submission `number`.
    ///
    /// It looks all the time at first: to sleep and be woken takes longer than most drains. Where
    /// the GPU is a CPU, it needs the core.
    pub(crate) fn wait(&self, number: u64, timeout: Duration) -> Result<(), BackendError> {
        let start = Instant::now();
        while !self.device.is_cpu() && start.elapsed() < SPIN.min(timeout) {
            if self.is_finished(number)? {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        self.sleep(number, timeout)
    }

    /// How many submissions there were.
    pub(crate) fn submitted(&self) -> u64 {
        self.submitted.load(Ordering::Acquire)
    }

    /// [`Timeline::wait`], asleep from the start.
    pub(crate) fn sleep(&self, number: u64, timeout: Duration) -> Result<(), BackendError> {
        let Ends::Semaphore(semaphore) = &self.ends else { return self.watch(number, timeout) };
        let (semaphores, values) = ([*semaphore], [number]);
        let wait = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        // SAFETY: the semaphore is alive, and a submission will signal the value.
        match unsafe { self.device.raw().wait_semaphores(&wait, timeout_ns) } {
            Ok(()) => Ok(()),
            Err(vk::Result::TIMEOUT) => Err(BackendError::timeout(timeout)),
            Err(error) => Err(failed("vkWaitSemaphores")(error)),
        }
    }

    /// Looks at a fence over and over: a wait for it would keep others from looking at it.
    fn watch(&self, number: u64, timeout: Duration) -> Result<(), BackendError> {
        let start = Instant::now();
        while !self.is_finished(number)? {
            if start.elapsed() >= timeout {
                return Err(BackendError::timeout(timeout));
            }
            std::thread::sleep(FENCE_SLEEP);
        }
        Ok(())
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        let raw = self.device.raw();
        match &self.ends {
            // SAFETY: the rows have waited for all submissions.
            Ends::Semaphore(semaphore) => unsafe { raw.destroy_semaphore(*semaphore, None) },
            Ends::Fences(fences) => lock(fences).drain(..).for_each(|fence| {
                // SAFETY: as above.
                unsafe { raw.destroy_fence(fence, None) };
            }),
        }
    }
}

fn new_semaphore(device: &Device) -> Result<vk::Semaphore, BackendError> {
    let mut kind = vk::SemaphoreTypeCreateInfo::default()
        .semaphore_type(vk::SemaphoreType::TIMELINE)
        .initial_value(0);
    let description = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
    // SAFETY: the device is alive and has timeline semaphores (`Device::has_timeline`).
    let semaphore = unsafe { device.raw().create_semaphore(&description, None) };
    semaphore.map_err(failed("vkCreateSemaphore"))
}

fn lock(fences: &Mutex<Vec<vk::Fence>>) -> MutexGuard<'_, Vec<vk::Fence>> {
    fences.lock().unwrap_or_else(PoisonError::into_inner)
}
