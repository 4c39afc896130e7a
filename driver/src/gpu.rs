//! The GPU: which adapter, with what limits, and who may submit to it.

use crate::backend::BackendError;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Storage buffers that the kernel binds; V3DV has 8 a stage.
const STORAGE_BUFFERS: u32 = 8;
/// Lanes of a workgroup that the kernel uses at most; V3DV has 256.
const WORKGROUP_LANES: u32 = 256;

/// What the kernel needs of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Bytes of the largest buffer that the kernel binds.
    pub(crate) largest_binding: u64,
    /// Bytes of the largest buffer.
    pub(crate) largest_buffer: u64,
}

impl Needs {
    /// The limits to ask for: what is used, nothing of graphics beyond the least. Buffers may be
    /// as large as the adapter allows, since rows are added later.
    fn limits(self, adapter: &wgpu::Limits) -> wgpu::Limits {
        wgpu::Limits {
            max_storage_buffers_per_shader_stage: STORAGE_BUFFERS,
            max_compute_invocations_per_workgroup: WORKGROUP_LANES,
            max_compute_workgroup_size_x: WORKGROUP_LANES,
            max_buffer_size: self.largest_buffer.max(adapter.max_buffer_size),
            max_storage_buffer_binding_size: self
                .largest_binding
                .max(adapter.max_storage_buffer_binding_size),
            ..wgpu::Limits::downlevel_defaults()
        }
    }

    /// Why the adapter does not do, if it does not.
    fn unmet(self, adapter: &wgpu::Adapter) -> Option<String> {
        let flags = adapter.get_downlevel_capabilities().flags;
        if !flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
            return Some("has no compute shaders".to_owned());
        }
        let mut unmet = None;
        let limits = adapter.limits();
        self.limits(&limits).check_limits_with_fail_fn(&limits, true, |name, asked, has| {
            unmet = Some(format!("{name} is {has} and {asked} is needed"));
        });
        unmet
    }
}

/// Why no GPU was opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum GpuError {
    /// The system has no Vulkan driver, or no device behind it.
    #[error("no Vulkan device was found; install a driver (Debian: mesa-vulkan-drivers)")]
    NoAdapter,
    /// There are devices, and none fits.
    #[error("no Vulkan device fits: {}", reasons.join("; "))]
    NoneFits { reasons: Vec<String> },
    /// A row has a buffer that the device, which is open, does not take.
    #[error("a buffer of {bytes} bytes; the device takes {limit}")]
    BufferTooLarge { bytes: u64, limit: u64 },
}

/// How a device is opened, or why not, in words.
pub(crate) type Opener =
    fn(&wgpu::Adapter, &wgpu::DeviceDescriptor<'_>) -> Result<(wgpu::Device, wgpu::Queue), String>;

/// Opens a device as wgpu does.
pub(crate) fn open_safely(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor<'_>,
) -> Result<(wgpu::Device, wgpu::Queue), String> {
    pollster::block_on(adapter.request_device(descriptor)).map_err(|error| error.to_string())
}

/// The process's instance of Vulkan, with the validation layer or without. It stays: some Vulkan
/// drivers can be loaded and unloaded a few dozen times, and no more (NVIDIA's, whose
/// thread-local memory is not given back), and a device that is lost may be opened more often.
fn instance(validation: bool) -> &'static wgpu::Instance {
    static INSTANCES: [OnceLock<wgpu::Instance>; 2] = [OnceLock::new(), OnceLock::new()];
    INSTANCES[usize::from(validation)].get_or_init(|| {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::VULKAN;
        // Without DEBUG, wgpu does not listen to what the layer says. (Its default is both in
        // debug builds, and none in others.)
        descriptor.flags = match validation {
            true => wgpu::InstanceFlags::VALIDATION | wgpu::InstanceFlags::DEBUG,
            false => wgpu::InstanceFlags::empty(),
        };
        wgpu::Instance::new(descriptor)
    })
}

/// What went wrong on a device outside of any call.
#[derive(Debug, Default)]
struct Trouble {
    lost: Option<String>,
    refused: Option<String>,
}

/// An open device. It owns the queue: whoever has passes of their own submits them here, so
/// that all submissions are in one order.
#[derive(Debug)]
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    reason: String,
    trouble: Arc<Mutex<Trouble>>,
    /// Held by whoever submits: wgpu's queue and Vulkan's are one.
    order: Arc<Mutex<()>>,
    /// What a user has submitted last.
    users: Mutex<Option<wgpu::SubmissionIndex>>,
}

