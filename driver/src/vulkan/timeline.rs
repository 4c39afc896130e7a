//! Submissions, and when they have ended.

use super::device::{Device, failed};
use crate::backend::BackendError;
use ash::vk;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a wait looks before it sleeps.
const SPIN: Duration = Duration::from_micros(200);

/// A timeline semaphore: each submission moves it on by one.
pub(crate) struct Timeline {
    device: Arc<Device>,
    semaphore: vk::Semaphore,
    /// Written by whoever holds the queue.
    submitted: AtomicU64,
}

impl Timeline {
    pub(crate) fn new(device: &Arc<Device>) -> Result<Self, BackendError> {
        let mut kind = vk::SemaphoreTypeCreateInfo::default()
            .semaphore_type(vk::SemaphoreType::TIMELINE)
            .initial_value(0);
        let description = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
        // SAFETY: the device is alive and has timeline semaphores (`Device::below`).
        let semaphore = unsafe { device.raw().create_semaphore(&description, None) };
        let semaphore = semaphore.map_err(failed("vkCreateSemaphore"))?;
        Ok(Self { device: Arc::clone(device), semaphore, submitted: AtomicU64::new(0) })
    }

    /// Submits recorded commands behind everything submitted before, and numbers the submission,
    /// from 1 on.
    pub(crate) fn submit(&self, commands: &[vk::CommandBuffer]) -> Result<u64, BackendError> {
        let (queue, _order) = self.device.queue();
        let number = self.submitted() + 1;
        let (semaphores, values) = ([self.semaphore], [number]);
        let mut timeline =
            vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&values);
        let submission = vk::SubmitInfo::default()
            .command_buffers(commands)
            .signal_semaphores(&semaphores)
            .push_next(&mut timeline);
        // SAFETY: the commands are recorded, of this device and not pending: the caller has
        // waited for them. The semaphore's value only grows, and nobody else uses the queue:
        // `_order` is held. What the commands use outlives them, because its owner waits before
        // it drops.
        unsafe { self.device.raw().queue_submit(queue, &[submission], vk::Fence::null()) }
            .map_err(failed("vkQueueSubmit"))?;
        self.submitted.store(number, Ordering::Release);
        Ok(number)
    }

    /// Whether submission `number` has ended.
    pub(crate) fn is_finished(&self, number: u64) -> Result<bool, BackendError> {
        // SAFETY: the semaphore is alive.
        let reached = unsafe { self.device.raw().get_semaphore_counter_value(self.semaphore) };
        Ok(reached.map_err(failed("vkGetSemaphoreCounterValue"))? >= number)
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
        let (semaphores, values) = ([self.semaphore], [number]);
        let wait = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        // SAFETY: the semaphore is alive, and a submission will signal the value.
        match unsafe { self.device.raw().wait_semaphores(&wait, timeout_ns) } {
            Ok(()) => Ok(()),
            Err(vk::Result::TIMEOUT) => Err(BackendError::timeout(timeout)),
            Err(error) => Err(failed("vkWaitSemaphores")(error)),
        }
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        // SAFETY: the owner has waited for the device to be idle.
        unsafe { self.device.raw().destroy_semaphore(self.semaphore, None) };
    }
}
