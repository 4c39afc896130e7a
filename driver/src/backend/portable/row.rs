//! A row of safe wgpu's: the host's words are a copy.

use super::flight::{Flight, PARAMS_WORDS};
use super::{Portable, RUNS};
use crate::arena::{Arena, Rung};
use crate::backend::plan::Plan;
use crate::backend::staging::STAGING_WORDS;
use crate::backend::{
    BackendError, BackendInfo, Batch, Cost, Drain, Resident, RowOptions, Submission,
};
use crate::gpu::{Gpu, Needs};
use crate::host_row::{HostRow, load_words, store_words};
use crate::open::OpenError;
use slipring_core::layout::Buffer;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Row {
    host: HostRow,
    info: BackendInfo,
    timeout: Duration,
    /// The four buffers, the workspace and the arena.
    buffers: Vec<wgpu::Buffer>,
    flights: Vec<Flight>,
    arena: Option<Arc<Arena>>,
    /// Room for a chunk on its way into the arena.
    chunk: Vec<u32>,
    portable: Arc<Portable>,
}

/// Where the workspace is among the buffers.
const WORKSPACE: usize = Buffer::ALL.len();
/// Where the arena is.
const ARENA: usize = WORKSPACE + 1;

/// Words that go up and come back at most.
fn copied_words(options: &RowOptions) -> [usize; 2] {
    let geometry = options.geometry;
    let row: usize = Buffer::ALL.iter().map(|&buffer| geometry.words(buffer)).sum();
    [row + geometry.slots() as usize + PARAMS_WORDS, row.max(STAGING_WORDS)]
}

/// What a row's buffers need of a GPU.
pub(super) fn needs(options: &RowOptions) -> Needs {
    let row = Buffer::ALL.into_iter().map(|buffer| options.geometry.words(buffer));
    let others = [options.workspace_words, options.arena_words()];
    let largest_binding = row.chain(others).fold(0, usize::max);
    let largest_buffer = copied_words(options).into_iter().fold(largest_binding, usize::max);
    let [largest_binding, largest_buffer] =
        [largest_binding, largest_buffer].map(|words| words as u64 * 4);
    Needs { largest_binding, largest_buffer }
}

impl Row {
    /// Creates everything that the row will ever need.
    pub(super) fn open(portable: Arc<Portable>, options: &RowOptions) -> Result<Self, OpenError> {
        let (gpu, geometry) = (&portable.gpu, options.geometry);
        gpu.check_limits(needs(options))?;
        let resident = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::COPY_SRC;
        let row = Buffer::ALL.map(|buffer| (buffer.name(), geometry.words(buffer)));
        let others = [("workspace", options.workspace_words), ("arena", options.arena_words())];
        let named = row.into_iter().chain(others);
        let buffers: Vec<_> =
            named.map(|(label, words)| gpu.create_buffer(label, words, resident)).collect();
        let slots = geometry.slots();
        let flight = |_| -> Result<_, OpenError> {
            let plan = Plan::new(&portable.kernel, slots, gpu.ends_loops(), portable.order)?;
            Ok(Flight::new(&portable, plan, slots, &buffers, copied_words(options)))
        };
        let flights = (0..options.in_flight).map(flight).collect::<Result<Vec<_>, _>>()?;
        portable.warm_up(&flights[0].bind_group)?;
        gpu.check()?;
        let info = BackendInfo {
            backend: "portable",
            adapter: gpu.info().name.clone(),
            is_cpu: gpu.ends_loops(),
            reason: gpu.reason().to_owned(),
        };
        let (host, timeout) = (HostRow::new(geometry, options.storage.clone()), options.timeout);
        let arena = options.arena.clone();
        if let Some(arena) = &arena {
            let reason = format!("the backend is {}, whose memory is wgpu's", info.backend);
            arena.choose(arena.in_pages(Rung::Bounce, reason));
        }
        let chunk_words = arena.as_ref().map_or(0, |arena| arena.options().chunk_bytes / 4);
        let chunk = vec![0; chunk_words as usize];
        Ok(Self { host, info, timeout, buffers, flights, arena, chunk, portable })
    }
}

impl Row {
    fn write(&self, buffer: usize, first: usize, words: &[u32]) -> Result<(), BackendError> {
        let gpu = &self.portable.gpu;
        gpu.check()?;
        gpu.write(&self.buffers[buffer], first as u64 * 4, bytemuck::cast_slice(words));
        gpu.check()
    }

