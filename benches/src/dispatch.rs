//! One turn of the loop: publish, dispatch, see every result. Each backend, beside the loop that
//! a good user of safe wgpu writes, beside the floor, and beside vyre-driver-wgpu.

mod raw;
mod safe;
#[cfg(feature = "peers")]
mod vyre;
#[cfg(not(feature = "peers"))]
mod vyre {
    pub const NAME: &str = "";

    pub fn sides(_: &[u32]) -> Vec<super::Beside> {
        Vec::new()
    }
}

use crate::harness::{Case, Side, lazily, side};
pub use raw::mapped;
use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::ring::WorkItem;
use slipring_core::slot::Priority;
use slipring_driver::{BackendChoice, Driver, DriverBuilder, Handler, Kernel, Readback, Recovery};
use std::hint::black_box;

/// Jobs of one turn.
const JOBS: [u32; 3] = [64, 256, 1024];
const OBSERVABLES: u32 = 64;

/// Jobs, how the peer reads back, and the peer.
type Beside = (u32, &'static str, Box<dyn Side>);

/// One way to go about it; returns the jobs that were seen to be done.
trait Turn {
    fn turn(&mut self) -> u32;
}

pub fn cases() -> Vec<Case> {
    let case = |jobs: u32, name: &str, ours, peer| Case {
        name: format!("{jobs} jobs, {name}").leak(),
        unit: "us/turn",
        units: 1000,
        calls: 1,
        ours,
        peer,
    };
    let of_jobs = |jobs: u32| {
        let ours =
            |work: fn(u32) -> Work, choice| lazily(move || slipring(&work(jobs), jobs, choice));
        let mapped = |work| ours(work, BackendChoice::Mapped);
        let safe = |work: fn(u32) -> Work| {
            Some(("safe wgpu", lazily(move || run(jobs, safe::Safe::open(&work(jobs))))))
        };
        let floor = |work: fn(u32) -> Work| {
            Some(("raw floor", lazily(move || run(jobs, raw::Raw::open(&work(jobs))))))
        };
        let [adds, fused] = [Work::adds, Work::fused as fn(u32) -> Work];
        let recovering = lazily(move || recovering(&Work::adds(jobs)));
        [
            case(jobs, "mapped, alone", mapped(adds), None),
            case(jobs, "mapped; raw floor", mapped(adds), floor(adds)),
            case(jobs, "mapped; safe wgpu", mapped(adds), safe(adds)),
            case(jobs, "fused, mapped; raw floor", mapped(fused), floor(fused)),
            case(jobs, "fused, mapped; safe wgpu", mapped(fused), safe(fused)),
            case(jobs, "mapped, recovering; mapped", recovering, Some(("mapped", mapped(adds)))),
            case(jobs, "portable; safe wgpu", ours(adds, BackendChoice::Portable), safe(adds)),
        ]
    };
    let beside_vyre = |(jobs, readback, peer)| {
        let ours = lazily(move || slipring(&Work::adds(jobs), jobs, BackendChoice::Mapped));
        case(jobs, &format!("mapped; vyre, {readback}"), ours, Some((vyre::NAME, peer)))
    };
    let vyre = vyre::sides(&JOBS).into_iter().map(beside_vyre);
    JOBS.into_iter().flat_map(of_jobs).chain(vyre).collect()
}

fn run(jobs: u32, turn: impl Turn + 'static) -> Box<dyn Side> {
    side(turn, |_| {}, move |turn| assert_eq!(black_box(turn).turn(), jobs, "every job is done"))
}

/// What a turn is made of, the same on each side.
pub struct Work {
    kernel: Kernel,
    pub items: Vec<WorkItem>,
}

impl Work {
    /// Jobs of the built-in kernel that add to observables, a few to each.
    pub fn adds(jobs: u32) -> Self {
        let kernel = Kernel::builder().build().expect("the built-in kernel compiles");
        Self { kernel, items: items(jobs) }
    }

    /// The same by a handler in a kernel of its own.
    fn fused(jobs: u32) -> Self {
        let source = "fn add(job: Job) -> u32 {
            if !observe_add(arg(job, 1u) - 160u, arg(job, 0u)) { return fault(64u); }
            return HANDLER_OK;
        }";
        let kernel = Kernel::fused(Handler::wgsl(0x100, "add", "add.wgsl", source));
        let kernel = kernel.expect("a handler that compiles");
        let items = items(jobs).into_iter().map(|item| WorkItem { opcode: 0x100, ..item });
        Self { kernel, items: items.collect() }
    }

    fn jobs(&self) -> u32 {
        self.items.len() as u32
    }

    /// A row with a slot for each job.
    fn geometry(&self) -> Geometry {
        Geometry::of_slots(self.jobs(), OBSERVABLES).expect("legal counts")
    }
}

/// Jobs that add to observables, a few to each.
fn items(jobs: u32) -> Vec<WorkItem> {
    let output = |i| 160 + i % OBSERVABLES;
    let item = |i| WorkItem { opcode: opcode::ATOMIC_ADD, input: i, output: output(i), param: 0 };
    (0..jobs).map(item).collect()
}

struct Slipring {
    driver: Driver,
    items: Vec<WorkItem>,
}

/// Turns of this work in a ring of `slots`.
pub fn slipring(work: &Work, slots: u32, choice: BackendChoice) -> Box<dyn Side> {
    turns(builder(work, slots).backend(choice).open().expect("a GPU"), work.items.clone())
}

/// Turns of these jobs.
pub fn turns(driver: Driver, items: Vec<WorkItem>) -> Box<dyn Side> {
    run(items.len() as u32, Slipring { driver, items })
}

/// The same on the mapped backend, with all that it takes to outlive a device.
fn recovering(work: &Work) -> Box<dyn Side> {
    let builder = builder(work, work.jobs()).backend(BackendChoice::Mapped);
    let driver = builder.recovery(Recovery::default()).open().expect("a GPU");
    turns(driver, work.items.clone())
}

/// A row of so many slots with the work's kernel.
pub fn builder(work: &Work, slots: u32) -> DriverBuilder {
    let geometry = Geometry::of_slots(slots, OBSERVABLES).expect("legal counts");
    Driver::builder(work.kernel.clone(), geometry)
}

impl Turn for Slipring {
    fn turn(&mut self) -> u32 {
        let Self { driver, items } = self;
        driver.publish_items(0, Priority::Normal, items).expect("free slots");
        driver.dispatch(&Readback::none()).expect("a drain").done
    }
}

/// A compute pipeline of one bind group.
pub fn wgpu_pipeline(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    module: &wgpu::ShaderModule,
    entry: &str,
) -> wgpu::ComputePipeline {
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: Some(&layout),
        module,
        entry_point: Some(entry),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    })
}

/// A device as the driver would choose it.
pub fn wgpu_device() -> (wgpu::Device, wgpu::Queue) {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN;
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        _ => 2,
    });
    let limits = wgpu::Limits {
        max_storage_buffers_per_shader_stage: 8,
        ..wgpu::Limits::downlevel_defaults()
    };
    let request = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let adapter = adapters.first().expect("a Vulkan device");
    pollster::block_on(adapter.request_device(&request)).expect("a device")
}
