//! The kernel's entry points as pipelines, and what they are bound to.

use super::cache::Cache;
use super::device::{Device, failed};
use super::memory::Allocation;
use super::spirv;
use crate::backend::BackendError;
use crate::kernel::{Entry, Kernel, binding};
use ash::vk;
use std::path::Path;
use std::sync::Arc;

/// Bindings: storage buffers, then the dynamic uniform.
const STORAGE_BUFFERS: u32 = binding::RUN;

/// The entry points. All handles are null until they are made, so that `drop` can destroy whatever
/// there is.
pub(crate) struct Pipelines {
    device: Arc<Device>,
    set_layout: vk::DescriptorSetLayout,
    layout: vk::PipelineLayout,
    /// In the order of [`Entry`]; null where it was not asked for.
    pipelines: [vk::Pipeline; Kernel::ENTRIES.len()],
    /// Where they come from, for people.
    origin: String,
}

impl Pipelines {
    /// Pipelines of some of the entry points of `kernel`. What was compiled is kept in `cache_dir`,
    /// if it is given.
    pub(crate) fn new(
        device: &Arc<Device>,
        kernel: &Kernel,
        entries: &[Entry],
        cache_dir: Option<&Path>,
    ) -> Result<Self, BackendError> {
        let mut pipelines = Self {
            device: Arc::clone(device),
            set_layout: vk::DescriptorSetLayout::null(),
            layout: vk::PipelineLayout::null(),
            pipelines: Default::default(),
            origin: String::new(),
        };
        pipelines.make_layouts()?;
        let codes = entries.iter().map(|entry| spirv::compile(kernel, entry.name()));
        let codes: Result<Vec<_>, _> = codes.collect();
        let codes = codes.map_err(|message| BackendError::Refused { message })?;
        let cache = Cache::open(device, cache_dir, &codes);
        for (&entry, code) in entries.iter().zip(&codes) {
            let pipeline = pipelines.make_pipeline(code, entry.name(), cache.handle())?;
            pipelines.pipelines[entry as usize] = pipeline;
        }
        pipelines.origin = cache.store();
        Ok(pipelines)
    }

    fn make_layouts(&mut self) -> Result<(), BackendError> {
        let binding = |binding| {
            let kind = match binding {
                binding::RUN => vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC,
                _ => vk::DescriptorType::STORAGE_BUFFER,
            };
            vk::DescriptorSetLayoutBinding::default()
                .binding(binding)
                .descriptor_count(1)
                .descriptor_type(kind)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        };
        let bindings: [_; STORAGE_BUFFERS as usize + 1] =
            std::array::from_fn(|index| binding(index as u32));
        let description = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let raw = self.device.raw();
        // SAFETY: the device is alive, and the description outlives the call.
        let set_layout = unsafe { raw.create_descriptor_set_layout(&description, None) };
        self.set_layout = set_layout.map_err(failed("vkCreateDescriptorSetLayout"))?;
        let set_layouts = [self.set_layout];
        let description = vk::PipelineLayoutCreateInfo::default().set_layouts(&set_layouts);
        // SAFETY: as above.
        let layout = unsafe { raw.create_pipeline_layout(&description, None) };
        self.layout = layout.map_err(failed("vkCreatePipelineLayout"))?;
        Ok(())
    }

    fn make_pipeline(
        &self,
        code: &[u32],
        entry: &str,
        cache: vk::PipelineCache,
    ) -> Result<vk::Pipeline, BackendError> {
        let raw = self.device.raw();
        let description = vk::ShaderModuleCreateInfo::default().code(code);
        // SAFETY: the words are SPIR-V that naga wrote of a module that it has validated.
        let module = unsafe { raw.create_shader_module(&description, None) };
        let module = module.map_err(failed("vkCreateShaderModule"))?;
        let name = std::ffi::CString::new(entry).unwrap_or_default();
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(&name);
        let description = vk::ComputePipelineCreateInfo::default().layout(self.layout).stage(stage);
        // SAFETY: layout, module and cache are alive, unless the cache is null, and the layout has
        // every binding of the module.
        let pipelines = unsafe { raw.create_compute_pipelines(cache, &[description], None) };
        // SAFETY: a pipeline does not need its module once it is made.
        unsafe { raw.destroy_shader_module(module, None) };
        match pipelines {
            Ok(pipelines) => Ok(pipelines[0]),
            Err((_, error)) => Err(failed("vkCreateComputePipelines")(error)),
        }
    }

