//! The safe way: `std` reads a chunk, and wgpu's `write_buffer` takes it to a storage buffer.
//!
//! wgpu copies the chunk into a staging buffer of its own; what that lies in can only be written by
//! copying, so that no safe read goes there directly.

use super::gpu::Adder;
use super::source::{Mode, Source, Sums};
use super::{CHUNK_BYTES, Path, RING_BYTES, memory};
use std::io;
use std::os::unix::fs::FileExt;

/// Chunks of a submission. Fewer and more are slower; more than one submission on its way is no
/// faster, nor is another thread that reads.
const SUBMIT: u64 = 8;

pub struct WriteBuffer {
    adder: Adder,
    chunk: &'static mut [u8],
    submitted: Option<wgpu::SubmissionIndex>,
}

impl WriteBuffer {
    pub fn open() -> Self {
        let (device, queue) = crate::dispatch::wgpu_device();
        let ring = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: RING_BYTES as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        // On huge pages, as a safe program's allocations are where the allocator is told so.
        let chunk = memory::huge(CHUNK_BYTES);
        Self { adder: Adder::new(device, queue, ring), chunk, submitted: None }
    }

    /// Submits what was written since, once what was submitted last has ended.
    fn submit(&mut self) {
        self.wait();
        self.submitted = Some(self.adder.queue.submit([]));
    }

    fn wait(&mut self) {
        let submission_index = self.submitted.take();
        let wait = wgpu::PollType::Wait { submission_index, timeout: None };
        self.adder.device.poll(wait).expect("its end");
    }
}

impl Path for WriteBuffer {
    fn pass(
        &mut self,
        source: &Source,
        mode: Mode,
        mut check: Option<&mut [Sums]>,
    ) -> io::Result<()> {
        let (file, chunks) = (source.file(mode), source.chunks());
        for chunk in 0..chunks {
            let offset = chunk * CHUNK_BYTES as u64;
            file.read_exact_at(self.chunk, offset)?;
            let place = offset % RING_BYTES as u64;
            self.adder.queue.write_buffer(&self.adder.ring, place, self.chunk);
            if let Some(check) = &mut check {
                check[chunk as usize] = self.adder.sums(place);
            }
            if (chunk + 1) % SUBMIT == 0 {
                self.submit();
            }
        }
        self.submit();
        self.wait();
        Ok(())
    }
}
