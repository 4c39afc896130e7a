//! Buffers whose memory the host sees, as words.
//!
//! ```text
//!   Allocation ─▶ Buffer ─▶ Memory: the device's, or the caller's, imported
//!   wgpu::Buffer ───┘
//! ```

use super::device::{Device, failed};
use crate::arena::Shared;
use crate::backend::BackendError;
use crate::storage::HostMemory;
use ash::vk;
use ash::vk::MemoryPropertyFlags as Flags;
use std::ops::Range;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

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
    /// In the memory type of this index, which was checked.
    Type(u32),
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
            Self::Type(_) => &[HOST],
        }
    }
}

impl Usage {
    pub(super) fn flags(self) -> vk::BufferUsageFlags {
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

/// Device memory, or memory of the caller's that the device has imported.
struct Memory {
    device: Arc<Device>,
    raw: vk::DeviceMemory,
    flags: Flags,
    /// Where the host sees it.
    words: Option<NonNull<AtomicU32>>,
    /// Whose memory it is, if it was imported; nobody else's until the device lets go of it.
    _host: Option<HostMemory>,
}

// SAFETY: the handles are plain numbers, destroyed in `drop` by whoever owns them last; the
// mapping is only reached as atomics. (Not shared by a test: the compiler sees every use.)
unsafe impl Send for Memory {}
// SAFETY: as above; no method changes anything through `&self`.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(
        device: &Arc<Device>,
        needs: vk::MemoryRequirements,
        placement: Placement,
    ) -> Result<Self, BackendError> {
        let allowed = match placement {
            Placement::Type(index) => needs.memory_type_bits & 1 << index,
            _ => needs.memory_type_bits,
        };
        let found = device.memory_type(allowed, placement.wanted(device.is_unified()));
        let (kind, flags) = found.ok_or_else(|| BackendError::Refused {
            message: format!("no memory type for {placement:?} of {} bytes", needs.size),
        })?;
        let request =
            vk::MemoryAllocateInfo::default().allocation_size(needs.size).memory_type_index(kind);
        // SAFETY: the type's index is one of the device's.
        let raw = unsafe { device.raw().allocate_memory(&request, None) };
        let raw = raw.map_err(failed("vkAllocateMemory"))?;
        let mut memory = Self { device: Arc::clone(device), raw, flags, words: None, _host: None };
        if flags.contains(Flags::HOST_VISIBLE | Flags::HOST_COHERENT) {
            let flags = vk::MemoryMapFlags::empty();
            // SAFETY: the memory is host-visible and not mapped yet.
            let words = unsafe { device.raw().map_memory(raw, 0, vk::WHOLE_SIZE, flags) };
            memory.words = NonNull::new(words.map_err(failed("vkMapMemory"))?.cast());
        }
        Ok(memory)
    }

    /// Imports whole pages of the host's.
    fn of_host(
        device: &Arc<Device>,
        host: &HostMemory,
        needs: vk::MemoryRequirements,
    ) -> Result<Self, BackendError> {
        let (words, bytes) = (host.all().as_ptr(), size_of_val(host.all()));
        let (types, wanted) = match host {
            // The host looks at its own mapping: any type will do.
            HostMemory::Shared(shared) => {
                (device.dma_buf_types(shared.dma_buf())?, Placement::Gpu.wanted(true))
            }
            HostMemory::Pages(_) | HostMemory::Storage(_) => {
                let import = device.host_import()?;
                let types = import.memory_types(device.raw(), words.cast(), bytes)?;
                (types, Placement::HostReads.wanted(device.is_unified()))
            }
        };
        let found = device.memory_type(needs.memory_type_bits & types, wanted);
        let (kind, flags) = found.ok_or_else(|| BackendError::Refused {
            message: "no memory type of it takes memory of the host's".to_owned(),
        })?;
        let request =
            vk::MemoryAllocateInfo::default().allocation_size(bytes as u64).memory_type_index(kind);
        let raw = match host {
            HostMemory::Shared(shared) => import_dma_buf(device, shared, request),
            HostMemory::Pages(_) | HostMemory::Storage(_) => {
                let mut pointer = vk::ImportMemoryHostPointerInfoEXT::default()
                    .handle_type(vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT)
                    .host_pointer(words.cast_mut().cast());
                let request = request.push_next(&mut pointer);
                // SAFETY: whole pages of words, and atomics, which others may write. They stay as
                // long as `_host`, which is dropped after the device has let go of them.
                unsafe { device.raw().allocate_memory(&request, None) }
                    .map_err(failed("vkAllocateMemory"))
            }
        }?;
        let (device, words) = (Arc::clone(device), NonNull::new(words.cast_mut()));
        Ok(Self { device, raw, flags, words, _host: Some(host.clone()) })
    }
}

