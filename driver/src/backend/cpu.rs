//! The twin as a backend: the kernel on the CPU, over a row of its own, so that uploads and
//! readback mean what they mean on a GPU.

use super::{
    Backend, BackendError, BackendInfo, Batch, Cost, Drain, Resident, RowOptions, Submission,
};
use crate::arena::{Arena, Rung};
use crate::host_row::{HostRow, load_words, store_words};
use crate::kernel::{CpuHandler, Handler, Kernel};
use crate::open::{BackendChoice, OpenError};
use crate::work::{level_of, slot_of};
use slipring_core::layout::Buffer;
use slipring_core::twin::{Call, Twin};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(crate) struct Cpu {
    handlers: Vec<(u32, CpuHandler)>,
    fused: Option<u32>,
    segments: u32,
    reason: String,
}

impl Cpu {
    /// A twin of `kernel`, if every handler has one.
    pub(crate) fn open(kernel: &Kernel, reason: String) -> Result<Self, OpenError> {
        let twin = |handler: &Handler| {
            let missing = || OpenError::NoCpuTwin {
                function: handler.function().to_owned(),
                reason: reason.clone(),
            };
            Ok((handler.opcode(), handler.cpu().ok_or_else(missing)?))
        };
        let handlers = kernel.handlers().iter().map(twin).collect::<Result<_, OpenError>>()?;
        let fused = kernel.handlers().first().filter(|_| kernel.is_fused()).map(Handler::opcode);
        Ok(Self { handlers, fused, segments: kernel.segments(), reason })
    }
}

impl Backend for Cpu {
    fn choice(&self) -> BackendChoice {
        BackendChoice::Twin
    }

    fn open_row(self: Arc<Self>, options: &RowOptions) -> Result<Box<dyn Resident>, OpenError> {
        let geometry = options.geometry;
        if let Some(arena) = &options.arena {
            arena.choose(arena.in_pages(Rung::Pages, String::new()));
        }
        let adapter = "the kernel's twin on the CPU".to_owned();
        let reason = self.reason.clone();
        Ok(Box::new(Row {
            host: HostRow::new(geometry, options.storage.clone()),
            device: HostRow::new(geometry, None),
            workspace: zeroed(options.workspace_words)?,
            arena: options.arena.clone(),
            no_arena: [AtomicU32::new(0)],
            staged: vec![Vec::new(); options.in_flight],
            info: BackendInfo { backend: "twin", adapter, is_cpu: true, reason },
            cpu: self,
        }))
    }

    fn submit(&self, _batch: &mut Batch) -> Result<Submission, BackendError> {
        Ok(Submission::Ended)
    }

    fn is_finished(&self, _submission: &Submission) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn wait(&self, _submission: &Submission, _timeout: Duration) -> Result<(), BackendError> {
        Ok(())
    }

    fn lose_by(&self, error: BackendError) -> BackendError {
        error
    }
}

fn zeroed(words: usize) -> Result<Box<[AtomicU32]>, OpenError> {
    let mut zeroed = Vec::new();
    let reserved = zeroed.try_reserve_exact(words);
    reserved.map_err(|_| OpenError::OutOfMemory { bytes: 4 * words as u64 })?;
    zeroed.extend((0..words).map(|_| AtomicU32::new(0)));
    Ok(zeroed.into())
}

struct Row {
    cpu: Arc<Cpu>,
    host: HostRow,
    device: HostRow,
    workspace: Box<[AtomicU32]>,
    arena: Option<Arc<Arena>>,
    /// What is bound in place of one.
    no_arena: [AtomicU32; 1],
    /// Of each flight, the words to bring back.
    staged: Vec<Vec<u32>>,
    info: BackendInfo,
}

impl Row {
    fn arena_words(&self) -> &[AtomicU32] {
        match &self.arena {
            Some(arena) => &arena.pages().words()[..arena.options().words() as usize],
            None => &self.no_arena,
        }
    }
}

impl Resident for Row {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn host(&self) -> &HostRow {
        &self.host
    }

    /// Runs the drain at once.
    fn stage(
        &mut self,
        drain: &Drain<'_>,
        _first: usize,
        _batch: &mut Batch,
    ) -> Result<(Cost, Option<usize>), BackendError> {
        let Cpu { handlers, segments, .. } = &*self.cpu;
        let run = |call: &Call<'_, AtomicU32>| {
            let found = handlers.iter().find(|(opcode, _)| *opcode == call.opcode());
            found.map(|(_, handler)| handler(call))
        };
        let uploaded_bytes = self.device.copy_from(&self.host, drain.uploads);
        let mut cost = Cost { uploaded_bytes, ..Cost::default() };
        let twin = Twin::new(self.device.row(), &self.workspace[..], run);
        let mut twin = twin.arena(self.arena_words()).segments(*segments);
        if let Some(opcode) = self.cpu.fused {
            twin = twin.fused(opcode);
        }
        for level in drain.work.levels() {
            for segment in 0..*segments {
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
        let words = drain.readback.iter().flat_map(|(buffer, range)| {
            let words = self.device.words(*buffer)[range.clone()].iter();
            words.map(|word| word.load(Ordering::Relaxed))
        });
        let staged = &mut self.staged[drain.flight];
        staged.clear();
        staged.extend(words);
        cost.readback_bytes = 4 * staged.len() as u64;
        Ok((cost, None))
    }

    fn submitted(&mut self, _flight: usize, _submission: &Submission) {}

    fn finish(
        &mut self,
        flight: usize,
        readback: &[(Buffer, Range<usize>)],
    ) -> Result<(), BackendError> {
        self.host.fill_ranges(readback, &self.staged[flight]);
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

    fn write_arena(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        store_words(self.arena_words(), first, words.iter().copied());
        Ok(())
    }

    fn read_arena(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        load_words(self.arena_words(), first, words);
        Ok(())
    }
}
