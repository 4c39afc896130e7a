//! One read after the other, straight into a storage buffer whose memory the host sees for good.

use super::gpu::Adder;
use super::source::{Mode, Source, Sums};
use super::{CHUNK_BYTES, Path, RING_BYTES, memory};
use ash::vk;
use std::io;
use std::os::unix::fs::FileExt;
use wgpu::hal::api::Vulkan;

pub struct Pread {
    adder: Adder,
    /// Never unmapped, nor freed.
    ring: &'static mut [u8],
    /// Where the ring begins in the buffer.
    start: u64,
}

impl Pread {
    pub fn open() -> Self {
        let (device, queue) = crate::dispatch::wgpu_device();
        let (buffer, room) = mapped(&device, memory::room_for(RING_BYTES));
        let begin = room.as_ptr().addr();
        let ring = memory::aligned(room, RING_BYTES);
        let start = (ring.as_ptr().addr() - begin) as u64;
        Self { adder: Adder::new(device, queue, buffer), ring, start }
    }
}

impl Path for Pread {
    fn pass(
        &mut self,
        source: &Source,
        mode: Mode,
        mut check: Option<&mut [Sums]>,
    ) -> io::Result<()> {
        let (file, chunks) = (source.file(mode), source.chunks());
        for chunk in 0..chunks {
            let offset = chunk * CHUNK_BYTES as u64;
            let place = offset as usize % RING_BYTES;
            file.read_exact_at(&mut self.ring[place..][..CHUNK_BYTES], offset)?;
            if let Some(check) = &mut check {
                check[chunk as usize] = self.adder.sums(self.start + place as u64);
            }
        }
        Ok(())
    }
}

/// A storage buffer, and its bytes.
fn mapped(device: &wgpu::Device, bytes: usize) -> (wgpu::Buffer, &'static mut [u8]) {
    let (size, usage) = (bytes as u64, vk::BufferUsageFlags::STORAGE_BUFFER);
    let description = wgpu::BufferDescriptor {
        label: None,
        size,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    };
    // SAFETY: the buffer is made of this device as the description says, zeroed, and neither it nor
    // its memory is ever destroyed; the mapping has all of its bytes, and the GPU only looks at them
    // while `Adder::sums` waits.
    unsafe {
        let hal = device.as_hal::<Vulkan>().expect("Vulkan");
        let instance = hal.shared_instance().raw_instance();
        let types = instance.get_physical_device_memory_properties(hal.raw_physical_device());
        let (raw, words) =
            crate::dispatch::mapped(hal.raw_device(), &types, bytes / 4, usage, &mut Vec::new());
        drop(hal);
        let raw = wgpu::hal::vulkan::Buffer::from_raw_externally_owned(raw, Box::new(|| {}));
        let buffer = device.create_buffer_from_hal::<Vulkan>(raw, &description);
        (buffer, std::slice::from_raw_parts_mut(words.cast(), bytes))
    }
}
