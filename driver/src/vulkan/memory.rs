//! Buffers whose memory the host sees, as words.

use super::device::{Device, failed};
use crate::backend::BackendError;
use ash::vk;
use ash::vk::MemoryPropertyFlags as Flags;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// Who looks at a buffer decides where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// The host reads and writes it: its reads must be cached where that is possible.
    HostReads,
    /// Both look at it all the time, while a kernel stays on: a discrete GPU sees what the host
    /// writes only in memory of its own.
    Polled,
    /// The host only writes it: nearer to the GPU where that is possible.
    HostWrites,
    /// The GPU's: mapped only where all memory is shared.
    Gpu,
}

/// What commands do with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// Shaders read and write it; wgpu's commands copy it.
    Storage,
    /// Dynamic uniform parameters.
    Uniform,
    /// Arguments of indirect dispatches.
    Indirect,
}

impl Placement {
    /// Memory flags in order of preference. Coherent always: Vulkan promises a type that is.
    fn wanted(self, is_unified: bool) -> &'static [Flags] {
        const HOST: Flags =
            Flags::from_raw(Flags::HOST_VISIBLE.as_raw() | Flags::HOST_COHERENT.as_raw());
        const CACHED: Flags = Flags::from_raw(HOST.as_raw() | Flags::HOST_CACHED.as_raw());
        const NEAR: Flags = Flags::from_raw(HOST.as_raw() | Flags::DEVICE_LOCAL.as_raw());
        match self {
            Self::HostReads => &[CACHED, HOST],
            Self::Polled if is_unified => &[CACHED, HOST],
            Self::Polled | Self::HostWrites => &[NEAR, CACHED, HOST],
            Self::Gpu if is_unified => &[CACHED, NEAR, HOST, Flags::DEVICE_LOCAL],
            Self::Gpu => &[Flags::DEVICE_LOCAL],
        }
    }
}

impl Usage {
    fn flags(self) -> vk::BufferUsageFlags {
        match self {
            Self::Storage => {
                vk::BufferUsageFlags::STORAGE_BUFFER
                    | vk::BufferUsageFlags::TRANSFER_SRC
                    | vk::BufferUsageFlags::TRANSFER_DST
            }
            Self::Uniform => vk::BufferUsageFlags::UNIFORM_BUFFER,
            Self::Indirect => vk::BufferUsageFlags::INDIRECT_BUFFER,
        }
    }
}

/// A buffer with memory of its own.
pub(crate) struct Allocation {
    device: Arc<Device>,
    buffer: vk::Buffer,
    memory: vk::DeviceMemory,
    flags: Flags,
    words: usize,
    mapping: Option<NonNull<AtomicU32>>,
}

// SAFETY: the handles are plain numbers, destroyed in `drop` by whoever owns them last; the
// mapping is only reached as atomics. (Not shared by a test: the compiler sees every use.)
unsafe impl Send for Allocation {}
// SAFETY: as above; no method changes anything through `&self`.
unsafe impl Sync for Allocation {}

