//! Who publishes: a driver, or one of its guards.

use crate::arena::Arena;
use crate::driver::{Driver, DriverError};
use crate::overlapped::Overlapped;
use crate::persistent::Persistent;
use slipring_core::publisher::{Outcome, PublisherError, Ticket};
use slipring_core::ring::Job;
use std::ops::Range;
use std::sync::Arc;

/// What [`Ingest`](super::Ingest) publishes through: a [`Driver`], or its guards [`Overlapped`] and
/// [`Persistent`].
pub trait Publish: Target {
    /// Publishes a job.
    ///
    /// # Errors
    /// As [`Driver::publish`].
    fn publish(&mut self, job: &Job<'_>) -> Result<Ticket, PublisherError>;

    /// What became of a job by now. Reading a fault frees its slot.
    fn outcome(&mut self, ticket: Ticket) -> Outcome;
}

/// The arena that chunks land in.
pub trait Target {
    /// Which one it is.
    #[doc(hidden)]
    fn arena(&self) -> Option<&Arc<Arena>>;

    /// Has the device see words of the arena that have landed.
    #[doc(hidden)]
    fn deliver(&mut self, words: Range<usize>) -> Result<(), DriverError>;
}
