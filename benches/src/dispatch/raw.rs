//! The floor: the same kernel's SPIR-V over the same kind of memory, recorded and submitted by
//! hand, with one fixed dispatch and nothing kept in books.

use super::{Turn, Work};
use ash::vk;
use slipring_core::row::Row;
use slipring_core::{layout::Buffer, layout::Geometry, partition::Partitions};
use slipring_driver::Kernel;
use slipring_driver::kernel::binding;
use std::sync::atomic::{AtomicU32, Ordering};

/// How something that was made is destroyed.
pub type Destroy = Box<dyn FnOnce(&ash::Device)>;

pub struct Raw {
    /// In the order in which things were made.
    made: Vec<Destroy>,
    device: ash::Device,
    queue: vk::Queue,
    commands: vk::CommandBuffer,
    semaphore: vk::Semaphore,
    submitted: u64,
    geometry: Geometry,
    memory: Vec<(*mut AtomicU32, usize)>,
    items: Vec<slipring_core::ring::WorkItem>,
    _wgpu: (wgpu::Device, wgpu::Queue),
}

impl Raw {
    /// Everything made once.
    pub fn open(work: &Work) -> Self {
        let (wgpu_device, wgpu_queue) = super::wgpu_device();
        let (jobs, geometry) = (work.jobs(), work.geometry());
        // SAFETY: the handles live as long as wgpu's device, which `Raw` keeps.
        let (device, queue, family, types) = unsafe {
            let hal = wgpu_device.as_hal::<wgpu::hal::api::Vulkan>().expect("Vulkan");
            let instance = hal.shared_instance().raw_instance();
            let types = instance.get_physical_device_memory_properties(hal.raw_physical_device());
            (hal.raw_device().clone(), hal.raw_queue(), hal.queue_family_index(), types)
        };
        let words = Buffer::ALL.map(|buffer| geometry.words(buffer));
        let lengths = [words[0], words[1], words[2], words[3], 1, 1, jobs as usize, 64];
        let mut made = Vec::<Destroy>::new();
        // SAFETY: every handle is made here, of one device, used by one thread, and destroyed in
        // `drop`; each mapping has the length that is kept beside it.
        unsafe {
            let mut memory = Vec::new();
            let mut buffers = Vec::new();
            for (binding, words) in lengths.into_iter().enumerate() {
                let usage = match binding as u32 {
                    binding::RUN => vk::BufferUsageFlags::UNIFORM_BUFFER,
                    _ => vk::BufferUsageFlags::STORAGE_BUFFER,
                };
                let (buffer, mapping) = mapped(&device, &types, words, usage, &mut made);
                memory.push((mapping, words));
                buffers.push((buffer, words as u64 * 4));
            }
            let (pipeline, layout, set) = pipeline(&device, &work.kernel, &buffers, &mut made);
            let commands =
                record(&device, family, (pipeline, layout, set), jobs.div_ceil(64), &mut made);
            let mut kind =
                vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE);
            let description = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
            let semaphore = device.create_semaphore(&description, None).expect("a semaphore");
            made.push(Box::new(move |device: &ash::Device| {
                device.destroy_semaphore(semaphore, None);
            }));
            let raw = Self {
                made,
                _wgpu: (wgpu_device, wgpu_queue),
                device,
                queue,
                commands,
                semaphore,
                submitted: 0,
                geometry,
                memory,
                items: work.items.clone(),
            };
            raw.row().reset(1, &Partitions::single(jobs)).expect("a fresh row");
            for (slot, entry) in (0..).zip(raw.words(binding::WORK_LIST)) {
                entry.store(2 << 28 | slot, Ordering::Relaxed);
            }
            raw.words(binding::RUN)[1].store(jobs, Ordering::Relaxed);
            raw
        }
    }

    fn words(&self, binding: u32) -> &[AtomicU32] {
        let (mapping, words) = self.memory[binding as usize];
        // SAFETY: mapped for ever, with that many words.
        unsafe { std::slice::from_raw_parts(mapping, words) }
    }

    fn row(&self) -> Row<'_, AtomicU32> {
        let [control, ring, debug_log, io_queue] = [0, 1, 2, 3].map(|binding| self.words(binding));
        Row::new(self.geometry, control, ring, debug_log, io_queue).expect("its own lengths")
    }
}

