//! Reads a file in chunks through io_uring.
//!
//! ```text
//!   file ─▶ io_uring, several chunks at once ─▶ fixed buffers ─▶ Chunk, as each completes
//! ```

use io_uring::{IoUring, opcode, types};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Chunks that are read at once.
const DEPTH: usize = 8;
/// The longest chunk: well below what one read moves at most (2^31 − 4096 bytes).
const MAX_CHUNK_BYTES: usize = 1 << 30;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum InputError {
    /// The file cannot be opened.
    #[error("{}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// Not a regular file.
    #[error("{} is {what}; a regular file is needed", path.display())]
    NotAFile { path: PathBuf, what: &'static str },
    /// Nothing to read.
    #[error("{} is empty", path.display())]
    Empty { path: PathBuf },
    /// A chunk size that is no multiple of 4, 0, or beyond 1 GiB.
    #[error("chunks of {bytes} bytes; a multiple of 4 up to {MAX_CHUNK_BYTES} is needed")]
    ChunkSize { bytes: usize },
    /// The system has no io_uring for this process.
    #[error("io_uring is not available: {source}")]
    Uring { source: io::Error },
    /// A read of this chunk failed. The other chunks still come.
    #[error("{} at byte {offset}: {source}", path.display())]
    Read { path: PathBuf, chunk: u64, offset: u64, source: io::Error },
    /// The file ended within this chunk or before: it became shorter meanwhile. The other chunks
    /// still come.
    #[error("{} ended at byte {offset} of {bytes}", path.display())]
    Truncated { path: PathBuf, chunk: u64, offset: u64, bytes: u64 },
}

/// A chunk of a file.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// Which one; chunks come as they complete, in any order.
    pub index: u64,
    /// Its bytes in the file.
    pub bytes: usize,
    /// Its words; the bytes past the end of the file are 0.
    pub words: &'a [u32],
}

/// A read on its way: which chunk, and how much of it has come.
#[derive(Clone, Copy, Debug)]
struct Pending {
    chunk: u64,
    filled: usize,
}

/// Reads one file, chunk by chunk.
///
/// ```no_run
/// use slipring_driver::input::FileReader;
/// let mut reader = FileReader::open("data.bin", 65_536)?;
/// while let Some(chunk) = reader.next_chunk()? {
///     println!("chunk {}: {} bytes", chunk.index, chunk.bytes);
/// }
/// # Ok::<(), slipring_driver::input::InputError>(())
/// ```
pub struct FileReader {
    ring: IoUring,
    file: File,
    path: PathBuf,
    len_bytes: u64,
    chunk_bytes: usize,
    next: u64,
    buffers: Vec<Box<[u32]>>,
    pending: [Option<Pending>; DEPTH],
    handed_out: Option<usize>,
}

impl core::fmt::Debug for FileReader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FileReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl FileReader {
    /// Opens `path` for reading in chunks of `chunk_bytes`.
    ///
    /// # Errors
    /// Any [`InputError`] but those of reading.
    pub fn open(path: impl AsRef<Path>, chunk_bytes: usize) -> Result<Self, InputError> {
        let path = path.as_ref().to_owned();
        if chunk_bytes == 0 || chunk_bytes > MAX_CHUNK_BYTES || !chunk_bytes.is_multiple_of(4) {
            return Err(InputError::ChunkSize { bytes: chunk_bytes });
        }
        let open = |source| InputError::Open { path: path.clone(), source };
        // Looked at before it is opened: opening a pipe would wait for its writer.
        let kind = std::fs::metadata(&path).map_err(open)?.file_type();
        if !kind.is_file() {
            let what = if kind.is_dir() { "a directory" } else { "no regular file" };
            return Err(InputError::NotAFile { path, what });
        }
        let file = File::open(&path).map_err(open)?;
        let len_bytes = file.metadata().map_err(open)?.len();
        if len_bytes == 0 {
            return Err(InputError::Empty { path });
        }
        Self::over(file, path, len_bytes, chunk_bytes)
    }

    /// A reader of `len_bytes` of an open file.
    fn over(
        file: File,
        path: PathBuf,
        len_bytes: u64,
        chunk_bytes: usize,
    ) -> Result<Self, InputError> {
        let ring = IoUring::new(DEPTH as u32).map_err(|source| InputError::Uring { source })?;
        let buffers = (0..DEPTH).map(|_| vec![0; chunk_bytes / 4].into_boxed_slice()).collect();
        let pending = [None; DEPTH];
        Ok(Self {
            ring,
            file,
            path,
            len_bytes,
            chunk_bytes,
            next: 0,
            buffers,
            pending,
            handed_out: None,
        })
    }

    /// The file's length when it was opened.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// How many chunks there are.
    pub fn chunks(&self) -> u64 {
        self.len_bytes.div_ceil(self.chunk_bytes as u64)
    }

    fn offset(&self, chunk: u64) -> u64 {
        chunk * self.chunk_bytes as u64
    }

    /// Bytes of a chunk: all but the last are whole.
    fn bytes_of(&self, chunk: u64) -> usize {
        let rest = self.len_bytes - self.offset(chunk);
        rest.min(self.chunk_bytes as u64) as usize
    }

