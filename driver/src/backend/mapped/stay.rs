//! A kernel that stays on: slice after slice, submitted by a thread of its own.

use super::Mapped;
use crate::backend::{BackendError, Submission};
use crate::kernel::{Entry, Kernel, LLVMPIPE_ITERATIONS, StayLimits};
use crate::persistent::{PersistError, Slices};
use crate::vulkan::{Bindings, RUNS, Recording};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Dispatches of one slice on llvmpipe, whose loops end early.
const SHORT_DISPATCHES: usize = RUNS;
/// Workgroups on a GPU: enough for a lane a slot of a thousand slots, few enough to be resident
/// side by side.
const MAX_GROUPS: u32 = 16;
/// Passes of the first slice, before it is known how long they take.
const FIRST_PASSES: u32 = 1024;
/// Loop iterations that the jobs of one workgroup may make in a slice on a GPU.
const BUDGET: u32 = 1 << 22;

/// What it takes, made when the driver is opened.
pub(super) struct Stay {
    mapped: Arc<Mapped>,
    recording: Recording,
    slice: Duration,
    timeout: Duration,
    /// The most that one dispatch may do.
    most: StayLimits,
    /// The last submission of all stays until now.
    last: u64,
    running: Option<Running>,
}

struct Running {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// What the thread and its owner both look at.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    slices: Slices,
    /// The last submission.
    last: u64,
    error: Option<BackendError>,
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry point that stays, for a CPU device or a GPU.
pub(super) fn entry(ends_loops: bool) -> Entry {
    if ends_loops { Entry::PersistNarrow } else { Entry::Persist }
}

impl Stay {
    pub(super) fn new(
        mapped: &Arc<Mapped>,
        bindings: &Bindings,
        ring_slots: u32,
        [slice, timeout]: [Duration; 2],
    ) -> Result<Self, PersistError> {
        let Mapped { kernel, device, pipelines, gpu, .. } = &**mapped;
        let ends_loops = gpu.ends_loops();
        if kernel.segments() > 1 {
            let reason = format!("a handler has {} segments, and no drain", kernel.segments());
            return Err(PersistError::Unavailable { reason });
        }
        let (most, groups, dispatches) = match ends_loops {
            true => (kernel.stay_limits(LLVMPIPE_ITERATIONS, ring_slots)?, 1, SHORT_DISPATCHES),
            false => {
                let groups = ring_slots.div_ceil(Kernel::LANES).min(MAX_GROUPS);
                (StayLimits { passes: u32::MAX / 2, look_passes: 1, budget: BUDGET }, groups, 1)
            }
        };
        let entry = entry(ends_loops);
        let recording = Recording::stays(device, pipelines, bindings, entry, groups, dispatches)?;
        let mapped = Arc::clone(mapped);
        Ok(Self { mapped, recording, slice, timeout, most, last: 0, running: None })
    }

    /// Commands of a slice, which run over no entries as long as there are no parameters.
    pub(super) fn idle_commands(&self) -> ash::vk::CommandBuffer {
        self.recording.pair()[0]
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts the thread. `set_limits` writes them where the kernel reads them, and with which entry
    /// the first dispatch of a slice begins.
    pub(super) fn start(
        &mut self,
        set_limits: impl Fn(StayLimits, u32) + Send + 'static,
    ) -> Result<(), PersistError> {
        let shared = Arc::new(Shared::default());
        let mut submitter = Submitter {
            shared: Arc::clone(&shared),
            mapped: Arc::clone(&self.mapped),
            commands: self.recording.pair(),
            slice: self.slice,
            timeout: self.timeout,
            most: self.most,
            passes: FIRST_PASSES.min(self.most.passes),
        };
        set_limits(submitter.limits(), 0);
        let thread = std::thread::Builder::new().name("slipring".to_owned());
        let thread = thread
            .spawn(move || submitter.run(set_limits))
            .map_err(|error| PersistError::Unavailable { reason: format!("no thread: {error}") })?;
        self.running = Some(Running { shared, thread });
        Ok(())
    }

    pub(super) fn state(&self) -> Result<Slices, PersistError> {
        let running = self.running.as_ref().ok_or(PersistError::Stopped)?;
        let state = running.shared.state();
        match &state.error {
            Some(error) => Err(error.clone().into()),
            None => Ok(state.slices),
        }
    }

    /// Waits for the last slice, which `end` makes the kernel end.
    pub(super) fn stop(&mut self, end: impl FnOnce()) -> Result<Slices, PersistError> {
        let running = self.running.take().ok_or(PersistError::Stopped)?;
        let start = Instant::now();
        running.shared.stop.store(true, Ordering::Release);
        end();
        // The thread does not panic; if it did, nothing of it is needed.
        let _ = running.thread.join();
        let mut state = running.shared.state().clone();
        self.last = state.last;
        state.slices.stopped_in = start.elapsed();
        match state.error {
            Some(error) => Err(error.into()),
            None => Ok(state.slices),
        }
    }

    /// The last submission of all stays that have stopped.
    pub(super) fn last(&self) -> Submission {
        Submission::Timeline(self.last)
    }
}

/// The thread's part.
struct Submitter {
    shared: Arc<Shared>,
    mapped: Arc<Mapped>,
    commands: [ash::vk::CommandBuffer; 2],
    slice: Duration,
    timeout: Duration,
    most: StayLimits,
    passes: u32,
}

impl Submitter {
    fn limits(&self) -> StayLimits {
        StayLimits { passes: self.passes, ..self.most }
    }

    fn run(&mut self, set_limits: impl Fn(StayLimits, u32)) {
        if let Err(error) = self.submit_slices(set_limits) {
            self.shared.state().error = Some(error);
        }
    }

    /// Keeps one slice waiting behind the one that runs, so that there is no gap between them.
    fn submit_slices(&mut self, set_limits: impl Fn(StayLimits, u32)) -> Result<(), BackendError> {
        let timeline = &Arc::clone(&self.mapped).timeline;
        let (mut last_end, mut running, mut first) = (Instant::now(), None, 0u32);
        for commands in self.commands.into_iter().cycle() {
            let mut waiting = None;
            if !self.shared.stop.load(Ordering::Acquire) {
                // Its commands were those of the slice before the one that runs, which has ended.
                let number = timeline.submit(&[commands])?;
                self.shared.state().last = number;
                waiting = Some(number);
            }
            let has_ended = running.is_some();
            if let Some(number) = running {
                timeline.sleep(number, self.timeout)?;
            }
            let now = Instant::now();
            if has_ended {
                let lasted = now - last_end;
                let mut state = self.shared.state();
                state.slices.slices += 1;
                state.slices.longest = state.slices.longest.max(lasted);
                drop(state);
                self.adapt(lasted);
                first = first.wrapping_add(RUNS as u32);
                set_limits(self.limits(), first);
            }
            (last_end, running) = (now, waiting);
            if running.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Has the next slice last three quarters of what it may, growing twofold at most.
    fn adapt(&mut self, lasted: Duration) {
        let wanted = self.slice.as_secs_f64() * 0.75 / lasted.as_secs_f64().max(1e-6);
        let passes = f64::from(self.passes) * wanted.min(2.0);
        self.passes = passes.clamp(1.0, f64::from(self.most.passes)) as u32;
    }
}
