//! Everything that one submission uploads, through one buffer that is mapped between drains.

use crate::backend::BackendError;
use crate::backend::staging::Mapping;
use crate::gpu::Gpu;
use slipring_core::layout::Buffer;
use std::time::Duration;

/// Where words are to go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// A buffer of the row, from this word on.
    Buffer(Buffer, usize),
    /// The start of the work list.
    WorkList,
    /// The start of the run parameters.
    RunParams,
}

/// The buffer's memory belongs to the host (`Mapped`), or to commands that read it.
enum Owner {
    Host,
    /// Filled and unmapped, and no command that was submitted reads it.
    Nobody,
    /// Commands that were submitted read it; it comes back when they have ended.
    Device(Mapping),
}

pub(super) struct Upload {
    buffer: wgpu::Buffer,
    owner: Owner,
    words: Vec<u32>,
    parts: Vec<(Target, usize)>,
}

impl Upload {
    /// Room for `words`.
    pub(super) fn new(device: &wgpu::Device, words: usize) -> Self {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("upload"),
            size: words as u64 * 4,
            usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        let words = Vec::with_capacity(words);
        Self { buffer, owner: Owner::Host, words, parts: Vec::new() }
    }

    pub(super) fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// What was gathered, as it lies in the buffer.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Target, usize)> {
        self.parts.iter().copied()
    }

    /// Bytes gathered.
    pub(super) fn bytes(&self) -> u64 {
        self.words.len() as u64 * 4
    }

    /// Gathers words. All that is gathered for one submission fits the buffer.
    pub(super) fn add(&mut self, target: Target, words: impl Iterator<Item = u32>) {
        let before = self.words.len();
        self.words.extend(words);
        if self.words.len() > before {
            self.parts.push((target, self.words.len() - before));
        }
    }

    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.parts.clear();
    }

    /// Writes what was gathered to the buffer, for commands to copy from.
    pub(super) fn send(&mut self, gpu: &Gpu, timeout: Duration) -> Result<(), BackendError> {
        if self.words.is_empty() {
            return Ok(());
        }
        self.take_back(gpu, timeout)?;
        let view = self.buffer.get_mapped_range_mut(0..self.bytes());
        let mut view = view.map_err(|error| gpu.lose(error.to_string()))?;
        view.copy_from_slice(bytemuck::cast_slice(&self.words));
        drop(view);
        self.buffer.unmap();
        self.owner = Owner::Nobody;
        Ok(())
    }

    /// Says that the commands were submitted, and asks for the buffer back.
    pub(super) fn sent(&mut self) {
        if let Owner::Nobody = self.owner {
            self.owner = Owner::Device(self.ask_back());
        }
        self.clear();
    }

    fn ask_back(&self) -> Mapping {
        Mapping::start(&self.buffer, wgpu::MapMode::Write, 0..self.buffer.size())
    }

    /// Has the buffer mapped. After a drain has been waited for, it is already.
    fn take_back(&mut self, gpu: &Gpu, timeout: Duration) -> Result<(), BackendError> {
        let mapping = match std::mem::replace(&mut self.owner, Owner::Nobody) {
            Owner::Host => return Ok(()),
            Owner::Nobody => self.ask_back(),
            Owner::Device(mapping) => mapping,
        };
        if !mapping.is_answered() {
            gpu.wait_all(timeout)?;
        }
        mapping.check(gpu)?;
        self.owner = Owner::Host;
        Ok(())
    }
}
