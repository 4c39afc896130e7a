//! Losses to order, for tests: a device is then lost at a call of the test's choice.

use crate::backend::{Backend, BackendError, Cost, Drain};
use crate::host_row::HostRow;
use crate::persistent::{PersistError, Slices};
use slipring_core::layout::Buffer;
use slipring_core::partition::Partitions;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A call of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Opening a device.
    Open,
    /// Before anything was submitted.
    Start,
    /// After the drain has run.
    Finish,
    /// Writing the workspace.
    WriteWorkspace,
    /// Reading the workspace.
    ReadWorkspace,
}

/// Losses to come, for tests.
#[derive(Clone, Debug, Default)]
pub struct Losses(Arc<Mutex<Vec<Stage>>>);

impl Losses {
    /// Has the next call of this kind say that the device is lost.
    pub fn lose_at(&self, stage: Stage) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(stage);
    }

    pub(crate) fn take(&self, stage: Stage) -> Result<(), BackendError> {
        let mut stages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match stages.iter().position(|planned| *planned == stage) {
            None => Ok(()),
            Some(index) => {
                stages.remove(index);
                Err(BackendError::Lost { reason: format!("injected at {stage:?}") })
            }
        }
    }
}

/// A backend that loses its device when it is told to.
pub(crate) struct Losing {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) losses: Losses,
}

impl Backend for Losing {
    fn info(&self) -> &crate::backend::BackendInfo {
        self.backend.info()
    }

    fn host(&self) -> &HostRow {
        self.backend.host()
    }

    fn shares_row(&self) -> bool {
        self.backend.shares_row()
    }

    fn start(&mut self, drain: &Drain<'_>) -> Result<Cost, BackendError> {
        self.losses.take(Stage::Start)?;
        self.backend.start(drain)
    }

    fn finish(&mut self, readback: &[(Buffer, Range<usize>)]) -> Result<(), BackendError> {
        self.backend.finish(readback)?;
        self.losses.take(Stage::Finish)
    }

    fn persist(&mut self, levels: &Partitions) -> Result<(), PersistError> {
        self.backend.persist(levels)
    }

    fn persisting(&self) -> Result<Slices, PersistError> {
        self.backend.persisting()
    }

    fn stop(&mut self) -> Result<Slices, PersistError> {
        self.backend.stop()
    }

    fn write_workspace(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        self.losses.take(Stage::WriteWorkspace)?;
        self.backend.write_workspace(first, words)
    }

    fn read_workspace(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        self.losses.take(Stage::ReadWorkspace)?;
        self.backend.read_workspace(first, words)
    }

    fn gpu(&self) -> Option<&crate::gpu::Gpu> {
        self.backend.gpu()
    }

    fn buffer(&self, buffer: Buffer) -> Option<&wgpu::Buffer> {
        self.backend.buffer(buffer)
    }

    fn workspace(&self) -> Option<&wgpu::Buffer> {
        self.backend.workspace()
    }
}
