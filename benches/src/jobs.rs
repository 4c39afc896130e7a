//! Why there is a ring: 1024 small jobs as one drain, beside a dispatch and a submission each.

use crate::dispatch::{Work, slipring, wgpu_device, wgpu_pipeline};
use crate::harness::{Case, Side, lazily, side};
use slipring_driver::BackendChoice;

const JOBS: u32 = 1024;

pub fn cases() -> Vec<Case> {
    let case = |name, peer| Case {
        name,
        unit: "us/turn",
        units: 1000,
        calls: 1,
        ours: lazily(|| slipring(&Work::adds(JOBS), JOBS, BackendChoice::Mapped)),
        peer: Some(peer),
    };
    vec![
        case("1024 jobs; 1024 dispatches", ("one encoder", lazily(|| one_by_one(true)))),
        case("1024 jobs; 1024 submissions", ("an encoder each", lazily(|| one_by_one(false)))),
    ]
}

/// Jobs that each add to a word, by a dispatch of their own with parameters of their own.
fn one_by_one(in_one_encoder: bool) -> Box<dyn Side> {
    let (device, queue) = wgpu_device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(
            "struct Job { word: u32, value: u32 }
            @group(0) @binding(0) var<storage, read_write> words: array<atomic<u32>>;
            @group(0) @binding(1) var<uniform> job: Job;
            @compute @workgroup_size(1) fn run() { atomicAdd(&words[job.word], job.value); }"
                .into(),
        ),
    });
    let create = |bytes, usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: usage | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    };
    let words = create(256, wgpu::BufferUsages::STORAGE);
    let params = create(u64::from(JOBS) * 256, wgpu::BufferUsages::UNIFORM);
    for job in 0..JOBS {
        let value = [job % 64, job];
        queue.write_buffer(&params, u64::from(job) * 256, bytemuck::cast_slice(&value));
    }
    let staging = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 256,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let entry = |binding, ty, has_dynamic_offset| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    };
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &[
            entry(0, wgpu::BufferBindingType::Storage { read_only: false }, false),
            entry(1, wgpu::BufferBindingType::Uniform, true),
        ],
    });
    let one_job =
        wgpu::BufferBinding { buffer: &params, offset: 0, size: wgpu::BufferSize::new(8) };
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &layout,
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: words.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::Buffer(one_job) },
        ],
    });
    let pipeline = wgpu_pipeline(&device, &layout, &module, "run");
    let encode = move |encoder: &mut wgpu::CommandEncoder, jobs: std::ops::Range<u32>| {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        for job in jobs {
            pass.set_bind_group(0, &bind_group, &[job * 256]);
            pass.dispatch_workgroups(1, 1, 1);
        }
    };
    side(
        (),
        |()| {},
        move |()| {
            let encoder =
                || device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            if in_one_encoder {
                let mut all = encoder();
                encode(&mut all, 0..JOBS);
                queue.submit([all.finish()]);
            } else {
                for job in 0..JOBS {
                    let mut one = encoder();
                    encode(&mut one, job..job + 1);
                    queue.submit([one.finish()]);
                }
            }
            let mut last = encoder();
            last.copy_buffer_to_buffer(&words, 0, &staging, 0, 256);
            queue.submit([last.finish()]);
            staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("a mapping"));
            device.poll(wgpu::PollType::wait_indefinitely()).expect("its end");
            staging.unmap();
        },
    )
}