impl Allocation {
    /// A buffer of `words`. Where it is mapped, all of them are 0.
    pub(crate) fn new(
        device: &Arc<Device>,
        words: usize,
        usage: Usage,
        placement: Placement,
    ) -> Result<Self, BackendError> {
        let raw = device.raw();
        let size = words as u64 * 4;
        let description = vk::BufferCreateInfo::default()
            .size(size)
            .usage(usage.flags())
            .sharing_mode(vk::SharingMode::EXCLUSIVE);
        // SAFETY: the device is alive, and the description outlives the call.
        let buffer = unsafe { raw.create_buffer(&description, None) };
        let buffer = buffer.map_err(failed("vkCreateBuffer"))?;
        // From here on `drop` cleans up, whatever fails.
        let mut allocation = Self {
            device: Arc::clone(device),
            buffer,
            memory: vk::DeviceMemory::null(),
            flags: Flags::empty(),
            words,
            mapping: None,
        };
        // SAFETY: the buffer was just made on this device.
        let needs = unsafe { raw.get_buffer_memory_requirements(buffer) };
        let wanted = placement.wanted(device.is_unified());
        let found = device.memory_type(needs.memory_type_bits, wanted);
        let (kind, flags) = found.ok_or_else(|| BackendError::Refused {
            message: format!("no memory type for {placement:?} of {size} bytes"),
        })?;
        allocation.flags = flags;
        let request =
            vk::MemoryAllocateInfo::default().allocation_size(needs.size).memory_type_index(kind);
        // SAFETY: the type's index is one of the device's.
        let memory = unsafe { raw.allocate_memory(&request, None) };
        allocation.memory = memory.map_err(failed("vkAllocateMemory"))?;
        // SAFETY: memory and buffer are new, of this device, and unbound; the memory has the size
        // and, being an allocation's start, the alignment that the buffer needs.
        unsafe { raw.bind_buffer_memory(buffer, allocation.memory, 0) }
            .map_err(failed("vkBindBufferMemory"))?;
        if flags.contains(Flags::HOST_VISIBLE | Flags::HOST_COHERENT) {
            allocation.map()?;
        }
        Ok(allocation)
    }

    fn map(&mut self) -> Result<(), BackendError> {
        let flags = vk::MemoryMapFlags::empty();
        // SAFETY: the memory is host-visible and not mapped yet.
        let mapping =
            unsafe { self.device.raw().map_memory(self.memory, 0, vk::WHOLE_SIZE, flags) };
        let mapping: *mut AtomicU32 = mapping.map_err(failed("vkMapMemory"))?.cast();
        // SAFETY: `words` words are mapped, and nobody else has seen them.
        unsafe { mapping.write_bytes(0, self.words) };
        self.mapping = NonNull::new(mapping);
        Ok(())
    }

    /// The words, if the host sees them.
    pub(crate) fn mapped(&self) -> Option<&[AtomicU32]> {
        let mapping = self.mapping?;
        // SAFETY: `words` words stay mapped as long as `self`, at an address that Vulkan aligns
        // to at least 64 bytes. The GPU reads and writes them too, as it does every atomic: a
        // torn word is not possible, and what is seen when is what the submissions order.
        // (`r5_after_a_dispatch_the_callers_view_is_the_result` in tests/driver_contracts.rs)
        Some(unsafe { std::slice::from_raw_parts(mapping.as_ptr(), self.words) })
    }

    pub(crate) fn buffer(&self) -> vk::Buffer {
        self.buffer
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.words as u64 * 4
    }

    pub(crate) fn flags(&self) -> Flags {
        self.flags
    }

    /// The buffer as wgpu's, to be bound and copied by its commands. `self` must outlive their
    /// execution, not the value: wgpu's buffer owns nothing.
    pub(crate) fn import(&self, label: &str) -> wgpu::Buffer {
        // SAFETY: the VkBuffer is of this device, and alive until `drop`, which the owner of
        // `self` reaches only when the GPU is idle and the queue, through which alone it could be
        // used, is no longer in anybody's reach.
        let hal = unsafe {
            wgpu_hal::vulkan::Buffer::from_raw_externally_owned(self.buffer, Box::new(|| {}))
        };
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: self.bytes(),
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        // SAFETY: made from this device's handle, with these usages and this size, and zeroed: by
        // `map`, or by the caller before it lets anybody read.
        unsafe {
            self.device.wgpu().create_buffer_from_hal::<wgpu_hal::api::Vulkan>(hal, &descriptor)
        }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let raw = self.device.raw();
        // SAFETY: both are this allocation's own or null, and the GPU no longer uses them: the
        // owner waits for the device to be idle first. Freeing unmaps.
        unsafe {
            raw.destroy_buffer(self.buffer, None);
            raw.free_memory(self.memory, None);
        }
    }
}