/// Imports a dma-buf.
fn import_dma_buf(
    device: &Device,
    shared: &Shared,
    request: vk::MemoryAllocateInfo<'_>,
) -> Result<vk::DeviceMemory, BackendError> {
    // An import that succeeds takes its descriptor.
    let descriptor = shared.dma_buf().try_clone_to_owned();
    let descriptor = descriptor.map_err(|error| BackendError::Refused {
        message: format!("no descriptor for a dma-buf: {error}"),
    })?;
    let mut import = vk::ImportMemoryFdInfoKHR::default()
        .handle_type(vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT)
        .fd(descriptor.as_raw_fd());
    let request = request.push_next(&mut import);
    // SAFETY: the descriptor is of a dma-buf as long as the pages, whose type allows them; they stay
    // as long as the device has the dma-buf.
    let raw = unsafe { device.raw().allocate_memory(&request, None) };
    let raw = raw.map_err(failed("vkAllocateMemory"))?;
    let _ = descriptor.into_raw_fd();
    Ok(raw)
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the last buffer in it is gone, and `Allocation` says when that is. Freeing
        // unmaps.
        unsafe { self.device.raw().free_memory(self.raw, None) };
    }
}

/// A buffer; null memory until it is bound.
struct Buffer {
    device: Arc<Device>,
    raw: vk::Buffer,
    words: usize,
    /// Its memory, and the word of it where the buffer starts.
    memory: Option<(Arc<Memory>, usize)>,
}

impl Buffer {
    fn new(
        device: &Arc<Device>,
        words: usize,
        usage: Usage,
        host: Option<&HostMemory>,
    ) -> Result<Self, BackendError> {
        let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(match host {
            Some(HostMemory::Shared(_)) => vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT,
            _ => vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT,
        });
        let mut description = vk::BufferCreateInfo::default()
            .size(words as u64 * 4)
            .usage(usage.flags())
            .sharing_mode(vk::SharingMode::EXCLUSIVE);
        if host.is_some() {
            description = description.push_next(&mut external);
        }
        // SAFETY: the device is alive, and the description outlives the call.
        let raw = unsafe { device.raw().create_buffer(&description, None) };
        let raw = raw.map_err(failed("vkCreateBuffer"))?;
        Ok(Self { device: Arc::clone(device), raw, words, memory: None })
    }

    fn needs(&self) -> vk::MemoryRequirements {
        // SAFETY: the buffer is of this device.
        unsafe { self.device.raw().get_buffer_memory_requirements(self.raw) }
    }

    /// Binds it to memory from a word on, which the buffer's alignment divides.
    fn bind(mut self, memory: &Arc<Memory>, word: usize) -> Result<Allocation, BackendError> {
        // SAFETY: buffer and memory are of this device, the buffer is unbound, and the memory has
        // room for it at this offset, which its alignment divides.
        unsafe { self.device.raw().bind_buffer_memory(self.raw, memory.raw, word as u64 * 4) }
            .map_err(failed("vkBindBufferMemory"))?;
        self.memory = Some((Arc::clone(memory), word));
        Ok(Allocation(Arc::new(self)))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the buffer is this value's own. The GPU no longer uses it: neither the row's
        // commands, which the row waits for before it drops its allocations, nor wgpu's, since
        // wgpu lets go of an imported buffer only when they have ended.
        // (`a_buffer_outlives_its_row_in_passes_of_the_users_own` in tests/driver_rows.rs)
        unsafe { self.device.raw().destroy_buffer(self.raw, None) };
    }
}

