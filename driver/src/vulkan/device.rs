//! The VkDevice that wgpu has opened.

use crate::backend::BackendError;
use ash::vk;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What raw calls need. It keeps wgpu's device alive, and so the VkDevice.
pub(crate) struct Device {
    raw: ash::Device,
    queue: vk::Queue,
    queue_family: u32,
    properties: vk::PhysicalDeviceProperties,
    memory: vk::PhysicalDeviceMemoryProperties,
    kind: wgpu::DeviceType,
    order: Arc<Mutex<()>>,
    wgpu: wgpu::Device,
}

impl Device {
    /// The device below `wgpu`, whose queue nobody else uses unless they hold `order`.
    ///
    /// # Errors
    /// Why raw calls cannot be made, in words.
    pub(crate) fn below(
        wgpu: &wgpu::Device,
        info: &wgpu::AdapterInfo,
        order: Arc<Mutex<()>>,
    ) -> Result<Arc<Self>, String> {
        // SAFETY: the handles are only read here, and used as long as `self.wgpu` lives: nothing
        // destroys them, and whoever submits to the queue holds `order`.
        let hal = unsafe { wgpu.as_hal::<wgpu_hal::api::Vulkan>() }.ok_or("it is not Vulkan")?;
        let (instance, physical) =
            (hal.shared_instance().raw_instance(), hal.raw_physical_device());
        // SAFETY: both handles are wgpu's, and alive as long as `hal` is.
        let (properties, memory) = unsafe {
            let properties = instance.get_physical_device_properties(physical);
            (properties, instance.get_physical_device_memory_properties(physical))
        };
        // From 1.2 on there are timeline semaphores, and wgpu enables them.
        if properties.api_version < vk::API_VERSION_1_2 {
            let (major, minor) = (
                vk::api_version_major(properties.api_version),
                vk::api_version_minor(properties.api_version),
            );
            return Err(format!("it has Vulkan {major}.{minor}, and 1.2 is needed"));
        }
        Ok(Arc::new(Self {
            raw: hal.raw_device().clone(),
            queue: hal.raw_queue(),
            queue_family: hal.queue_family_index(),
            properties,
            memory,
            kind: info.device_type,
            order,
            wgpu: wgpu.clone(),
        }))
    }

    pub(crate) fn raw(&self) -> &ash::Device {
        &self.raw
    }

    pub(crate) fn wgpu(&self) -> &wgpu::Device {
        &self.wgpu
    }

    /// What the device says that it is.
    pub(crate) fn properties(&self) -> &vk::PhysicalDeviceProperties {
        &self.properties
    }

    /// Whether host and GPU share all memory.
    pub(crate) fn is_unified(&self) -> bool {
        self.kind != wgpu::DeviceType::DiscreteGpu
    }

    /// Whether it is a CPU that plays the GPU.
    pub(crate) fn is_cpu(&self) -> bool {
        self.kind == wgpu::DeviceType::Cpu
    }

    pub(crate) fn queue_family(&self) -> u32 {
        self.queue_family
    }

    /// The queue, and the right to submit to it.
    pub(crate) fn queue(&self) -> (vk::Queue, MutexGuard<'_, ()>) {
        (self.queue, self.order.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first memory type among `allowed` that has all of some wanted flags, which come in
    /// order of preference.
    pub(crate) fn memory_type(
        &self,
        allowed: u32,
        wanted: &[vk::MemoryPropertyFlags],
    ) -> Option<(u32, vk::MemoryPropertyFlags)> {
        let types = self.memory.memory_types_as_slice();
        wanted.iter().find_map(|wanted| {
            let mut fits = (0..).zip(types).filter(|(index, _)| allowed & 1 << index != 0);
            fits.find(|(_, kind)| kind.property_flags.contains(*wanted))
                .map(|(index, kind)| (index, kind.property_flags))
        })
    }

    /// Waits until the GPU has done all that was submitted, before what it uses is destroyed.
    pub(crate) fn wait_idle(&self) {
        let (queue, _order) = self.queue();
        // SAFETY: the queue is alive, and nobody submits to it meanwhile. A lost device is idle:
        // the error says nothing more.
        let _ = unsafe { self.raw.queue_wait_idle(queue) };
    }
}

/// What a failed call means.
pub(crate) fn failed(call: &str) -> impl Fn(vk::Result) -> BackendError {
    move |result| match result {
        vk::Result::ERROR_DEVICE_LOST => {
            BackendError::Lost { reason: format!("{call}: the device is lost") }
        }
        result => BackendError::Refused { message: format!("{call}: {result}") },
    }
}
