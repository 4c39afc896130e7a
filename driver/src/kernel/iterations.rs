//! How many loop iterations a dispatch may make, for devices that end loops after some number.

use super::Kernel;
use super::error::IterationError;
use super::handler::Handler;
use super::loops::{LoopCounter, Loops};
use naga::Module;
use slipring_core::{io_queue, opcode, packed};

/// After so many iterations llvmpipe silently ends every loop of a shader invocation.
///
/// Mesa's gallivm keeps one counter for a vector of lanes (`LP_MAX_TGSI_LOOP_ITERATIONS`) and
/// takes one off at the end of each pass of any loop. Lanes of a vector go together: a loop on
/// a path that none of them takes is still passed once, and divergent lanes' loops add up.
/// (Seen on Mesa 22.3.6; `tests/driver_limits.rs` holds the accounting here against the real
/// thing.)
pub const LLVMPIPE_ITERATIONS: u32 = 65_535;

/// Rounds that an exchange of the debug cursor may lose to other lanes, where adding is no
/// longer safe: near the end of what the cursor can count.
const CONTENDED_ROUNDS: u64 = 64;
/// Rounds of a look for a free IO slot.
const SCAN_ROUNDS: u64 = io_queue::MAX_SLOTS as u64;
/// Lanes of llvmpipe's vectors: each iteration of a loop that prints may lose to the others.
const VECTOR_LANES: u64 = 8;

/// The ordinary kernel's loops that may go round more than once, and how often one look does.
/// Loops around a compare-exchange only guard against failing for no reason, which those of
/// Vulkan do not.
pub(super) const ROUNDS: [(&str, u64); 7] = [
    ("claim", 0),
    ("exchange", 0),
    ("is_packed_valid", packed::MAX_OPS as u64),
    ("memcpy", (packed::MAX_OPS * opcode::MEMCPY_MAX_WORDS as usize) as u64),
    ("reserve_io_slot", SCAN_ROUNDS),
    ("run_slot", packed::MAX_OPS as u64),
    ("take_record", CONTENDED_ROUNDS),
];

/// What one dispatch may do on a device with a loop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchLimits {
    /// Slots of a [`Kernel::DRAIN_SERIAL`] dispatch.
    pub serial_slots: u32,
    /// Fences of a [`Kernel::FENCE`] dispatch.
    pub fences: u32,
}

/// What one dispatch of [`Kernel::PERSIST`] may do on a device with a loop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StayLimits {
    /// Passes of loops that each lane makes at most: one to poll an entry.
    pub passes: u32,
    /// As how many passes a look at an entry counts.
    pub look_passes: u32,
    /// Iterations that a workgroup's jobs may make, beyond those of every look, before it ends.
    pub budget: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Iterations {
    per_look: u64,
    /// Loops that a look passes even when it does nothing.
    look_loops: u64,
    /// Of `per_look`, what a kernel without handlers makes.
    kernel: u64,
    /// The most that a look makes but for what `extra_iterations` counts in the shaders.
    uncounted: u64,
    /// The same for one fence.
    fence_loops: u64,
}

impl Iterations {
    pub(super) fn count(module: &Module, handlers: &[(&Handler, Loops)], is_fused: bool) -> Self {
        let mut counter = LoopCounter::new(module, &|_| false);
        let mut loops_of = |name| {
            let mut functions = module.functions.iter();
            let found = functions.find(|(_, function)| function.name.as_deref() == Some(name));
            found.map_or(0, |(handle, _)| counter.of_function(handle).kernel)
        };
        let (look_loops, op_loops) = (loops_of("look"), loops_of("run_op"));
        let mut fences = module.entry_points.iter().filter(|entry| entry.name == Kernel::FENCE);
        let fence_loops = fences.next().map_or(0, |fence| counter.of_kernel(&fence.function));
        // Every loop once, those of an operation once for each a packed slot may have, and then
        // the rounds of the lanes for which a loop is not over at once. A fused kernel has no
        // packed slots, and what goes round is its handler's.
        let passes = if is_fused { 1 } else { packed::MAX_OPS as u64 };
        let mut per_look = look_loops + (passes - 1) * op_loops;
        let mut uncounted = per_look;
        if !is_fused {
            // Of a packed slot: the check of its operations, and the operations.
            uncounted += 2 * passes;
            per_look += ROUNDS.iter().map(|(_, rounds)| rounds).sum::<u64>();
        }
        let kernel = per_look;
        for (handler, loops) in handlers {
            let iterations = u64::from(handler.max_iterations());
            let nested_scans = iterations.saturating_mul(loops.nested_scans);
            let scans = loops.scans.saturating_add(nested_scans).saturating_mul(SCAN_ROUNDS);
            let rounds = iterations.saturating_sub(loops.own)
                + (loops.kernel - loops.scans).saturating_mul(CONTENDED_ROUNDS)
                + if loops.nested > 0 { iterations.saturating_mul(VECTOR_LANES) } else { 0 };
            let rounds = rounds.saturating_add(scans);
            let passes = if opcode::is_packable(handler.opcode()) { passes } else { 1 };
            per_look = per_look.saturating_add(passes.saturating_mul(rounds));
        }
        // The loop over fences is the caller's below.
        let fence_loops = fence_loops.saturating_sub(1);
        Self { per_look, kernel, look_loops, uncounted, fence_loops }
    }

    pub(super) fn per_look(&self) -> u64 {
        self.per_look
    }

    pub(super) fn stay_limits(
        &self,
        limit: u32,
        ring_slots: u32,
    ) -> Result<StayLimits, IterationError> {
        // The loop around, the poll that ends polling, and the loop over a fence's window.
        let look_passes = self.uncounted + 3;
        let last = self.per_look.saturating_add(u64::from(ring_slots)).saturating_add(look_passes);
        // Half of what the longest look leaves is for polls and looks, half for jobs. (A lane may
        // be one look past its passes.)
        let half = u64::from(limit).saturating_sub(last) / 2;
        // Each lane begins at its first slot again in each dispatch, and must come round.
        let share = u64::from(ring_slots.div_ceil(Kernel::NARROW_LANES));
        if half < look_passes + share {
            let iterations = last + 2 * (look_passes + share);
            return Err(IterationError::Stay { iterations, ring_slots, limit });
        }
        let [passes, look_passes, budget] =
            [half - look_passes, look_passes, half].map(|passes| passes as u32);
        Ok(StayLimits { passes, look_passes, budget })
    }

    pub(super) fn dispatch_limits(
        &self,
        limit: u32,
        ring_slots: u32,
    ) -> Result<DispatchLimits, IterationError> {
        // A loop over n entries makes n + 1 passes; the last does nothing but passes all loops.
        let fit = |per_entry: u64, idle: u64| {
            let entries = u64::from(limit).saturating_sub(1 + idle) / (1 + per_entry);
            entries.min(u64::from(u32::MAX)) as u32
        };
        let serial_slots = fit(self.per_look, self.look_loops);
        if serial_slots == 0 {
            let (iterations, kernel) = (self.per_look, self.kernel);
            return Err(IterationError::Look { iterations, kernel, limit });
        }
        let window = ring_slots.saturating_sub(1).div_ceil(Kernel::LANES);
        let per_fence = self.fence_loops + u64::from(window);
        let fences = fit(per_fence, self.fence_loops);
        if fences == 0 {
            return Err(IterationError::Fence { iterations: per_fence, ring_slots, limit });
        }
        Ok(DispatchLimits { serial_slots, fences })
    }
}