impl Turn for Raw {
    fn turn(&mut self) -> u32 {
        let jobs = self.row().ring.publish_items(0, 0, &self.items).expect("free slots");
        self.submitted += 1;
        let (commands, semaphores, values) = ([self.commands], [self.semaphore], [self.submitted]);
        let mut timeline =
            vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&values);
        let submission = vk::SubmitInfo::default()
            .command_buffers(&commands)
            .signal_semaphores(&semaphores)
            .push_next(&mut timeline);
        let wait = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
        // SAFETY: the commands of before have ended, and nobody else uses the queue.
        unsafe {
            let none = vk::Fence::null();
            self.device.queue_submit(self.queue, &[submission], none).expect("a submission");
            self.device.wait_semaphores(&wait, u64::MAX).expect("its end");
        }
        let row = self.row();
        (0..jobs)
            .filter(|&slot| row.ring.state(slot) == Some(slipring_core::slot::State::Done))
            .count() as u32
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The commands of the last turn have ended.
        self.made.drain(..).rev().for_each(|destroy| destroy(&self.device));
    }
}

/// A zeroed buffer in memory that the host sees until the buffer is destroyed.
///
/// # Safety
/// The device is alive.
pub unsafe fn mapped(
    device: &ash::Device,
    types: &vk::PhysicalDeviceMemoryProperties,
    words: usize,
    usage: vk::BufferUsageFlags,
    made: &mut Vec<Destroy>,
) -> (vk::Buffer, *mut AtomicU32) {
    use vk::MemoryPropertyFlags as Flags;
    let description = vk::BufferCreateInfo::default().size(words as u64 * 4).usage(usage);
    // SAFETY: as the caller says; the memory is new, fits, and is mapped once.
    unsafe {
        let buffer = device.create_buffer(&description, None).expect("a buffer");
        let needs = device.get_buffer_memory_requirements(buffer);
        let host = Flags::HOST_VISIBLE | Flags::HOST_COHERENT;
        let kind = [host | Flags::HOST_CACHED, host].into_iter().find_map(|wanted| {
            (0..types.memory_type_count).find(|&kind| {
                needs.memory_type_bits & 1 << kind != 0
                    && types.memory_types[kind as usize].property_flags.contains(wanted)
            })
        });
        let request = vk::MemoryAllocateInfo::default()
            .allocation_size(needs.size)
            .memory_type_index(kind.expect("coherent memory"));
        let memory = device.allocate_memory(&request, None).expect("memory");
        device.bind_buffer_memory(buffer, memory, 0).expect("a binding");
        let flags = vk::MemoryMapFlags::empty();
        let mapping = device.map_memory(memory, 0, vk::WHOLE_SIZE, flags).expect("a mapping");
        let mapping: *mut AtomicU32 = mapping.cast();
        mapping.write_bytes(0, words);
        made.push(Box::new(move |device| {
            device.destroy_buffer(buffer, None);
            device.free_memory(memory, None);
        }));
        (buffer, mapping)
    }
}

