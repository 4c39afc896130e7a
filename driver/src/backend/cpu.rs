//! The twin as a backend: the kernel on the CPU, over a row of its own, so that uploads and
//! readback mean what they mean on a GPU.

use super::{Backend, BackendError, BackendInfo, Cost, Drain};
use crate::host_row::{HostRow, load_words, store_words};
use crate::kernel::{CpuHandler, Handler, Kernel};
use crate::open::OpenError;
use crate::work::{level_of, slot_of};
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::twin::{Call, Twin};
use std::ops::Range;
use std::sync::atomic::AtomicU32;

pub(crate) struct Cpu {
    host: HostRow,
    device: HostRow,
    handlers: Vec<(u32, CpuHandler)>,
    workspace: Box<[AtomicU32]>,
    fused: Option<u32>,
    segments: u32,
    info: BackendInfo,
}

impl Cpu {
    /// A twin of `kernel`, if every handler has one.
    pub(crate) fn new(
        kernel: &Kernel,
        geometry: Geometry,
        workspace_words: usize,
        reason: String,
    ) -> Result<Self, OpenError> {
        let twin = |handler: &Handler| {
            let missing = || OpenError::NoCpuTwin {
                function: handler.function().to_owned(),
                reason: reason.clone(),
            };
            Ok((handler.opcode(), handler.cpu().ok_or_else(missing)?))
        };
        let handlers = kernel.handlers().iter().map(twin).collect::<Result<_, OpenError>>()?;
        let fused = kernel.handlers().first().filter(|_| kernel.is_fused()).map(Handler::opcode);
        let mut workspace = Vec::new();
        let bytes = 4 * workspace_words as u64;
        let reserved = workspace.try_reserve_exact(workspace_words);
        reserved.map_err(|_| OpenError::OutOfMemory { bytes })?;
        workspace.extend((0..workspace_words).map(|_| AtomicU32::new(0)));
        let adapter = "the kernel's twin on the CPU".to_owned();
        let (host, device) = (HostRow::new(geometry), HostRow::new(geometry));
        Ok(Self {
            host,
            device,
            handlers,
            workspace: workspace.into(),
            fused,
            segments: kernel.segments(),
            info: BackendInfo { backend: "twin", adapter, is_cpu: true, reason },
        })
    }
}

impl Backend for Cpu {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn host(&self) -> &HostRow {
        &self.host
    }

    fn start(&mut self, drain: &Drain<'_>) -> Result<Cost, BackendError> {
        let handlers = &self.handlers;
        let run = |call: &Call<'_, AtomicU32>| {
            let found = handlers.iter().find(|(opcode, _)| *opcode == call.opcode());
            found.map(|(_, handler)| handler(call))
        };
        let mut cost = Cost { sync_points: 1, ..Cost::default() };
        cost.uploaded_bytes = self.device.copy_from(&self.host, drain.uploads);
        let twin = Twin::new(self.device.row(), &self.workspace[..], run);
        let mut twin = twin.segments(self.segments);
        if let Some(opcode) = self.fused {
            twin = twin.fused(opcode);
        }
        for level in drain.work.levels() {
            for segment in 0..self.segments {
                twin.enter_segment(segment);
                level.iter().for_each(|&entry| twin.look(slot_of(entry), level_of(entry)));
                cost.launches += 1;
                cost.lanes += level.len() as u64;
            }
        }
        twin.enter_segment(0);
        for &entry in drain.work.fences() {
            twin.fence(slot_of(entry), level_of(entry));
        }
        cost.launches += u32::from(!drain.work.fences().is_empty());
        cost.lanes += drain.work.fences().len() as u64;
        cost.readback_bytes = drain.readback.iter().map(|(_, range)| 4 * range.len() as u64).sum();
        Ok(cost)
    }

    fn finish(&mut self, readback: &[(Buffer, Range<usize>)]) -> Result<(), BackendError> {
        self.host.copy_from(&self.device, readback);
        Ok(())
    }

    fn write_workspace(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        store_words(&self.workspace, first, words.iter().copied());
        Ok(())
    }

    fn read_workspace(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        load_words(&self.workspace, first, words);
        Ok(())
    }
}
