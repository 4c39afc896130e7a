//! Who publishes: a driver, or one of its guards.

use crate::driver::Driver;
use crate::overlapped::Overlapped;
use crate::persistent::{PersistError, Persistent};
use crate::rows::sealed::Sealed;
use slipring_core::publisher::{Outcome, PublisherError, Ticket};
use slipring_core::ring::Job;
use slipring_core::slot::Priority;

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

/// Whose jobs the ring does not take now, so that nobody asks again.
#[derive(Default)]
pub(crate) struct Refusals {
    /// A bit each.
    levels: u32,
    tenants: u32,
    last: Option<PublisherError>,
}

impl Refusals {
    pub(crate) fn has(&self, priority: Priority, tenant: u32) -> bool {
        // A tenant beyond the table is refused for good.
        let tenant = 1u32.checked_shl(tenant).unwrap_or(0);
        self.levels & 1 << priority as u32 != 0 || self.tenants & tenant != 0
    }

    /// Notes why a job was not published, if it may be later.
    pub(crate) fn add(&mut self, error: &PublisherError) -> bool {
        match error {
            PublisherError::Full { priority, .. } => self.levels |= 1 << *priority as u32,
            PublisherError::Quota { tenant, .. } => self.tenants |= 1 << tenant,
            _ => return false,
        }
        self.last = Some(*error);
        true
    }

    /// The last reason.
    pub(crate) fn last(&self) -> Option<PublisherError> {
        self.last
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
