//! One turn of the loop: publish, dispatch, see every result. Each backend, beside the loop that
//! a good user of safe wgpu writes, and beside the floor.

mod raw;
mod safe;

use crate::harness::{Case, Side, side};
use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_core::ring::WorkItem;
use slipring_core::slot::Priority;
use slipring_driver::{BackendChoice, Driver, DriverBuilder, Kernel, Readback, Recovery};
use std::hint::black_box;

/// Jobs of one turn.
const JOBS: [u32; 3] = [64, 256, 1024];
const OBSERVABLES: u32 = 64;

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
        peer: Some(peer),
    };
    let of_jobs = |jobs: u32| {
        let mapped = || slipring(jobs, jobs, BackendChoice::Mapped);
        let portable = || slipring(jobs, jobs, BackendChoice::Portable);
        let safe = || ("safe wgpu", run(jobs, safe::Safe::open(jobs)));
        let floor = || ("raw floor", run(jobs, raw::Raw::open(jobs)));
        [
            case(jobs, "mapped; raw floor", mapped(), floor()),
            case(jobs, "mapped; safe wgpu", mapped(), safe()),
            case(jobs, "mapped, recovering; mapped", recovering(jobs), ("mapped", mapped())),
            case(jobs, "portable; safe wgpu", portable(), safe()),
        ]
    };
    JOBS.into_iter().flat_map(of_jobs).collect()
}

fn run(jobs: u32, turn: impl Turn + 'static) -> Box<dyn Side> {
    side(turn, |_| {}, move |turn| assert_eq!(black_box(turn).turn(), jobs, "every job is done"))
}

fn observables() -> u32 {
    OBSERVABLES
}

/// Jobs that add to observables of their own, a few to each.
pub fn items(jobs: u32) -> Vec<WorkItem> {
    let output = |i| 160 + i % OBSERVABLES;
    let item = |i| WorkItem { opcode: opcode::ATOMIC_ADD, input: i, output: output(i), param: 0 };
    (0..jobs).map(item).collect()
}

struct Slipring {
    driver: Driver,
    items: Vec<WorkItem>,
}

/// Turns of `jobs` jobs in a ring of `slots`.
pub fn slipring(jobs: u32, slots: u32, choice: BackendChoice) -> Box<dyn Side> {
    turns(builder(slots).backend(choice).open().expect("a GPU"), items(jobs))
}

/// Turns of these jobs.
pub fn turns(driver: Driver, items: Vec<WorkItem>) -> Box<dyn Side> {
    run(items.len() as u32, Slipring { driver, items })
}

/// The same on the mapped backend, with all that it takes to outlive a device.
fn recovering(jobs: u32) -> Box<dyn Side> {
    let builder = builder(jobs).backend(BackendChoice::Mapped).recovery(Recovery::default());
    turns(builder.open().expect("a GPU"), items(jobs))
}

/// A row of so many slots with the built-in kernel.
pub fn builder(slots: u32) -> DriverBuilder {
    let kernel = Kernel::builder().build().expect("the built-in kernel compiles");
    let geometry = Geometry::of_slots(slots, OBSERVABLES).expect("legal counts");
    Driver::builder(kernel, geometry)
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
