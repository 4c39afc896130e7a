//! Who reads into an arena: one at a time.

use super::Arena;
use slipring_core::publisher::Ticket;
use std::sync::{Arc, PoisonError};

/// The right to read into an arena.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) arena: Arc<Arena>,
    /// Chunks that are not free before these jobs have ended, of readers that are gone.
    pub(crate) left: Vec<(u32, Ticket)>,
}

impl Reader {
    /// A reader, if there is none.
    pub(crate) fn new(arena: &Arc<Arena>) -> Option<Self> {
        let left = arena.left.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Self { arena: Arc::clone(arena), left })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.left);
        *self.arena.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
    }
}