/// # Safety
/// The device is alive, and so are the buffers.
unsafe fn pipeline(
    device: &ash::Device,
    kernel: &Kernel,
    buffers: &[(vk::Buffer, u64)],
    made: &mut Vec<Destroy>,
) -> (vk::Pipeline, vk::PipelineLayout, vk::DescriptorSet) {
    let kind = |binding| match binding {
        binding::RUN => vk::DescriptorType::UNIFORM_BUFFER,
        _ => vk::DescriptorType::STORAGE_BUFFER,
    };
    let bindings: Vec<_> = (0..buffers.len() as u32)
        .map(|binding| {
            vk::DescriptorSetLayoutBinding::default()
                .binding(binding)
                .descriptor_count(1)
                .descriptor_type(kind(binding))
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        })
        .collect();
    let sizes = [vk::DescriptorType::STORAGE_BUFFER, vk::DescriptorType::UNIFORM_BUFFER]
        .map(|kind| vk::DescriptorPoolSize::default().ty(kind).descriptor_count(7));
    let code = kernel.spirv(Kernel::DRAIN).expect("SPIR-V");
    let name = std::ffi::CString::new(Kernel::DRAIN).expect("a name");
    // SAFETY: as the caller says; every handle is of this device, and made just before its use.
    unsafe {
        let description = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let set_layouts = [device.create_descriptor_set_layout(&description, None).expect("one")];
        let description = vk::PipelineLayoutCreateInfo::default().set_layouts(&set_layouts);
        let layout = device.create_pipeline_layout(&description, None).expect("a layout");
        let description = vk::DescriptorPoolCreateInfo::default().max_sets(1).pool_sizes(&sizes);
        let pool = device.create_descriptor_pool(&description, None).expect("a pool");
        let request = vk::DescriptorSetAllocateInfo::default()
            .descriptor_pool(pool)
            .set_layouts(&set_layouts);
        let set = device.allocate_descriptor_sets(&request).expect("a set")[0];
        for (binding, (buffer, bytes)) in (0..).zip(buffers) {
            let range = [vk::DescriptorBufferInfo::default().buffer(*buffer).range(*bytes)];
            let write = vk::WriteDescriptorSet::default()
                .dst_set(set)
                .dst_binding(binding)
                .descriptor_type(kind(binding))
                .buffer_info(&range);
            device.update_descriptor_sets(&[write], &[]);
        }
        let description = vk::ShaderModuleCreateInfo::default().code(&code);
        let module = device.create_shader_module(&description, None).expect("a module");
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(&name);
        let description = vk::ComputePipelineCreateInfo::default().layout(layout).stage(stage);
        let cache = vk::PipelineCache::null();
        let pipelines = device.create_compute_pipelines(cache, &[description], None);
        let pipeline = pipelines.expect("a pipeline")[0];
        made.push(Box::new(move |device| {
            device.destroy_pipeline(pipeline, None);
            device.destroy_shader_module(module, None);
            device.destroy_descriptor_pool(pool, None);
            device.destroy_pipeline_layout(layout, None);
            device.destroy_descriptor_set_layout(set_layouts[0], None);
        }));
        (pipeline, layout, set)
    }
}

/// # Safety
/// All handles are of this device.
unsafe fn record(
    device: &ash::Device,
    family: u32,
    (pipeline, layout, set): (vk::Pipeline, vk::PipelineLayout, vk::DescriptorSet),
    groups: u32,
    made: &mut Vec<Destroy>,
) -> vk::CommandBuffer {
    use vk::AccessFlags as Access;
    use vk::PipelineStageFlags as Stage;
    // SAFETY: as the caller says; the pool is used by one thread.
    unsafe {
        let description = vk::CommandPoolCreateInfo::default().queue_family_index(family);
        let pool = device.create_command_pool(&description, None).expect("a pool");
        let request = vk::CommandBufferAllocateInfo::default()
            .command_pool(pool)
            .level(vk::CommandBufferLevel::PRIMARY)
            .command_buffer_count(1);
        let commands = device.allocate_command_buffers(&request).expect("commands")[0];
        let barrier = |from, from_access, to, to_access| {
            let memory = [vk::MemoryBarrier::default()
                .src_access_mask(from_access)
                .dst_access_mask(to_access)];
            let none = vk::DependencyFlags::empty();
            device.cmd_pipeline_barrier(commands, from, to, none, &memory, &[], &[]);
        };
        let begin = vk::CommandBufferBeginInfo::default();
        device.begin_command_buffer(commands, &begin).expect("a begin");
        let (shader, host) = (Stage::COMPUTE_SHADER, Stage::HOST);
        let shader_access = Access::SHADER_READ | Access::SHADER_WRITE;
        barrier(host, Access::HOST_WRITE, shader, shader_access);
        device.cmd_bind_pipeline(commands, vk::PipelineBindPoint::COMPUTE, pipeline);
        let compute = vk::PipelineBindPoint::COMPUTE;
        device.cmd_bind_descriptor_sets(commands, compute, layout, 0, &[set], &[]);
        device.cmd_dispatch(commands, groups, 1, 1);
        barrier(shader, Access::SHADER_WRITE, host, Access::HOST_READ);
        device.end_command_buffer(commands).expect("an end");
        made.push(Box::new(move |device| device.destroy_command_pool(pool, None)));
        commands
    }
}
