//! Who publishes: a driver, or one of its guards.

use crate::driver::Driver;
use crate::overlapped::Overlapped;
use crate::persistent::{PersistError, Persistent};
use crate::rows::sealed::Sealed;
use slipring_core::control::TENANTS;
use slipring_core::publisher::{Outcome, PublisherError, Ticket};
use slipring_core::ring::Job;
use slipring_core::slot::{LEVELS, Priority};

/// What [`Ingest`](super::Ingest) and [`Links`](crate::link::Links) publish through: a [`Driver`],
/// or one of its guards, [`Overlapped`] and [`Persistent`].
pub trait Publish: sealed::Serve {
    /// Publishes a job.
    ///
    /// # Errors
    /// As [`Driver::publish`].
    fn publish(&mut self, job: &Job<'_>) -> Result<Ticket, PublisherError>;

    /// What became of a job by now. Reading a fault frees its slot.
    fn outcome(&mut self, ticket: Ticket) -> Outcome;
}

/// Why the ring does not take jobs now, once for each level and tenant, so that nobody asks again.
#[derive(Default)]
pub(crate) struct Refusals(heapless::Vec<PublisherError, { LEVELS + TENANTS as usize }>);

impl Refusals {
    /// Why jobs of this level, or of this tenant, are not taken; none if nobody has asked.
    pub(crate) fn reason(&self, priority: Priority, tenant: u32) -> Option<PublisherError> {
        let is_theirs = |error: &&PublisherError| match error {
            PublisherError::Full { priority: level, .. } => *level == priority,
            PublisherError::Quota { tenant: other, .. } => *other == tenant,
            _ => false,
        };
        self.0.iter().find(is_theirs).copied()
    }

    /// Notes why a job was not published, if it may be later.
    pub(crate) fn add(&mut self, error: &PublisherError) -> bool {
        let is_passing = Self::is_passing(error);
        if is_passing {
            // There is room: each is asked for once.
            let _ = self.0.push(*error);
        }
        is_passing
    }

    /// Whether a job that was not published may be later.
    pub(crate) fn is_passing(error: &PublisherError) -> bool {
        matches!(error, PublisherError::Full { .. } | PublisherError::Quota { .. })
    }
}

mod sealed {
    use super::{PersistError, Sealed};

    pub trait Serve: Sealed {
        /// Whether a kernel stays on, whose I/O is then served.
        fn serve(&mut self) -> Result<bool, PersistError> {
            Ok(false)
        }
    }
}

macro_rules! publish_through {
    ($publisher:ty) => {
        impl Publish for $publisher {
            fn publish(&mut self, job: &Job<'_>) -> Result<Ticket, PublisherError> {
                <$publisher>::publish(self, job)
            }

            fn outcome(&mut self, ticket: Ticket) -> Outcome {
                <$publisher>::outcome(self, ticket)
            }
        }
    };
}

publish_through!(Driver);
publish_through!(Overlapped<'_>);
publish_through!(Persistent<'_>);

impl Sealed for Overlapped<'_> {
    fn driver(&mut self) -> &mut Driver {
        self.driver
    }
}

impl Sealed for Persistent<'_> {
    fn driver(&mut self) -> &mut Driver {
        self.driver
    }
}

impl sealed::Serve for Driver {}
impl sealed::Serve for Overlapped<'_> {}

impl sealed::Serve for Persistent<'_> {
    fn serve(&mut self) -> Result<bool, PersistError> {
        self.serve_io();
        self.slices().map(|_| true)
    }
}
