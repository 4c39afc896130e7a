//! Bytes on their way between the host and buffers that it does not see.

use super::BackendError;
use crate::gpu::Gpu;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Words that a staging buffer for any length has.
pub(crate) const STAGING_WORDS: usize = 1 << 16;

/// How long the answer of a mapping may take after the wait for it.
const ANSWER: Duration = Duration::from_secs(1);

/// A mapping of a buffer that has been asked for.
pub(super) struct Mapping(Arc<OnceLock<Mapped>>);

type Mapped = Result<(), wgpu::BufferAsyncError>;

impl Mapping {
    /// Asks for bytes of `buffer`; a later wait brings the answer.
    pub(super) fn start(buffer: &wgpu::Buffer, mode: wgpu::MapMode, bytes: Range<u64>) -> Self {
        let answer = Arc::new(OnceLock::new());
        let told = Arc::clone(&answer);
        buffer.map_async(mode, bytes, move |mapped| {
            // Set once: wgpu calls back once.
            let _ = told.set(mapped);
        });
        Self(answer)
    }

    /// Whether the answer has come.
    pub(super) fn is_answered(&self) -> bool {
        self.0.get().is_some()
    }

    /// Whether the bytes are mapped, after a wait. All else counts as a loss of the device.
    pub(super) fn check(&self, gpu: &Gpu) -> Result<(), BackendError> {
        let start = Instant::now();
        loop {
            match self.0.get() {
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => return Err(gpu.lose(error.to_string())),
                // Another thread, which waits for a row of its own, is about to say.
                None if start.elapsed() < ANSWER => std::thread::yield_now(),
                None => return Err(gpu.lose("a buffer was not mapped".to_owned())),
            }
        }
    }
}

/// A buffer that commands copy to, for the host to read.
pub(super) struct Staging {
    buffer: wgpu::Buffer,
}

impl Staging {
    pub(super) fn new(device: &wgpu::Device, words: usize) -> Self {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: words as u64 * 4,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self { buffer }
    }

    pub(super) fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Waits for `submission`, then hands the first `bytes` to `read`.
    pub(super) fn read(
        &self,
        gpu: &Gpu,
        submission: wgpu::SubmissionIndex,
        bytes: u64,
        timeout: Duration,
        read: impl FnOnce(&[u32]),
    ) -> Result<(), BackendError> {
        let mapping = Mapping::start(&self.buffer, wgpu::MapMode::Read, 0..bytes);
        gpu.wait(submission, timeout)?;
        mapping.check(gpu)?;
        let view = self.buffer.get_mapped_range(0..bytes);
        let view = view.map_err(|error| gpu.lose(error.to_string()))?;
        read(bytemuck::cast_slice(&view));
        drop(view);
        self.buffer.unmap();
        Ok(())
    }

    /// Reads `words` of `buffer` from word `first` on, [`STAGING_WORDS`] at a time.
    pub(super) fn read_buffer(
        &self,
        gpu: &Gpu,
        buffer: &wgpu::Buffer,
        first: usize,
        words: &mut [u32],
        timeout: Duration,
    ) -> Result<(), BackendError> {
        for (index, part) in words.chunks_mut(STAGING_WORDS).enumerate() {
            let offset = (first + index * STAGING_WORDS) as u64 * 4;
            let bytes = part.len() as u64 * 4;
            let mut encoder = gpu.encoder();
            encoder.copy_buffer_to_buffer(buffer, offset, &self.buffer, 0, bytes);
            let submission = gpu.start([encoder.finish()]);
            self.read(gpu, submission, bytes, timeout, |words| part.copy_from_slice(words))?;
        }
        Ok(())
    }
}