    fn read(&self, buffer: usize, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        let gpu = &self.portable.gpu;
        gpu.check()?;
        // No drain is in flight.
        let staging = &self.flights[0].staging;
        staging.read_buffer(gpu, &self.buffers[buffer], first, words, self.timeout)
    }
}

impl Resident for Row {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn host(&self) -> &HostRow {
        &self.host
    }

    fn stage(
        &mut self,
        drain: &Drain<'_>,
        first: usize,
        batch: &mut Batch,
    ) -> Result<(Cost, Option<usize>), BackendError> {
        let gpu = &self.portable.gpu;
        let flight = &mut self.flights[drain.flight];
        if first == 0 {
            gpu.check()?;
            flight.begin(&self.host, drain);
        }
        let planned = flight.plan.runs().len();
        let end = planned.min(first + RUNS);
        let mut encoder = gpu.encoder();
        let uploaded =
            flight.encode(&self.portable, &mut encoder, &self.buffers, first..end, self.timeout)?;
        let mut staged = 0;
        if end == planned {
            for (buffer, range) in drain.readback {
                let (offset, size) = (range.start as u64 * 4, range.len() as u64 * 4);
                let source = &self.buffers[*buffer as usize];
                let staging = flight.staging.buffer();
                encoder.copy_buffer_to_buffer(source, offset, staging, staged, size);
                staged += size;
            }
        }
        batch.wgpu.push(encoder.finish());
        let runs = &flight.plan.runs()[first..end];
        Ok((Cost::of(runs, uploaded, staged), (end < planned).then_some(end)))
    }

    fn submitted(&mut self, flight: usize, submission: &Submission) {
        let flight = &mut self.flights[flight];
        if let Submission::Wgpu(index) = submission {
            flight.submission = Some(index.clone());
        }
        flight.upload.sent();
    }

    fn finish(
        &mut self,
        flight: usize,
        readback: &[(Buffer, Range<usize>)],
    ) -> Result<(), BackendError> {
        let flight = &mut self.flights[flight];
        let Some(submission) = flight.submission.clone() else { return Ok(()) };
        let words: usize = readback.iter().map(|(_, range)| range.len()).sum();
        let (bytes, timeout) = (words as u64 * 4, self.timeout);
        flight.staging.read(&self.portable.gpu, submission, bytes, timeout, |words| {
            self.host.fill_ranges(readback, words);
        })
    }

    fn write_workspace(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        self.write(WORKSPACE, first, words)
    }

    fn read_workspace(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        self.read(WORKSPACE, first, words)
    }

    fn write_arena(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        self.write(ARENA, first, words)
    }

    fn read_arena(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        self.read(ARENA, first, words)
    }

    fn gpu(&self) -> Option<&Gpu> {
        Some(&self.portable.gpu)
    }

    fn buffer(&self, buffer: Buffer) -> Option<&wgpu::Buffer> {
        Some(&self.buffers[buffer as usize])
    }

    fn workspace(&self) -> Option<&wgpu::Buffer> {
        Some(&self.buffers[WORKSPACE])
    }

    fn deliver_arena(&mut self, words: Range<usize>) -> Result<(), BackendError> {
        let Some(arena) = self.arena.clone() else { return Ok(()) };
        for first in words.clone().step_by(self.chunk.len()) {
            let len = self.chunk.len().min(words.end - first);
            load_words(arena.pages().words(), first, &mut self.chunk[..len]);
            self.write(ARENA, first, &self.chunk[..len])?;
        }
        Ok(())
    }

    fn fetch_arena(&mut self, words: Range<usize>) -> Result<(), BackendError> {
        let Some(arena) = self.arena.clone() else { return Ok(()) };
        for first in words.clone().step_by(self.chunk.len()) {
            let len = self.chunk.len().min(words.end - first);
            let mut chunk = std::mem::take(&mut self.chunk);
            let read = self.read(ARENA, first, &mut chunk[..len]);
            self.chunk = chunk;
            read?;
            store_words(arena.pages().words(), first, self.chunk[..len].iter().copied());
        }
        Ok(())
    }

    fn arena(&self) -> Option<&wgpu::Buffer> {
        Some(&self.buffers[ARENA])
    }
}
