//! The ABI of a GPU job ring, for code that must not allocate.
//!
//! Four buffers of little-endian `u32` words carry jobs to a GPU kernel that drains them:
//!
//! ```text
//!   control    shutdown, counters, tenant masks and quotas, observables
//!   ring       16 words a slot: status, opcode, tenant, priority, 12 arguments
//!   debug log  a cursor, then records of 4 words
//!   IO queue   8 words a slot: requests the GPU makes of its host
//! ```
//!
//! The caller owns all storage. Every view here works over exclusive words (`&mut [u32]`, or
//! bytes through [`words::from_bytes_mut`]) and over shared words (`&[AtomicU32]`, for memory
//! that a kernel or an interrupt also touches), with one implementation of each rule.
//!
//! ```
//! use slipring_core::{control::Control, opcode, ring::{Job, Ring}};
//!
//! let mut words = [0u32; 16 * 4];
//! let ring = Ring::new(&mut words)?;
//! ring.publish(0, &Job::new(opcode::STORE_U32, &[7, 160]))?;
//! // Slot 0 is published: a busy slot is refused, and nothing changes.
//! assert!(ring.publish(0, &Job::new(opcode::NOP, &[])).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here allocates, panics or blocks, and nothing needs compare-exchange, so the same
//! code runs on a Cortex-M0.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(target_endian = "big")]
compile_error!("slipring's buffers are little-endian words; big-endian targets are not supported");

pub mod control;
pub mod debug_log;
pub mod interrupt;
pub mod io_queue;
pub mod layout;
#[cfg(feature = "link")]
pub mod link;
pub mod opcode;
pub mod packed;
pub mod partition;
pub mod publisher;
pub mod ring;
pub mod row;
pub mod slot;
pub mod tenant;
pub mod twin;
pub mod words;
