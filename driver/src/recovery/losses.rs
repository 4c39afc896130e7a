//! Losses to order, for tests: a device is then lost at a call of the test's choice.

use crate::backend::{
    Backend, BackendError, BackendInfo, Batch, Cost, Drain, Resident, RowOptions, StayMemory,
    Submission,
};
use crate::host_row::HostRow;
use crate::open::{BackendChoice, OpenError};
use crate::persistent::{PersistError, Slices};
use slipring_core::layout::Buffer;
use slipring_core::partition::Partitions;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A call of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Opening a device.
    Open,
    /// Opening a row on a device that is open.
    OpenRow,
    /// Before anything was submitted.
    Start,
    /// When it is submitted.
    Submit,
    /// After the drain has run.
    Finish,
    /// Writing the workspace.
    WriteWorkspace,
    /// Reading the workspace.
    ReadWorkspace,
    /// While a kernel stays on.
    Persist,
    /// When it was stopped.
    Stop,
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

/// A backend, or a row of one, that loses its device when it is told to.
pub(crate) struct Losing<T> {
    pub(crate) inner: T,
    pub(crate) losses: Losses,
}

impl Backend for Losing<Arc<dyn Backend>> {
    fn choice(&self) -> BackendChoice {
        self.inner.choice()
    }

    fn open_row(self: Arc<Self>, options: &RowOptions) -> Result<Box<dyn Resident>, OpenError> {
        self.losses.take(Stage::OpenRow)?;
        let inner = Arc::clone(&self.inner).open_row(options)?;
        Ok(Box::new(Losing { inner, losses: self.losses.clone() }))
    }

    fn submit(&self, batch: &mut Batch) -> Result<Submission, BackendError> {
        self.losses.take(Stage::Submit)?;
        self.inner.submit(batch)
    }

    fn is_finished(&self, submission: &Submission) -> Result<bool, BackendError> {
        self.inner.is_finished(submission)
    }

    fn wait(&self, submission: &Submission, timeout: Duration) -> Result<(), BackendError> {
        self.inner.wait(submission, timeout)
    }

    fn lose_by(&self, error: BackendError) -> BackendError {
        self.inner.lose_by(error)
    }
}

impl Resident for Losing<Box<dyn Resident>> {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    fn host(&self) -> &HostRow {
        self.inner.host()
    }

    fn shares_row(&self) -> bool {
        self.inner.shares_row()
    }

    fn stage(
        &mut self,
        drain: &Drain<'_>,
        first: usize,
        batch: &mut Batch,
    ) -> Result<(Cost, Option<usize>), BackendError> {
        self.losses.take(Stage::Start)?;
        self.inner.stage(drain, first, batch)
    }

    fn submitted(&mut self, flight: usize, submission: &Submission) {
        self.inner.submitted(flight, submission);
    }

    fn finish(
        &mut self,
        flight: usize,
        readback: &[(Buffer, Range<usize>)],
    ) -> Result<(), BackendError> {
        self.inner.finish(flight, readback)?;
        self.losses.take(Stage::Finish)
    }

    fn persist(&mut self, levels: &Partitions) -> Result<(), PersistError> {
        self.inner.persist(levels)
    }

    fn persisting(&self) -> Result<Slices, PersistError> {
        self.losses.take(Stage::Persist)?;
        self.inner.persisting()
    }

    fn stop(&mut self) -> Result<Slices, PersistError> {
        let stopped = self.inner.stop()?;
        self.losses.take(Stage::Stop)?;
        Ok(stopped)
    }

    fn write_workspace(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        self.losses.take(Stage::WriteWorkspace)?;
        self.inner.write_workspace(first, words)
    }

    fn read_workspace(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        self.losses.take(Stage::ReadWorkspace)?;
        self.inner.read_workspace(first, words)
    }

    fn write_arena(&mut self, first: usize, words: &[u32]) -> Result<(), BackendError> {
        self.inner.write_arena(first, words)
    }

    fn stay_memory(&self) -> Option<StayMemory> {
        self.inner.stay_memory()
    }

    fn deliver_arena(&mut self, words: Range<usize>) -> Result<(), BackendError> {
        self.inner.deliver_arena(words)
    }

    fn fetch_arena(&mut self, words: Range<usize>) -> Result<(), BackendError> {
        self.inner.fetch_arena(words)
    }

    fn read_arena(&mut self, first: usize, words: &mut [u32]) -> Result<(), BackendError> {
        self.inner.read_arena(first, words)
    }

    fn gpu(&self) -> Option<&crate::gpu::Gpu> {
        self.inner.gpu()
    }

    fn buffer(&self, buffer: Buffer) -> Option<&wgpu::Buffer> {
        self.inner.buffer(buffer)
    }

    fn workspace(&self) -> Option<&wgpu::Buffer> {
        self.inner.workspace()
    }

    fn arena(&self) -> Option<&wgpu::Buffer> {
        self.inner.arena()
    }
}
