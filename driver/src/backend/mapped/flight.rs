//! What one drain in flight has to itself.

use super::Mapped;
use crate::backend::plan::{Plan, Run};
use crate::backend::{BackendError, Submission};
use crate::host_row::store_words;
use crate::kernel::{Entry, Kernel};
use crate::vulkan::{Allocation, Bindings, DISPATCH_WORDS, Placement, RUNS, Recording, Usage};
use crate::work::WorkList;
use ash::vk;
use std::ops::Range;

pub(super) struct Flight {
    plan: Plan,
    recording: Recording,
    // What the commands use is dropped after them.
    bindings: Bindings,
    work: Allocation,
    run_params: Allocation,
    arguments: Allocation,
    /// What it has submitted last.
    pub(super) submission: Submission,
}

impl Flight {
    /// A flight over all that the row binds: its buffers, workspace and arena.
    pub(super) fn new(
        mapped: &Mapped,
        plan: Plan,
        slots: u32,
        row: &[Allocation],
        others: [&Allocation; 2],
    ) -> Result<Self, BackendError> {
        let allocate =
            |words, usage| Allocation::new(&mapped.device, words, usage, Placement::HostWrites);
        let work = allocate(slots as usize, Usage::Storage)?;
        let run_params = allocate(RUNS * Kernel::RUN_STRIDE / 4, Usage::Uniform)?;
        let arguments = allocate(RUNS * DISPATCH_WORDS, Usage::Indirect)?;
        let storage = row.iter().chain(others).chain([&work]);
        let bindings = Bindings::new(&mapped.pipelines, storage, &run_params)?;
        let (device, pipelines) = (&mapped.device, &mapped.pipelines);
        let recording = Recording::drains(device, pipelines, &bindings, plan.entry(), &arguments)?;
        let submission = Submission::Ended;
        Ok(Self { plan, recording, bindings, work, run_params, arguments, submission })
    }

    /// Writes the work list and plans its runs.
    pub(super) fn begin(&mut self, work: &WorkList) {
        self.set_work(work.levels().chain([work.fences()]).flatten().copied());
        self.plan.make(work);
    }

    /// The commands of the runs from `first` on, and these runs: as many as one submission takes.
    pub(super) fn commands(&mut self, first: usize) -> (vk::CommandBuffer, Range<usize>) {
        let range = batch(self.plan.runs(), first);
        let runs = &self.plan.runs()[range.clone()];
        for (index, run) in runs.iter().enumerate() {
            store(&self.run_params, index * Kernel::RUN_STRIDE / 4, run.params().into_iter());
            store(&self.arguments, index * DISPATCH_WORDS, [run.groups(), 1, 1].into_iter());
        }
        let fences = runs.iter().filter(|run| run.entry == Entry::Fence).count();
        (self.recording.of_runs(runs.len() - fences, fences > 0), range)
    }

    /// Commands that run every pipeline over no entries.
    pub(super) fn idle_commands(&self) -> vk::CommandBuffer {
        store(&self.arguments, 0, [1; RUNS * DISPATCH_WORDS].into_iter());
        self.recording.of_runs(1, true)
    }

    pub(super) fn runs(&self) -> &[Run] {
        self.plan.runs()
    }

    pub(super) fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// The parameters of its runs, which a kernel that stays on has too.
    pub(super) fn run_params(&self) -> &Allocation {
        &self.run_params
    }

    /// Writes entries of the work list.
    pub(super) fn set_work(&self, entries: impl Iterator<Item = u32>) {
        store(&self.work, 0, entries);
    }
}

/// Writes words of an allocation that the host sees.
pub(super) fn store(allocation: &Allocation, first: usize, words: impl Iterator<Item = u32>) {
    store_words(allocation.mapped().unwrap_or(&[]), first, words);
}

/// The runs from `start` on that go in one submission: those of slots, then one of fences.
fn batch(runs: &[Run], start: usize) -> Range<usize> {
    let rest = &runs[start..];
    let drains = rest.iter().take(RUNS - 1).take_while(|run| run.entry != Entry::Fence).count();
    let has_fence = rest.get(drains).is_some_and(|run| run.entry == Entry::Fence);
    start..start + drains + usize::from(has_fence)
}
