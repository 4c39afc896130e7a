//! Words beside the row: the workspace and the arena.

use super::{Driver, DriverError};

impl Driver {
    /// Writes workspace words from word `first` on, ahead of the next dispatch.
    ///
    /// # Errors
    /// [`DriverError::WorkspaceRange`], [`DriverError::Backend`], [`DriverError::NotRecovered`].
    pub fn write_workspace(&mut self, first: usize, words: &[u32]) -> Result<(), DriverError> {
        self.land();
        self.check_workspace(first, words.len())?;
        self.device.write_workspace(first, words)
    }

    /// Reads workspace words from word `first` on.
    ///
    /// # Errors
    /// [`DriverError::WorkspaceRange`], [`DriverError::Backend`], [`DriverError::NotRecovered`].
    pub fn read_workspace(&mut self, first: usize, words: &mut [u32]) -> Result<(), DriverError> {
        self.land();
        self.check_workspace(first, words.len())?;
        self.device.read_workspace(first, words)
    }

    pub(crate) fn check_workspace(&self, first: usize, len: usize) -> Result<(), DriverError> {
        let (end, words) = (first.saturating_add(len), self.device.options().workspace_words);
        if end > words {
            return Err(DriverError::WorkspaceRange { first, end, words });
        }
        Ok(())
    }

    /// Writes arena words from word `first` on, ahead of the next dispatch.
    ///
    /// # Errors
    /// [`DriverError::ArenaRange`], [`DriverError::Backend`], [`DriverError::NotRecovered`].
    pub fn write_arena(&mut self, first: usize, words: &[u32]) -> Result<(), DriverError> {
        self.land();
        self.check_arena(first, words.len())?;
        self.device.write_arena(first, words)
    }

    /// Reads arena words from word `first` on.
    ///
    /// # Errors
    /// [`DriverError::ArenaRange`], [`DriverError::Backend`], [`DriverError::NotRecovered`].
    pub fn read_arena(&mut self, first: usize, words: &mut [u32]) -> Result<(), DriverError> {
        self.land();
        self.check_arena(first, words.len())?;
        self.device.read_arena(first, words)
    }

    pub(crate) fn check_arena(&self, first: usize, len: usize) -> Result<(), DriverError> {
        let (end, words) = (first.saturating_add(len), self.device.options().arena_words());
        if end > words {
            return Err(DriverError::ArenaRange { first, end, words });
        }
        Ok(())
    }
}
