//! What a dispatch did, and what it cost.

use crate::backend::Cost;
use std::time::Duration;

/// One dispatch's results and costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Slots that finished well.
    pub done: u32,
    /// Slots that ended in FAULT.
    pub faults: u32,
    /// Slots that the drain looked at.
    pub looked_at: u32,
    /// Slots that it left PUBLISHED: shut down, paused, behind a fence, or short of an IO slot.
    pub unclaimed: u32,
    /// Slots that wait for I/O now, whether it looked at them or not.
    pub waiting_io: u32,
    /// Bytes of host buffers that the call took in: 0 but on the byte path.
    pub input_bytes: u64,
    /// Bytes of host buffers that the call gave out: 0 but on the byte path.
    pub output_bytes: u64,
    /// Bytes that went to the device: dirty words, the work list, run parameters.
    pub uploaded_bytes: u64,
    /// Bytes that came back.
    pub readback_bytes: u64,
    /// Device buffers that were allocated for the call: none, all are created on opening.
    pub device_allocations: u32,
    /// Their bytes.
    pub device_allocation_bytes: u64,
    /// Kernel dispatches.
    pub launches: u32,
    /// Lanes of these, idle ones included.
    pub lanes: u64,
    /// Times the host waited for the device.
    pub sync_points: u32,
    /// Rows of the submission.
    pub rows: u32,
    /// Resident buffers that the kernel was bound to, four a row.
    pub handles: u32,
    /// From the start of the submission until it was seen to have ended.
    pub latency: Duration,
    /// Devices that were lost and replaced since the last dispatch that succeeded; see
    /// [`recovery`](crate::recovery).
    pub recovered: u32,
}

impl Drained {
    pub(crate) fn of(cost: Cost) -> Self {
        Self {
            uploaded_bytes: cost.uploaded_bytes,
            readback_bytes: cost.readback_bytes,
            launches: cost.launches,
            lanes: cost.lanes,
            sync_points: cost.sync_points,
            rows: 1,
            handles: 4,
            ..Self::default()
        }
    }

    /// Bytes that were copied between host and device memory, either way: 0 where they are one.
    pub fn moved_bytes(&self) -> u64 {
        self.uploaded_bytes + self.readback_bytes
    }

    /// This and another row of the same submission.
    pub(crate) fn with(self, other: &Self) -> Self {
        Self {
            done: self.done + other.done,
            faults: self.faults + other.faults,
            looked_at: self.looked_at + other.looked_at,
            unclaimed: self.unclaimed + other.unclaimed,
            waiting_io: self.waiting_io + other.waiting_io,
            input_bytes: self.input_bytes + other.input_bytes,
            output_bytes: self.output_bytes + other.output_bytes,
            uploaded_bytes: self.uploaded_bytes + other.uploaded_bytes,
            readback_bytes: self.readback_bytes + other.readback_bytes,
            device_allocations: self.device_allocations + other.device_allocations,
            device_allocation_bytes: self.device_allocation_bytes + other.device_allocation_bytes,
            launches: self.launches + other.launches,
            lanes: self.lanes + other.lanes,
            sync_points: self.sync_points.max(other.sync_points),
            rows: self.rows + other.rows,
            handles: self.handles + other.handles,
            latency: self.latency.max(other.latency),
            recovered: self.recovered.max(other.recovered),
        }
    }
}
