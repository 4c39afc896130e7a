//! Runs a [slipring](slipring_core) on a GPU.
//!
//! A [`Driver`] binds one row's four buffers to resident GPU memory, uploads what was
//! published, runs the megakernel over it and brings results home. Where there is no GPU, the
//! kernel's twin runs on the CPU, with the same results.

pub mod arena;
pub mod backend;
pub mod debug_formats;
mod device;
mod dirty;
pub mod driver;
pub mod gpu;
mod host_row;
pub mod input;
pub mod kernel;
pub mod link;
pub mod open;
pub mod overlapped;
pub mod persistent;
pub mod readback;
pub mod recovery;
pub mod rows;
mod shared;
pub mod stats;
pub mod storage;
mod vulkan;
mod work;

pub use arena::{ArenaOptions, Rung};
pub use backend::{BackendError, BackendInfo, LaneOrder};
pub use driver::{Driver, DriverError};
pub use kernel::{Handler, Kernel};
pub use open::{BackendChoice, DriverBuilder, OpenError};
pub use overlapped::Overlapped;
pub use persistent::Persistent;
pub use readback::Readback;
pub use recovery::Recovery;
pub use rows::{RowMut, RowResults, dispatch_rows};
pub use stats::Drained;

/// The version of wgpu whose types this crate's functions take and return.
pub use wgpu;

// Compiles and runs the README's code.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
