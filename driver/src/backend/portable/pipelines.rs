//! What is bound, and the kernel's three entry points.

use crate::kernel::{Entry, Kernel, binding};
use std::borrow::Cow;

pub(super) fn bind_group_layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let entry = |binding, ty, has_dynamic_offset| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    };
    let storage =
        |binding, read_only| entry(binding, wgpu::BufferBindingType::Storage { read_only }, false);
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("slipring"),
        entries: &[
            storage(binding::CONTROL, false),
            storage(binding::RING, false),
            storage(binding::DEBUG_LOG, false),
            storage(binding::IO_QUEUE, false),
            storage(binding::WORKSPACE, false),
            storage(binding::ARENA, false),
            storage(binding::WORK_LIST, true),
            entry(binding::RUN, wgpu::BufferBindingType::Uniform, true),
        ],
    })
}

pub(super) fn bind_group<'a>(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    storage: impl Iterator<Item = &'a wgpu::Buffer>,
    run_params: &wgpu::Buffer,
) -> wgpu::BindGroup {
    let mut entries: Vec<_> = (0..)
        .zip(storage)
        .map(|(binding, buffer)| wgpu::BindGroupEntry {
            binding,
            resource: buffer.as_entire_binding(),
        })
        .collect();
    entries.push(wgpu::BindGroupEntry {
        binding: binding::RUN,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: run_params,
            offset: 0,
            size: wgpu::BufferSize::new(Kernel::RUN_BYTES),
        }),
    });
    device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("slipring"),
        layout,
        entries: &entries,
    })
}

pub(super) fn pipelines(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    kernel: &Kernel,
) -> [wgpu::ComputePipeline; 3] {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("slipring"),
        // Not as WGSL: with that, debug flags write a source language that older validation
        // layers do not know.
        source: wgpu::ShaderSource::Naga(Cow::Owned(kernel.module().clone())),
    });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some("slipring"),
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    [Entry::Drain, Entry::Serial, Entry::Fence].map(Entry::name).map(|entry| {
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        })
    })
}
