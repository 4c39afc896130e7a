//! The loop that a good user of safe wgpu writes: resident buffers, one bind group, one encoder
//! and one submission a turn, one write of the slots, and a readback of the statuses.

use super::{Turn, Work, wgpu_pipeline};
use slipring_core::layout::Buffer;
use slipring_core::partition::Partitions;
use slipring_core::ring::{Ring, WorkItem};
use slipring_core::row::Row;
use slipring_core::slot::{State, WORDS};
use slipring_driver::Kernel;

pub struct Safe {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    ring: wgpu::Buffer,
    staging: wgpu::Buffer,
    host_ring: Vec<u32>,
    items: Vec<WorkItem>,
}

impl Safe {
    pub fn open(work: &Work) -> Self {
        let (device, queue) = super::wgpu_device();
        let (jobs, geometry) = (work.jobs(), work.geometry());
        let create = |words: usize, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: words as u64 * 4,
                usage: usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let lengths = Buffer::ALL.map(|buffer| geometry.words(buffer));
        let row = lengths.map(|words| create(words, storage));
        let [workspace, arena] = [(); 2].map(|()| create(1, storage));
        let work_list = create(jobs as usize, storage);
        let run = create(Kernel::RUN_BYTES as usize / 4, wgpu::BufferUsages::UNIFORM);
        let staging = create(lengths[1], wgpu::BufferUsages::MAP_READ);

        let mut words = lengths.map(|words| vec![0; words]);
        let [control, ring, debug_log, io_queue] = words.each_mut().map(Vec::as_mut_slice);
        let host = Row::new(geometry, control, ring, debug_log, io_queue).expect("its lengths");
        host.reset(1, &Partitions::single(jobs)).expect("a fresh row");
        let entries: Vec<u32> = (0..jobs).map(|slot| 2 << 28 | slot).collect();
        queue.write_buffer(&row[0], 0, bytemuck::cast_slice(&words[0]));
        queue.write_buffer(&work_list, 0, bytemuck::cast_slice(&entries));
        queue.write_buffer(&run, 0, bytemuck::cast_slice(&[0, jobs, 0, 0]));

        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(work.kernel.source().into()),
        });
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let storage =
            |binding, read_only| entry(binding, wgpu::BufferBindingType::Storage { read_only });
        let mut entries: Vec<_> = (0..6).map(|binding| storage(binding, false)).collect();
        entries.extend([storage(6, true), entry(7, wgpu::BufferBindingType::Uniform)]);
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: None,
            entries: &entries,
        });
        let [a, b, c, d] = &row;
        let bound: Vec<_> = (0..)
            .zip([a, b, c, d, &workspace, &arena, &work_list, &run])
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &layout,
            entries: &bound,
        });
        let pipeline = wgpu_pipeline(&device, &layout, &module, Kernel::DRAIN);
        let [_, ring, ..] = row;
        let [_, host_ring, ..] = words;
        let items = work.items.clone();
        Self { device, queue, pipeline, bind_group, ring, staging, host_ring, items }
    }
}

impl Turn for Safe {
    fn turn(&mut self) -> u32 {
        let ring = Ring::new(&mut self.host_ring[..]).expect("whole slots");
        let jobs = ring.publish_items(0, 0, &self.items).expect("free slots");
        self.queue.write_buffer(&self.ring, 0, bytemuck::cast_slice(&self.host_ring));
        let mut encoder =
            self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &self.bind_group, &[]);
            pass.dispatch_workgroups(jobs.div_ceil(Kernel::LANES), 1, 1);
        }
        let bytes = self.host_ring.len() as u64 * 4;
        encoder.copy_buffer_to_buffer(&self.ring, 0, &self.staging, 0, bytes);
        self.queue.submit([encoder.finish()]);
        self.staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("a mapping"));
        self.device.poll(wgpu::PollType::wait_indefinitely()).expect("its end");
        let view = self.staging.get_mapped_range(..).expect("a mapping");
        self.host_ring.copy_from_slice(bytemuck::cast_slice(&view));
        drop(view);
        self.staging.unmap();
        let slots = self.host_ring.as_chunks::<WORDS>().0;
        slots.iter().filter(|slot| State::of(slot[0]) == State::Done).count() as u32
    }
}