/// A buffer and its memory, which live until all clones and imports of it are dropped. The owner
/// waits for its own commands before it drops them.
#[derive(Clone)]
pub(crate) struct Allocation(Arc<Buffer>);

impl Allocation {
    /// A buffer of `words` with memory of its own. Where it is mapped, all of them are 0.
    pub(crate) fn new(
        device: &Arc<Device>,
        words: usize,
        usage: Usage,
        placement: Placement,
    ) -> Result<Self, BackendError> {
        let buffer = Buffer::new(device, words, usage, None)?;
        let memory = Memory::new(device, buffer.needs(), placement)?;
        let allocation = buffer.bind(&Arc::new(memory), 0)?;
        // Nobody else has seen the words.
        let words = allocation.mapped().unwrap_or(&[]);
        words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        Ok(allocation)
    }

    /// Storage buffers in memory of the host's, each a range of its words, which are as they are.
    pub(crate) fn of_host(
        device: &Arc<Device>,
        host: &HostMemory,
        ranges: &[Range<usize>],
    ) -> Result<Vec<Self>, BackendError> {
        let mut buffers = Vec::with_capacity(ranges.len());
        let mut needs = vk::MemoryRequirements { memory_type_bits: !0, ..Default::default() };
        for range in ranges {
            let buffer = Buffer::new(device, range.len(), Usage::Storage, Some(host))?;
            let its = buffer.needs();
            needs.memory_type_bits &= its.memory_type_bits;
            let start = range.start as u64 * 4;
            let fits = start + its.size <= size_of_val(host.all()) as u64;
            if !fits || !start.is_multiple_of(its.alignment) {
                let (size, alignment) = (its.size, its.alignment);
                let message = format!("it wants {size} bytes at a multiple of {alignment}");
                return Err(BackendError::Refused { message });
            }
            buffers.push(buffer);
        }
        let memory = Arc::new(Memory::of_host(device, host, needs)?);
        buffers
            .into_iter()
            .zip(ranges)
            .map(|(buffer, range)| buffer.bind(&memory, range.start))
            .collect()
    }

    /// The words, if the host sees them.
    pub(crate) fn mapped(&self) -> Option<&[AtomicU32]> {
        let (memory, first) = self.0.memory.as_ref()?;
        let words = memory.words?;
        // SAFETY: from `first` on, `words` words stay mapped as long as the memory, at an address
        // that Vulkan aligns to at least 64 bytes, or the caller to a page. The GPU reads and
        // writes them too, as it does every atomic: a torn word is not possible, and what is seen
        // when is what the submissions order.
        // (`r5_after_a_dispatch_the_callers_view_is_the_result` in tests/driver_contracts.rs)
        Some(unsafe { std::slice::from_raw_parts(words.as_ptr().add(*first), self.0.words) })
    }

    pub(crate) fn buffer(&self) -> vk::Buffer {
        self.0.raw
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.words as u64 * 4
    }

    pub(crate) fn flags(&self) -> Flags {
        self.0.memory.as_ref().map_or(Flags::empty(), |(memory, _)| memory.flags)
    }

    /// The buffer as wgpu's, to be bound and copied by its commands.
    pub(crate) fn import(&self, label: &str) -> wgpu::Buffer {
        let kept = Arc::clone(&self.0);
        // SAFETY: the VkBuffer is of this device, and alive until wgpu has dropped the callback,
        // which owns it too.
        let hal = unsafe {
            wgpu_hal::vulkan::Buffer::from_raw_externally_owned(
                self.0.raw,
                Box::new(move || drop(kept)),
            )
        };
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: self.bytes(),
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        // SAFETY: made from this device's handle, with these usages and this size, and what is read
        // was written: by `new`, by the host whose memory it is, or by the caller before it lets
        // anybody read.
        unsafe {
            let wgpu = self.0.device.wgpu();
            wgpu.create_buffer_from_hal::<wgpu_hal::api::Vulkan>(hal, &descriptor)
        }
    }
}
