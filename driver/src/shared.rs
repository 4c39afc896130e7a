//! The device that rows share, and the next one when it is lost.

use crate::backend::{Backend, RowOptions};
use crate::open::{DriverBuilder, OpenError, Opened};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) struct Shared {
    /// What every device is opened with.
    builder: DriverBuilder,
    backend: Mutex<Arc<dyn Backend>>,
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shared").field("choice", &self.backend().choice()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Shares a device that `builder` has opened.
    pub(crate) fn new(builder: &DriverBuilder, backend: &Arc<dyn Backend>) -> Self {
        let builder = builder.clone().backend(backend.choice());
        Self { builder, backend: Mutex::new(Arc::clone(backend)) }
    }

    /// What the first row was opened with, but for the backend, which is the one it got.
    pub(crate) fn builder(&self) -> &DriverBuilder {
        &self.builder
    }

    /// The device by now.
    pub(crate) fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A row on the device; on the next one, if that one is lost and is to be replaced.
    pub(crate) fn open_row(
        &self,
        options: &RowOptions,
        recovers: bool,
    ) -> Result<Opened, OpenError> {
        let backend = self.backend();
        match Arc::clone(&backend).open_row(options) {
            Err(OpenError::Backend(error)) if error.is_lost() && recovers => {
                self.replace(&backend, options)
            }
            opened => Ok((backend, opened?)),
        }
    }

    /// A row on the device that replaces a lost one, which is opened unless another row has done
    /// so.
    pub(crate) fn replace(
        &self,
        lost: &Arc<dyn Backend>,
        row: &RowOptions,
    ) -> Result<Opened, OpenError> {
        let mut backend = self.backend.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_same(&backend, lost) {
            match Arc::clone(&backend).open_row(row) {
                // That one is lost by now too.
                Err(OpenError::Backend(error)) if error.is_lost() => {}
                opened => return Ok((Arc::clone(&backend), opened?)),
            }
        }
        let opened = self.builder.open_device(row)?;
        *backend = Arc::clone(&opened.0);
        Ok(opened)
    }
}

/// Whether two are one device.
pub(crate) fn is_same(a: &Arc<dyn Backend>, b: &Arc<dyn Backend>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}