impl Gpu {
    /// Opens the best adapter that fits: discrete, then integrated, then CPU with a warning.
    pub(crate) fn open(needs: Needs, validation: bool, opener: Opener) -> Result<Self, GpuError> {
        let instance = instance(validation);
        let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
        if adapters.is_empty() {
            return Err(GpuError::NoAdapter);
        }
        adapters.sort_by_key(|adapter| rank(adapter.get_info().device_type));
        let mut passed_over = Vec::new();
        for adapter in adapters {
            let info = adapter.get_info();
            match needs.unmet(&adapter) {
                Some(unmet) => passed_over.push(format!("{}: {unmet}", info.name)),
                None => match Self::open_adapter(&adapter, info, needs, opener, &passed_over) {
                    Ok(gpu) => return Ok(gpu),
                    Err(reason) => passed_over.push(reason),
                },
            }
        }
        Err(GpuError::NoneFits { reasons: passed_over })
    }

    fn open_adapter(
        adapter: &wgpu::Adapter,
        info: wgpu::AdapterInfo,
        needs: Needs,
        opener: Opener,
        passed_over: &[String],
    ) -> Result<Self, String> {
        if info.device_type == wgpu::DeviceType::Cpu {
            tracing::warn!(adapter = info.name, "no GPU: the kernel runs on a CPU device");
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("slipring"),
            required_limits: needs.limits(&adapter.limits()),
            ..Default::default()
        };
        let opened = opener(adapter, &descriptor);
        let (device, queue) =
            opened.map_err(|error| format!("{} would not open: {error}", info.name))?;
        let trouble = Arc::new(Mutex::new(Trouble::default()));
        let lost = Arc::clone(&trouble);
        device.set_device_lost_callback(move |reason, message| {
            let told = format!("{reason:?} {message}");
            lock(&lost).lost = Some(told.trim_end().to_owned());
        });
        let refused = Arc::clone(&trouble);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&refused).refused.get_or_insert(error.to_string());
        }));
        let mut reason = format!("{:?}", info.device_type);
        if !passed_over.is_empty() {
            reason = format!("{reason}; passed over {}", passed_over.join("; "));
        }
        let (order, users) = (Arc::default(), Mutex::default());
        Ok(Self { device, queue, info, reason, trouble, order, users })
    }

    /// The device, to make resources of one's own. When it is destroyed, the portable backend's
    /// calls say that it is lost; the mapped backend's go on, since they do not need wgpu.
    ///
    /// One of wgpu's calls submits by itself: mapping a buffer that was created mapped, on a device
    /// whose memory it does not share, and not submitted since. Make it in [`Gpu::exclusively`],
    /// where another thread may be driving a row.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// What the adapter says of itself.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// Why this adapter.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Submits commands behind everything submitted before.
    ///
    /// # Errors
    /// [`BackendError`] when the device is lost, or refused anything since the last call.
    pub fn submit(
        &self,
        commands: impl IntoIterator<Item = wgpu::CommandBuffer>,
    ) -> Result<wgpu::SubmissionIndex, BackendError> {
        // Held across the submission, so that the last one stays the last.
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let index = self.start(commands);
        *users = Some(index.clone());
        drop(users);
        // wgpu only says in a poll that a device is lost.
        let _ = self.device.poll(wgpu::PollType::Poll);
        self.check().map(|()| index)
    }

    /// Does work while nobody submits: see [`Gpu::device`]. The work must not submit or drive a row
    /// itself.
    pub fn exclusively<T>(&self, work: impl FnOnce() -> T) -> T {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// Waits for what users have submitted, before the host looks at memory that they share.
    pub(crate) fn wait_for_users(&self, timeout: Duration) -> Result<(), BackendError> {
        // The lock is not held for the wait. Others may have to wait for the same.
        let index = self.users.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match index {
            Some(index) => self.wait(index, timeout),
            None => Ok(()),
        }
    }

    /// [`Gpu::submit`] for the kernel, whose failure shows when it is waited for.
    pub(crate) fn start(
        &self,
        commands: impl IntoIterator<Item = wgpu::CommandBuffer>,
    ) -> wgpu::SubmissionIndex {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        self.queue.submit(commands)
    }

    /// The right to submit, for those who go around wgpu.
    pub(crate) fn order(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.order)
    }

    /// Whether the device ends loops without a word: llvmpipe, the CPU device, does. Other devices
    /// have no limit.
    pub(crate) fn ends_loops(&self) -> bool {
        self.info.device_type == wgpu::DeviceType::Cpu
    }

    /// Whether the device, which is open, has room for buffers.
    pub(crate) fn check_limits(&self, needs: Needs) -> Result<(), GpuError> {
        let limits = self.device.limits();
        let (buffer, binding) = (limits.max_buffer_size, limits.max_storage_buffer_binding_size);
        for (bytes, limit) in [(needs.largest_buffer, buffer), (needs.largest_binding, binding)] {
            if bytes > limit {
                return Err(GpuError::BufferTooLarge { bytes, limit });
            }
        }
        Ok(())
    }

    pub(crate) fn create_buffer(
        &self,
        label: &str,
        words: usize,
        usage: wgpu::BufferUsages,
    ) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: words as u64 * 4,
            usage,
            mapped_at_creation: false,
        })
    }

    pub(crate) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    /// Writes bytes (a multiple of 4) ahead of the next submission.
    pub(crate) fn write(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
        self.queue.write_buffer(buffer, offset, bytes);
    }

    /// Waits for a submission and runs the callbacks that are due. What was submitted may have
    /// run, whatever goes wrong from here on: so every failure is a loss, and lasts.
    pub(crate) fn wait(
        &self,
        submission: wgpu::SubmissionIndex,
        timeout: Duration,
    ) -> Result<(), BackendError> {
        self.poll(Some(submission), timeout)
    }

    /// Whether a submission has ended; never waits.
    pub(crate) fn is_finished(
        &self,
        submission: wgpu::SubmissionIndex,
    ) -> Result<bool, BackendError> {
        let (submission_index, timeout) = (Some(submission), Some(Duration::ZERO));
        match self.device.poll(wgpu::PollType::Wait { submission_index, timeout }) {
            Ok(_) => self.check_lost().map(|()| true),
            Err(wgpu::PollError::Timeout) => Ok(false),
            Err(error) => Err(self.lose(error.to_string())),
        }
    }

    /// Waits for everything submitted so far, as [`Gpu::wait`].
    pub(crate) fn wait_all(&self, timeout: Duration) -> Result<(), BackendError> {
        self.poll(None, timeout)
    }

    fn poll(
        &self,
        submission_index: Option<wgpu::SubmissionIndex>,
        timeout: Duration,
    ) -> Result<(), BackendError> {
        match self.device.poll(wgpu::PollType::Wait { submission_index, timeout: Some(timeout) }) {
            Ok(_) => self.check_lost(),
            Err(wgpu::PollError::Timeout) => Err(self.lose_by(BackendError::timeout(timeout))),
            Err(error) => Err(self.lose(error.to_string())),
        }
    }

    /// What went wrong since the last check. A loss stays; a refusal is said once.
    pub(crate) fn check(&self) -> Result<(), BackendError> {
        let refused = lock(&self.trouble).refused.take();
        if refused.is_some() {
            // A lost device refuses calls; that it is lost is only said in a poll.
            let _ = self.device.poll(wgpu::PollType::Poll);
        }
        self.check_lost()?;
        refused.map_or(Ok(()), |message| Err(BackendError::Refused { message }))
    }

    /// Whether the device was given up.
    pub(crate) fn check_lost(&self) -> Result<(), BackendError> {
        match lock(&self.trouble).lost.clone() {
            Some(reason) => Err(BackendError::Lost { reason }),
            None => Ok(()),
        }
    }

    /// The error of a call after which what was submitted may have run: a loss, and it lasts.
    pub(crate) fn lose_by(&self, error: BackendError) -> BackendError {
        let lost = self.lose(error.to_string());
        if matches!(error, BackendError::Timeout { .. }) { error } else { lost }
    }

    /// Gives the device up, unless it already is, and says so.
    pub(crate) fn lose(&self, reason: String) -> BackendError {
        // wgpu only says in a poll that a device is lost, and why.
        let _ = self.device.poll(wgpu::PollType::Poll);
        let mut trouble = lock(&self.trouble);
        // A submission that was refused is only missed when it is waited for.
        let reason = trouble.refused.take().unwrap_or(reason);
        BackendError::Lost { reason: trouble.lost.get_or_insert(reason).clone() }
    }
}

fn lock(trouble: &Mutex<Trouble>) -> std::sync::MutexGuard<'_, Trouble> {
    trouble.lock().unwrap_or_else(PoisonError::into_inner)
}

fn rank(device_type: wgpu::DeviceType) -> u32 {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}
