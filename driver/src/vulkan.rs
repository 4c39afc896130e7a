//! Raw Vulkan below wgpu: memory that host and GPU share, and submissions that allocate nothing.
//!
//! ```text
//!   wgpu::Device ─▶ VkDevice, VkQueue ─▶ mapped buffers ─▶ recorded commands ─▶ timeline
//! ```
//!
//! Safe wgpu allocates at every submission and cannot leave memory mapped while the GPU uses it.
//! All that goes around it is here; everything else of the driver sees `&[AtomicU32]`.

mod cache;
mod device;
mod memory;
mod pipelines;
mod recording;
mod spirv;
mod timeline;

pub(crate) use device::{Device, open_importing};
pub(crate) use memory::{Allocation, Placement, Usage};
pub(crate) use pipelines::{Bindings, Pipelines};
pub(crate) use recording::{DISPATCH_WORDS, RUNS, Recording};
pub(crate) use spirv::compile;
pub(crate) use timeline::Timeline;
