//! GPU drivers for tests: the validation layer on, and every message of it kept.
//!
//! `SLIPRING_SKIP_GPU=1` skips what needs a GPU; without it, a missing Vulkan device is a
//! failure. That the layer is there and is heard, `programs/validation.rs` proves.

#![allow(dead_code, reason = "each test target uses its part")]

use slipring_core::layout::Geometry;
use slipring_core::ring::Job;
use slipring_driver::gpu::Gpu;
use slipring_driver::{BackendChoice, Driver, DriverBuilder, Handler, Kernel, wgpu};
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, Once};

/// What Vulkan said in threads of the driver's own, of whichever test.
static DRIVER_MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// What Vulkan said in this thread: the layer calls back in the thread of the call.
    static MESSAGES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Listener;

impl log::Log for Listener {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        // `wgpu_hal::vulkan` passes on the layer's messages.
        metadata.level() <= log::Level::Warn && metadata.target().starts_with("wgpu_hal")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let message = format!("{}: {}", record.level(), record.args());
            if std::thread::current().name().is_some_and(|name| name.starts_with("slipring")) {
                DRIVER_MESSAGES.lock().unwrap().push(message);
            } else {
                MESSAGES.with_borrow_mut(|messages| messages.push(message));
            }
        }
    }

    fn flush(&self) {}
}

/// Whether tests that need a GPU are to be skipped; says so if they are.
pub fn is_skipped() -> bool {
    let skipped = std::env::var("SLIPRING_SKIP_GPU").is_ok_and(|value| value == "1");
    if skipped {
        println!("skipped: SLIPRING_SKIP_GPU=1");
    }
    skipped
}

/// A driver that, when it is dropped, makes sure that Vulkan has not complained, of its end
/// neither.
pub struct Checked(Option<Driver>);

impl From<Driver> for Checked {
    fn from(driver: Driver) -> Self {
        Self(Some(driver))
    }
}

impl Deref for Checked {
    type Target = Driver;

    fn deref(&self) -> &Driver {
        self.0.as_ref().expect("taken only in drop")
    }
}

impl DerefMut for Checked {
    fn deref_mut(&mut self) -> &mut Driver {
        self.0.as_mut().expect("taken only in drop")
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        drop(self.0.take());
        if !std::thread::panicking() {
            assert_no_messages();
        }
    }
}

/// The backends that run on a GPU.
pub const GPU: [BackendChoice; 2] = [BackendChoice::Mapped, BackendChoice::Portable];

/// Opens a driver on the GPU with the validation layer on.
pub fn open(builder: DriverBuilder, choice: BackendChoice) -> Checked {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        log::set_logger(&Listener).expect("no other logger is installed");
        // wgpu asks the layer only for what the logger's level lets through.
        log::set_max_level(log::LevelFilter::Warn);
    });
    match builder.backend(choice).validation(true).open() {
        Ok(driver) => driver.into(),
        Err(error) => panic!("{error}\nSLIPRING_SKIP_GPU=1 skips the tests that need a GPU"),
    }
}

/// What Vulkan, its validation layer included, complained of in this thread since the last call.
pub fn take_messages() -> Vec<String> {
    MESSAGES.with_borrow_mut(std::mem::take)
}

/// Fails if Vulkan complained of anything in this thread, or in one of the driver's.
pub fn assert_no_messages() {
    let mut messages = take_messages();
    messages.append(&mut DRIVER_MESSAGES.lock().unwrap());
    assert!(messages.is_empty(), "Vulkan complained:\n{}", messages.join("\n"));
}

/// Runs `check` on the twin, and on every GPU backend with the validation layer on.
pub fn everywhere(builder: DriverBuilder, check: impl Fn(&mut Driver)) {
    check(&mut builder.clone().backend(BackendChoice::Twin).open().unwrap());
    on_gpu(builder, check);
}

/// Runs `check` on every GPU backend with the validation layer on, unless the GPU is to be
/// skipped.
pub fn on_gpu(builder: DriverBuilder, check: impl Fn(&mut Driver)) {
    if is_skipped() {
        return;
    }
    for choice in GPU {
        let mut driver = open(builder.clone(), choice);
        println!("on {}", driver.backend().backend);
        check(&mut driver);
    }
}

/// A pass of the user's own: copies the first half of a buffer over the second.
pub fn copy_half(gpu: &Gpu, buffer: &wgpu::Buffer) {
    let half = buffer.size() / 2;
    let between = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: half,
        usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &between, 0, half);
    encoder.copy_buffer_to_buffer(&between, 0, buffer, half, half);
    gpu.submit([encoder.finish()]).unwrap();
}

/// Slots of [`long_work`]'s ring.
pub const LONG_SLOTS: u32 = 8192;
/// A job of [`long_work`]: as many of them as there are slots take a good second on llvmpipe.
pub const LONG_JOB: Job<'static> = Job { args: &[40_000], ..Job::new(0x100, &[]) };

/// A driver for work that is not over within a few milliseconds on llvmpipe, whatever the machine.
pub fn long_work() -> DriverBuilder {
    let source = "fn spin(job: Job) -> u32 {
        for (var i = 0u; i < arg(job, 0u); i++) { observe_add(0u, 1u); }
        return HANDLER_OK;
    }";
    let handler = Handler::wgsl(0x100, "spin", "spin.wgsl", source).iterations(40_001);
    let kernel = Kernel::builder().handler(handler).build().unwrap();
    Driver::builder(kernel, Geometry::of_slots(LONG_SLOTS, 8).unwrap())
}