    /// The next chunk that has come in; `None` after the last one. Every chunk comes once, as
    /// itself or as its error.
    ///
    /// # Errors
    /// [`InputError::Read`], [`InputError::Truncated`], [`InputError::Uring`].
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, InputError> {
        self.handed_out = None;
        self.submit_free()?;
        while self.pending.iter().any(Option::is_some) {
            let Some((buffer, result)) = self.completion()? else { continue };
            let Some(read) = self.pending[buffer].take() else { continue };
            let read = self.take_in(read, result)?;
            if read.filled < self.bytes_of(read.chunk) {
                self.submit(buffer, read)?;
                continue;
            }
            let bytes = read.filled;
            let words = &mut self.buffers[buffer];
            bytemuck::cast_slice_mut::<u32, u8>(words)[bytes..].fill(0);
            self.handed_out = Some(buffer);
            return Ok(Some(Chunk { index: read.chunk, bytes, words: &self.buffers[buffer] }));
        }
        Ok(None)
    }

    /// Starts to read what is missing of a chunk into its buffer.
    fn submit(&mut self, buffer: usize, read: Pending) -> Result<(), InputError> {
        let offset = self.offset(read.chunk) + read.filled as u64;
        let missing = self.bytes_of(read.chunk) - read.filled;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.buffers[buffer]);
        let target = bytes[read.filled..].as_mut_ptr();
        // `open` keeps chunks below 2^30 bytes.
        let entry = opcode::Read::new(types::Fd(self.file.as_raw_fd()), target, missing as u32)
            .offset(offset)
            .build()
            .user_data(buffer as u64);
        // The kernel writes `missing` bytes from `target` on, any time before this entry's
        // completion. Until then `pending[buffer]` is set: nothing else touches the buffer, and
        // `drop` waits for the completion or leaks the buffer, which is on the heap and does not
        // move. (`tests::a_reader_waits_for_its_reads_when_it_is_dropped`)
        //
        // SAFETY: `target` has `missing` bytes (sliced just above), which stay in place and
        // unused until the completion; the file stays open as long as `self`.
        unsafe { self.ring.submission().push(&entry) }
            .map_err(|full| InputError::Uring { source: io::Error::other(full) })?;
        self.pending[buffer] = Some(read);
        Ok(())
    }

    /// Waits for a read to end, and says into which buffer, and with what result.
    fn completion(&mut self) -> Result<Option<(usize, i32)>, InputError> {
        if let Some(entry) = self.ring.completion().next() {
            return Ok(Some((entry.user_data() as usize, entry.result())));
        }
        match self.ring.submit_and_wait(1) {
            Ok(_) => Ok(None),
            Err(source) if is_passing(&source) => Ok(None),
            Err(source) => Err(InputError::Uring { source }),
        }
    }

    /// What a read's result makes of its chunk: it may be short, or have to be tried again.
    fn take_in(&self, read: Pending, result: i32) -> Result<Pending, InputError> {
        let offset = self.offset(read.chunk) + read.filled as u64;
        let path = || self.path.clone();
        if result < 0 {
            let source = io::Error::from_raw_os_error(-result);
            return if is_passing(&source) {
                Ok(read)
            } else {
                Err(InputError::Read { path: path(), chunk: read.chunk, offset, source })
            };
        }
        if result == 0 {
            let (path, chunk, bytes) = (path(), read.chunk, self.len_bytes);
            let offset = self.file.metadata().map_or(offset, |file| file.len().min(offset));
            return Err(InputError::Truncated { path, chunk, offset, bytes });
        }
        Ok(Pending { filled: read.filled + result as usize, ..read })
    }

    /// Starts reads into every buffer that is free, so that they go on while the caller works.
    fn submit_free(&mut self) -> Result<(), InputError> {
        let before = self.next;
        for buffer in 0..DEPTH {
            let free = self.pending[buffer].is_none() && self.handed_out != Some(buffer);
            if free && self.next < self.chunks() {
                let read = Pending { chunk: self.next, filled: 0 };
                self.next += 1;
                self.submit(buffer, read)?;
            }
        }
        if self.next == before {
            return Ok(());
        }
        match self.ring.submit() {
            // What did not go now goes when a completion is waited for.
            Err(source) if !is_passing(&source) => Err(InputError::Uring { source }),
            _ => Ok(()),
        }
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        while self.pending.iter().any(Option::is_some) {
            match self.completion() {
                Ok(Some((buffer, _))) => self.pending[buffer] = None,
                Ok(None) => {}
                Err(_) => {
                    // The kernel may still write to the buffers: they must not be freed.
                    std::mem::forget(std::mem::take(&mut self.buffers));
                    return;
                }
            }
        }
    }
}

/// Whether the same call may succeed when it is made again.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    #[test]
    fn a_reader_waits_for_its_reads_when_it_is_dropped() {
        // Reads of a pipe last until somebody writes to it.
        let (pipe, mut writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(pipe));
        let mut reader = FileReader::over(file, "pipe".into(), 64 * 8, 64).unwrap();
        reader.submit_free().unwrap();
        let is_written = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                is_written.store(true, Ordering::Release);
                io::Write::write_all(&mut writer, &[7; 64 * 8]).unwrap();
            });
            drop(reader);
            assert!(is_written.load(Ordering::Acquire), "the buffers were freed too early");
        });
    }
}
