//! Cuts a drain into dispatches.

use super::LaneOrder;
use crate::kernel::{DispatchLimits, Entry, IterationError, Kernel, LLVMPIPE_ITERATIONS};
use crate::work::WorkList;

/// Entries of one run where the device has no loop limit: they keep every run short.
const SHORT_RUNS: DispatchLimits = DispatchLimits { serial_slots: 1024, fences: 256 };
/// Loop iterations that one dispatch may make at most, if every job makes the most it can: a few
/// tenths of a second on a small GPU, whose kernel driver (V3D) resets it after half a second.
const DISPATCH_ITERATIONS: u64 = 1 << 28;

/// One dispatch: `count` entries of the work list from `offset` on, in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) entry: Entry,
    pub(super) offset: u32,
    pub(super) count: u32,
    pub(super) segment: u32,
}

impl Run {
    /// The words of its parameters that are not 0: offset, count, and the segment at 5.
    pub(super) fn params(self) -> [u32; 6] {
        [self.offset, self.count, 0, 0, 0, self.segment]
    }

    /// Workgroups of the dispatch.
    pub(super) fn groups(self) -> u32 {
        match self.entry {
            Entry::Drain => self.count.div_ceil(Kernel::LANES),
            _ => 1,
        }
    }

    /// Lanes of the dispatch, idle ones included.
    pub(super) fn lanes(self) -> u64 {
        match self.entry {
            Entry::Serial => 1,
            _ => u64::from(self.groups() * Kernel::LANES),
        }
    }
}

/// The runs of a drain, in the order they must go.
pub(super) struct Plan {
    entry: Entry,
    slots: u32,
    fences: u32,
    segments: u32,
    runs: Vec<Run>,
}

impl Plan {
    /// A plan for drains of `kernel` on a device that ends loops, as the CPU device does, or not.
    pub(super) fn new(
        kernel: &Kernel,
        ring_slots: u32,
        ends_loops: bool,
        order: LaneOrder,
    ) -> Result<Self, IterationError> {
        let limits = match ends_loops {
            true => kernel.dispatch_limits(LLVMPIPE_ITERATIONS, ring_slots)?,
            false => SHORT_RUNS,
        };
        let in_budget = DISPATCH_ITERATIONS / kernel.iterations_per_look().max(1);
        let slots = match order {
            LaneOrder::Parallel => in_budget.clamp(Kernel::LANES.into(), u32::MAX.into()) as u32,
            LaneOrder::Serial => limits.serial_slots,
        };
        let entry = Entry::of(order);
        let (fences, segments) = (limits.fences, kernel.segments());
        Ok(Self { entry, slots, fences, segments, runs: Vec::new() })
    }

    /// The entry point for slots.
    pub(super) fn entry(&self) -> Entry {
        self.entry
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Plans a drain of `work`.
    pub(super) fn make(&mut self, work: &WorkList) {
        self.runs.clear();
        let mut first = 0;
        for level in work.levels() {
            for segment in 0..self.segments {
                self.cut(self.entry, first, level.len(), self.slots, segment);
            }
            first += level.len() as u32;
        }
        self.cut(Entry::Fence, first, work.fences().len(), self.fences, 0);
    }

    /// Runs of at most `step` entries each.
    fn cut(&mut self, entry: Entry, first: u32, entries: usize, step: u32, segment: u32) {
        let (mut offset, end) = (first, first + entries as u32);
        while offset < end {
            let count = step.min(end - offset);
            self.runs.push(Run { entry, offset, count, segment });
            offset += count;
        }
    }
}
