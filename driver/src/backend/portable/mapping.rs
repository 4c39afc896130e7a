//! A mapping of a buffer that has been asked for.

use crate::backend::BackendError;
use crate::gpu::Gpu;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

type Mapped = Result<(), wgpu::BufferAsyncError>;

pub(super) struct Mapping(Arc<OnceLock<Mapped>>);

impl Mapping {
    /// Asks for bytes of `buffer`; a later wait brings the answer.
    pub(super) fn start(buffer: &wgpu::Buffer, mode: wgpu::MapMode, bytes: Range<u64>) -> Self {
        let answer = Arc::new(OnceLock::new());
        let told = Arc::clone(&answer);
        buffer.map_async(mode, bytes, move |mapped| {
            // Set once: wgpu calls back once.
            let _ = told.set(mapped);
        });
        Self(answer)
    }

    /// Whether the answer has come.
    pub(super) fn is_answered(&self) -> bool {
        self.0.get().is_some()
    }

    /// Whether the bytes are mapped. All else counts as a loss of the device.
    pub(super) fn check(&self, gpu: &Gpu) -> Result<(), BackendError> {
        match self.0.get() {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(gpu.lose(error.to_string())),
            None => Err(gpu.lose("a buffer was not mapped".to_owned())),
        }
    }
}
