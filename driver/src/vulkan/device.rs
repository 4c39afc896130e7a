//! The VkDevice that wgpu has opened.

use crate::backend::BackendError;
use ash::vk;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What raw calls need. It keeps wgpu's device alive, and so the VkDevice.
pub(crate) struct Device {
    raw: ash::Device,
    queue: vk::Queue,
    queue_family: u32,
    properties: vk::PhysicalDeviceProperties,
    memory: vk::PhysicalDeviceMemoryProperties,
    has_timeline: bool,
    host_import: Option<HostImport>,
    dma_bufs: Option<ash::khr::external_memory_fd::Device>,
    kind: wgpu::DeviceType,
    order: Arc<Mutex<()>>,
    wgpu: wgpu::Device,
}

impl Device {
    /// The device below `wgpu`, whose queue nobody else uses unless they hold `order`; with fences
    /// in place of timeline semaphores, if that is wanted.
    ///
    /// # Errors
    /// Why raw calls cannot be made, in words.
    pub(crate) fn below(
        wgpu: &wgpu::Device,
        info: &wgpu::AdapterInfo,
        order: Arc<Mutex<()>>,
        wants_fences: bool,
    ) -> Result<Arc<Self>, String> {
        // SAFETY: the handles are only read here, and used as long as `self.wgpu` lives: nothing
        // destroys them, and whoever submits to the queue holds `order`: `Gpu::start`, and users
        // for the one call of wgpu's that submits by itself, as `Gpu::device` asks them to.
        let hal = unsafe { wgpu.as_hal::<wgpu_hal::api::Vulkan>() }.ok_or("it is not Vulkan")?;
        let (instance, physical) =
            (hal.shared_instance().raw_instance(), hal.raw_physical_device());
        // SAFETY: both handles are wgpu's, and alive as long as `hal` is.
        let (properties, memory) = unsafe {
            let properties = instance.get_physical_device_properties(physical);
            (properties, instance.get_physical_device_memory_properties(physical))
        };
        // wgpu writes SPIR-V 1.3 at most, and so do we.
        if properties.api_version < vk::API_VERSION_1_1 {
            return Err("it has Vulkan 1.0, and 1.1 is needed".to_owned());
        }
        // From 1.2 on there are timeline semaphores, and wgpu enables them.
        let has_timeline = properties.api_version >= vk::API_VERSION_1_2 && !wants_fences;
        let has = |extension| hal.enabled_device_extensions().contains(&extension);
        let dma_bufs = DMA_BUF_EXTENSIONS
            .into_iter()
            .all(has)
            .then(|| ash::khr::external_memory_fd::Device::new(instance, hal.raw_device()));
        let host_import = has(HostImport::EXTENSION)
            .then(|| HostImport::new(instance, physical, hal.raw_device()))
            .flatten();
        Ok(Arc::new(Self {
            raw: hal.raw_device().clone(),
            queue: hal.raw_queue(),
            queue_family: hal.queue_family_index(),
            properties,
            memory,
            has_timeline,
            host_import,
            dma_bufs,
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

    /// Whether submissions end on a timeline semaphore, or else on fences.
    pub(crate) fn has_timeline(&self) -> bool {
        self.has_timeline
    }

    /// How memory of the host's is imported.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if it cannot be.
    pub(crate) fn host_import(&self) -> Result<&HostImport, BackendError> {
        self.host_import.as_ref().ok_or_else(|| imports_nothing_by(HostImport::EXTENSION))
    }

    /// The memory types, a bit each, that a dma-buf can be imported as.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(crate) fn dma_buf_types(&self, dma_buf: BorrowedFd<'_>) -> Result<u32, BackendError> {
        let Some(calls) = &self.dma_bufs else {
            let [_, extension] = DMA_BUF_EXTENSIONS;
            return Err(imports_nothing_by(extension));
        };
        let mut types = vk::MemoryFdPropertiesKHR::default();
        let handle = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;
        // SAFETY: the descriptor is open, and only looked at.
        unsafe { calls.get_memory_fd_properties(handle, dma_buf.as_raw_fd(), &mut types) }
            .map_err(failed("vkGetMemoryFdPropertiesKHR"))?;
        Ok(types.memory_type_bits)
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

    /// Whether a row can lie in the memory type of this index, or why not.
    pub(crate) fn check_memory_type(&self, index: u32) -> Result<(), String> {
        check_type(self.memory.memory_types_as_slice(), index)
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
}

fn check_type(types: &[vk::MemoryType], index: u32) -> Result<(), String> {
    use vk::MemoryPropertyFlags as Flags;
    let Some(kind) = types.get(index as usize) else {
        return Err(format!("there is no memory type {index}; the device has {}", types.len()));
    };
    let flags = kind.property_flags;
    let obstacle = if !flags.contains(Flags::HOST_VISIBLE) {
        "the host does not see it"
    } else if !flags.contains(Flags::HOST_COHERENT) {
        "it is not coherent, and such types are never chosen"
    } else if flags.contains(Flags::DEVICE_COHERENT_AMD) {
        "it needs a feature that is not enabled"
    } else {
        return Ok(());
    };
    Err(format!("memory type {index} is {flags:?}: {obstacle}"))
}

/// What importing dma-bufs takes.
const DMA_BUF_EXTENSIONS: [&CStr; 2] =
    [ash::khr::external_memory_fd::NAME, ash::ext::external_memory_dma_buf::NAME];

/// Memory of the caller's, imported: VK_EXT_external_memory_host.
pub(crate) struct HostImport {
    calls: ash::ext::external_memory_host::Device,
    /// What address and length are multiples of, in bytes.
    alignment: usize,
}

impl HostImport {
    const EXTENSION: &CStr = ash::ext::external_memory_host::NAME;

    fn new(
        instance: &ash::Instance,
        physical: vk::PhysicalDevice,
        device: &ash::Device,
    ) -> Option<Self> {
        let kind = vk::PhysicalDeviceExternalBufferInfo::default()
            .usage(super::memory::Usage::Storage.flags())
            .handle_type(vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT);
        let mut external = vk::ExternalBufferProperties::default();
        // SAFETY: both handles are alive, and the instance has Vulkan 1.1.
        unsafe {
            instance.get_physical_device_external_buffer_properties(physical, &kind, &mut external);
        }
        let features = external.external_memory_properties.external_memory_features;
        if !features.contains(vk::ExternalMemoryFeatureFlags::IMPORTABLE) {
            return None;
        }
        let mut host = vk::PhysicalDeviceExternalMemoryHostPropertiesEXT::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut host);
        // SAFETY: both handles are alive, and the device has the extension, whose structure this
        // is.
        unsafe { instance.get_physical_device_properties2(physical, &mut properties) };
        let alignment = host.min_imported_host_pointer_alignment as usize;
        let calls = ash::ext::external_memory_host::Device::new(instance, device);
        Some(Self { calls, alignment })
    }

    /// The memory types, a bit each, that pages can be imported as.
    pub(crate) fn memory_types(
        &self,
        device: &ash::Device,
        address: *const std::ffi::c_void,
        bytes: usize,
    ) -> Result<u32, BackendError> {
        let (at, alignment) = (address.addr(), self.alignment);
        if !at.is_multiple_of(alignment) || !bytes.is_multiple_of(alignment) {
            let message = format!(
                "it imports memory at multiples of {alignment} bytes, not {bytes} bytes at {at:#x}"
            );
            return Err(BackendError::Refused { message });
        }
        let handle = vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT;
        let mut types = vk::MemoryHostPointerPropertiesEXT::default();
        let call = self.calls.fp().get_memory_host_pointer_properties_ext;
        // SAFETY: the device is alive and has the extension; the address is only looked up.
        let result = unsafe { call(device.handle(), handle, address, &mut types) };
        result.result().map_err(failed("vkGetMemoryHostPointerPropertiesEXT"))?;
        Ok(types.memory_type_bits)
    }
}

fn imports_nothing_by(extension: &CStr) -> BackendError {
    let message = format!("it imports nothing by {}", extension.to_string_lossy());
    BackendError::Refused { message }
}

/// Opens a device that imports memory of the caller's, if it can.
///
/// # Errors
/// Why it does not open, in words.
pub(crate) fn open_importing(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor<'_>,
) -> Result<(wgpu::Device, wgpu::Queue), String> {
    // SAFETY: the adapter is only used to open a device, and nothing of it is destroyed.
    let hal = unsafe { adapter.as_hal::<wgpu_hal::api::Vulkan>() }.ok_or("it is not Vulkan")?;
    let capabilities = hal.physical_device_capabilities();
    let wanted = [HostImport::EXTENSION].into_iter().chain(DMA_BUF_EXTENSIONS);
    let wanted: Vec<_> = wanted.filter(|name| capabilities.supports_extension(name)).collect();
    let callback: Box<wgpu_hal::vulkan::CreateDeviceCallback<'_>> = Box::new(move |arguments| {
        for name in wanted {
            if !arguments.extensions.contains(&name) {
                arguments.extensions.push(name);
            }
        }
    });
    // SAFETY: the features and limits are ones that the adapter has, as wgpu checks below; the
    // callback only adds extensions that the device has.
    let opened = unsafe {
        hal.open_with_callback(
            descriptor.required_features,
            &descriptor.required_limits,
            &descriptor.memory_hints,
            Some(callback),
        )
    };
    let opened = opened.map_err(|error| error.to_string())?;
    // SAFETY: the device was opened on this adapter with this descriptor's features and limits.
    unsafe { adapter.create_device_from_hal(opened, descriptor) }.map_err(|error| error.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;
    use vk::MemoryPropertyFlags as Flags;

    #[test]
    fn a_type_that_no_row_can_lie_in_is_refused_with_its_flags() {
        let types = [
            Flags::DEVICE_LOCAL,
            Flags::HOST_VISIBLE | Flags::HOST_CACHED,
            Flags::HOST_VISIBLE | Flags::HOST_COHERENT,
        ]
        .map(|property_flags| vk::MemoryType { property_flags, heap_index: 0 });
        let said = |index| check_type(&types, index).unwrap_err();
        assert_eq!(said(0), "memory type 0 is DEVICE_LOCAL: the host does not see it");
        assert!(said(1).contains("HOST_VISIBLE | HOST_CACHED: it is not coherent"), "{}", said(1));
        assert_eq!(check_type(&types, 2), Ok(()));
        assert_eq!(said(3), "there is no memory type 3; the device has 3");
    }
}
