//! Who publishes: a driver, or one of its guards.

use crate::driver::Driver;
use crate::overlapped::Overlapped;
use crate::persistent::{PersistError, Persistent};
use slipring_core::publisher::{Outcome, PublisherError, Ticket};
use slipring_core::ring::Job;

/// What [`Ingest`](super::Ingest) publishes through: a [`Driver`], or one of its guards,
/// [`Overlapped`] and [`Persistent`].
pub trait Publish: sealed::Owner {
    /// Publishes a job.
    ///
    /// # Errors
    /// As [`Driver::publish`].
    fn publish(&mut self, job: &Job<'_>) -> Result<Ticket, PublisherError>;

    /// What became of a job by now. Reading a fault frees its slot.
    fn outcome(&mut self, ticket: Ticket) -> Outcome;
}

mod sealed {
    use super::{Driver, PersistError};

    /// Who has the driver whose arena chunks land in.
    pub trait Owner {
        fn driver(&mut self) -> &mut Driver;

        /// Whether a kernel stays on, whose I/O is then served.
        fn serve(&mut self) -> Result<bool, PersistError>;
    }
}

macro_rules! publish_through {
    ($publisher:ty, $driver:expr, $serve:expr) => {
        impl Publish for $publisher {
            fn publish(&mut self, job: &Job<'_>) -> Result<Ticket, PublisherError> {
                <$publisher>::publish(self, job)
            }

            fn outcome(&mut self, ticket: Ticket) -> Outcome {
                <$publisher>::outcome(self, ticket)
            }
        }

        impl sealed::Owner for $publisher {
            fn driver(&mut self) -> &mut Driver {
                let driver: fn(&mut Self) -> &mut Driver = $driver;
                driver(self)
            }

            fn serve(&mut self) -> Result<bool, PersistError> {
                let serve: fn(&mut Self) -> Result<bool, PersistError> = $serve;
                serve(self)
            }
        }
    };
}

publish_through!(Driver, |driver| driver, |_| Ok(false));
publish_through!(Overlapped<'_>, |guard| guard.driver, |_| Ok(false));
publish_through!(Persistent<'_>, |guard| guard.driver, |guard| {
    guard.serve_io();
    guard.slices().map(|_| true)
});
