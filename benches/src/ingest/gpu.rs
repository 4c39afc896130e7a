//! Sums of a chunk as the GPU sees it, to check that what was read has come there.

use super::CHUNK_BYTES;
use super::source::Sums;

/// Words that a workgroup adds up, as `sums.wgsl` has it.
const GROUP_WORDS: usize = 64 * 32;
const SUMS_BYTES: u64 = size_of::<Sums>() as u64;

pub struct Adder {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    /// Where the chunks are.
    pub ring: wgpu::Buffer,
    pipeline: wgpu::ComputePipeline,
    sums: wgpu::Buffer,
    home: wgpu::Buffer,
}

impl Adder {
    pub fn new(device: wgpu::Device, queue: wgpu::Queue, ring: wgpu::Buffer) -> Self {
        let create = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: SUMS_BYTES,
                usage: usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let sums = create(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
        let home = create(wgpu::BufferUsages::MAP_READ);
        let module = device.create_shader_module(wgpu::include_wgsl!("sums.wgsl"));
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        Self { device, queue, ring, pipeline, sums, home }
    }

    /// The sums of the chunk at this byte of the ring. Waits for all that was written and submitted.
    pub fn sums(&self, offset: u64) -> Sums {
        let size = std::num::NonZeroU64::new(CHUNK_BYTES as u64);
        let chunk = wgpu::BufferBinding { buffer: &self.ring, offset, size };
        let bind = |binding, resource| wgpu::BindGroupEntry { binding, resource };
        let chunk = bind(0, wgpu::BindingResource::Buffer(chunk));
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[chunk, bind(1, self.sums.as_entire_binding())],
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.clear_buffer(&self.sums, 0, None);
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups((CHUNK_BYTES / 4 / GROUP_WORDS) as u32, 1, 1);
        drop(pass);
        encoder.copy_buffer_to_buffer(&self.sums, 0, &self.home, 0, SUMS_BYTES);
        self.queue.submit([encoder.finish()]);
        self.home.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("a mapping"));
        self.device.poll(wgpu::PollType::wait_indefinitely()).expect("its end");
        let sums = *bytemuck::from_bytes(&self.home.get_mapped_range(..).expect("a mapping"));
        self.home.unmap();
        sums
    }
}