    /// Where the pipelines come from, for people.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn layout(&self) -> vk::PipelineLayout {
        self.layout
    }

    pub(crate) fn pipeline(&self, entry: Entry) -> vk::Pipeline {
        self.pipelines[entry as usize]
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        let raw = self.device.raw();
        // SAFETY: all are this value's own, or null, and the owner has waited for the device to
        // be idle.
        unsafe {
            self.pipelines.iter().for_each(|pipeline| raw.destroy_pipeline(*pipeline, None));
            raw.destroy_pipeline_layout(self.layout, None);
            raw.destroy_descriptor_set_layout(self.set_layout, None);
        }
    }
}

/// What a drain is bound to: a row's buffers, a work list and parameters.
pub(crate) struct Bindings {
    device: Arc<Device>,
    pool: vk::DescriptorPool,
    set: vk::DescriptorSet,
}

impl Bindings {
    /// Binds `storage` in binding order and `run_params`, of which each dispatch sees
    /// [`Kernel::RUN_BYTES`] from its own offset on.
    pub(crate) fn new<'a>(
        pipelines: &Pipelines,
        storage: impl Iterator<Item = &'a Allocation>,
        run_params: &Allocation,
    ) -> Result<Self, BackendError> {
        let count =
            |kind, count| vk::DescriptorPoolSize::default().ty(kind).descriptor_count(count);
        let sizes = [
            count(vk::DescriptorType::STORAGE_BUFFER, STORAGE_BUFFERS),
            count(vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC, 1),
        ];
        let description = vk::DescriptorPoolCreateInfo::default().max_sets(1).pool_sizes(&sizes);
        let device = Arc::clone(&pipelines.device);
        // SAFETY: the device is alive, and the description outlives the call.
        let pool = unsafe { device.raw().create_descriptor_pool(&description, None) };
        let pool = pool.map_err(failed("vkCreateDescriptorPool"))?;
        let mut bindings = Self { device, pool, set: vk::DescriptorSet::null() };
        let set_layouts = [pipelines.set_layout];
        let request = vk::DescriptorSetAllocateInfo::default()
            .descriptor_pool(pool)
            .set_layouts(&set_layouts);
        // SAFETY: the pool is new and has room for one such set.
        let sets = unsafe { bindings.device.raw().allocate_descriptor_sets(&request) };
        bindings.set = sets.map_err(failed("vkAllocateDescriptorSets"))?[0];
        for (binding, allocation) in (0..).zip(storage) {
            let whole = vk::DescriptorBufferInfo::default()
                .buffer(allocation.buffer())
                .range(allocation.bytes());
            bindings.write(binding, vk::DescriptorType::STORAGE_BUFFER, whole);
        }
        let one_run = vk::DescriptorBufferInfo::default()
            .buffer(run_params.buffer())
            .range(Kernel::RUN_BYTES);
        bindings.write(binding::RUN, vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC, one_run);
        Ok(bindings)
    }

    fn write(&self, binding: u32, kind: vk::DescriptorType, buffer: vk::DescriptorBufferInfo) {
        let buffers = [buffer];
        let write = vk::WriteDescriptorSet::default()
            .dst_set(self.set)
            .dst_binding(binding)
            .descriptor_type(kind)
            .buffer_info(&buffers);
        // SAFETY: the set is alive and no command uses it yet; the buffer is of this device and
        // has the usage of its kind.
        unsafe { self.device.raw().update_descriptor_sets(&[write], &[]) };
    }

    pub(crate) fn set(&self) -> vk::DescriptorSet {
        self.set
    }
}

impl Drop for Bindings {
    fn drop(&mut self) {
        // SAFETY: the pool is this value's own, and its owner has waited for every command that
        // is bound to the set, which goes with it.
        unsafe { self.device.raw().destroy_descriptor_pool(self.pool, None) };
    }
}
