//! Who publishes: a driver, or one of its guards.

use crate::driver::Driver;
use crate::overlapped::Overlapped;
use crate::persistent::{PersistError, Persistent};
use crate::rows::sealed::Sealed;
use slipring_core::publisher::{Outcome, PublisherError, Ticket};
use slipring_core::ring::Job;

/// What [`Ingest`](super::Ingest) publishes through: a [`Driver`], or one of its guards,
/// [`Overlapped`] and [`Persistent`].
pub trait Publish: sealed::Serve {
    /// Publishes a job.
    ///
    /// # Errors
    /// As [`Driver::publish`].
    fn publish(&mut self, job: &Job<'_>) -> Result<Ticket, PublisherError>;

    /// What became of a job by now. Reading a fault frees its slot.
    fn outcome(&mut self, ticket: Ticket) -> Outcome;
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
