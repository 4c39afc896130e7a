//! Many rows on one device, drained in one submission.
//!
//! ```
//! use slipring_core::{layout::Geometry, opcode, ring::Job};
//! use slipring_driver::{Driver, Kernel, Readback, RowResults, dispatch_rows};
//! # use slipring_driver::BackendChoice;
//! # let choice = BackendChoice::Twin;
//! let builder = Driver::builder(Kernel::builder().build()?, Geometry::of_slots(64, 8)?);
//! # let builder = builder.backend(choice);
//! let first = builder.open()?;
//! // Another geometry, tenants of its own; the kernel and the device are the first one's.
//! let second = first.another_row(Geometry::of_slots(256, 8)?).open()?;
//! let mut rows = [first, second];
//! for row in &mut rows {
//!     row.publish(&Job::new(opcode::STORE_U32, &[42, 160]))?;
//! }
//! let mut results = RowResults::with_capacity(rows.len());
//! dispatch_rows(&mut rows, &Readback::observables(0..1), &mut results)?;
//! assert_eq!(results.rows().iter().map(|row| row.done).collect::<Vec<_>>(), [1, 1]);
//! assert_eq!((results.total().rows, results.total().handles), (2, 8));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A row is added by opening it and removed by dropping it; neither waits for drains of the others.

use crate::device::submit;
use crate::driver::{Driver, DriverError};
use crate::readback::Readback;
use crate::shared::is_same;
use crate::stats::Drained;
use std::sync::Arc;

/// What became of each row, in memory that is used again.
#[derive(Clone, Debug, Default)]
pub struct RowResults {
    rows: Vec<Drained>,
}

impl RowResults {
    /// Results with room for so many rows; more are allocated.
    pub fn with_capacity(rows: usize) -> Self {
        Self { rows: Vec::with_capacity(rows) }
    }

    /// The last dispatch's results, in the order of its rows.
    pub fn rows(&self) -> &[Drained] {
        &self.rows
    }

    /// All rows together. Their one submission counts once: its sync points and latency are those
    /// of the row that has most.
    pub fn total(&self) -> Drained {
        self.rows.iter().fold(Drained::default(), Drained::with)
    }

    /// Forgets the results and keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
    }
}

/// A driver or a reference to one, as [`dispatch_rows`] takes them. No other type can be: a row is
/// the same driver whenever it is asked.
pub trait RowMut: sealed::Sealed {}

impl RowMut for Driver {}
impl RowMut for &mut Driver {}

pub(crate) mod sealed {
    use super::Driver;

    /// Who has a driver; of this crate's own types only.
    pub trait Sealed {
        fn driver(&mut self) -> &mut Driver;
    }

    impl Sealed for Driver {
        fn driver(&mut self) -> &mut Driver {
            self
        }
    }

    impl Sealed for &mut Driver {
        fn driver(&mut self) -> &mut Driver {
            self
        }
    }
}

/// Runs one drain of each row, all in one submission, and brings `readback` of each home. Rows are
/// on one device when all but the first were opened by [`Driver::another_row`].
///
/// Nothing is allocated on the mapped backend once `results` and the first row have served so many
/// rows.
///
/// # Errors
/// [`DriverError::ForeignRow`], [`DriverError::ObservableRange`] of the first row that has it, and
/// those of [`Driver::dispatch`]: then no row has forgotten anything, but for those that `results`
/// has.
pub fn dispatch_rows<R: RowMut>(
    rows: &mut [R],
    readback: &Readback,
    results: &mut RowResults,
) -> Result<(), DriverError> {
    results.clear();
    dispatch_each(rows, readback, |drained| results.rows.push(drained))
}

/// [`dispatch_rows`], with the results handed on.
pub(crate) fn dispatch_each<R: RowMut>(
    rows: &mut [R],
    readback: &Readback,
    mut take: impl FnMut(Drained),
) -> Result<(), DriverError> {
    check(rows, readback)?;
    let mut began = Ok(());
    for row in &mut *rows {
        began = began.and_then(|()| row.driver().begin(readback));
    }
    let mut finished = 0;
    let dispatched = began.and_then(|()| start(rows)).and_then(|was_lost| {
        for row in &mut *rows {
            take(row.driver().finish_oldest(was_lost)?);
            finished += 1;
        }
        Ok(())
    });
    if dispatched.is_err() {
        rows[finished..].iter_mut().for_each(|row| row.driver().cancel());
    }
    dispatched
}

fn check<R: RowMut>(rows: &mut [R], readback: &Readback) -> Result<(), DriverError> {
    let mut first = None;
    for (index, row) in rows.iter_mut().enumerate() {
        let row = row.driver();
        // A guard may have been forgotten.
        row.land();
        let device = &row.device;
        readback.check(device.host().geometry())?;
        let shared = first.get_or_insert_with(|| Arc::clone(&device.shared));
        if !Arc::ptr_eq(shared, &device.shared) {
            return Err(DriverError::ForeignRow { row: index });
        }
    }
    Ok(())
}

/// Has every row on the device that they share by now.
fn renew<R: RowMut>(rows: &mut [R]) -> Result<(), DriverError> {
    // Twice: one may find that the device is lost which those before it were content with.
    for _ in 0..2 {
        rows.iter_mut().try_for_each(|row| row.driver().device.renew())?;
    }
    let mut first = None;
    for (index, row) in rows.iter_mut().enumerate() {
        let backend = &row.driver().device.backend;
        if !is_same(first.get_or_insert_with(|| Arc::clone(backend)), backend) {
            return Err(DriverError::ForeignRow { row: index });
        }
    }
    Ok(())
}

/// Submits what was begun; says whether the device was lost, and every row can do with another.
fn start<R: RowMut>(rows: &mut [R]) -> Result<bool, DriverError> {
    renew(rows)?;
    let Err(error) = submit(rows, |row| &mut row.driver().device) else { return Ok(false) };
    let mut can_go_on = error.is_lost();
    if can_go_on {
        for row in rows {
            can_go_on &= row.driver().device.lose(&error);
        }
    }
    if can_go_on { Ok(true) } else { Err(error.into()) }
}
