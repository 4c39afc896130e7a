//! What bytes come from.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, OFlags, StatxFlags};
use rustix::io::ReadWriteFlags;
use rustix::net::{SocketType, sockopt::socket_type};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether reads go through the page cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caching {
    /// Past it where the file system can, unless the file is in it already.
    #[default]
    Auto,
    /// Past it (O_DIRECT), where the file system can.
    Direct,
    /// Through it.
    Buffered,
}

/// A file or a stream to read.
///
/// ```no_run
/// use slipring_driver::input::{Caching, Source};
/// let log = Source::file("log.bin").caching(Caching::Direct);
/// let pipe = Source::stream("stdin", std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Source {
    name: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    File { caching: Caching, overlap_bytes: u32 },
    Stream(OwnedFd),
}

impl Source {
    /// A regular file, from its start to the end that it has when it is opened. (What gives no length,
    /// as most of /proc, is refused: it is a stream.)
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let kind = Kind::File { caching: Caching::Auto, overlap_bytes: 0 };
        Self { name: path.into(), kind }
    }

    /// A pipe, a socket, a serial device: whatever comes, as it comes, until its end. The name is
    /// for messages. A stream has one read under way at a time, so that its bytes stay in order. A
    /// read of no bytes is the end: a terminal's VMIN must be 1 or more. A socket must be one of
    /// bytes: of datagrams, what is longer than a chunk would be lost, and an empty one be the end.
    pub fn stream(name: impl Into<PathBuf>, stream: impl Into<OwnedFd>) -> Self {
        Self { name: name.into(), kind: Kind::Stream(stream.into()) }
    }

    /// Whether a file's reads go through the page cache. Of no effect on streams.
    #[must_use]
    pub fn caching(mut self, wanted: Caching) -> Self {
        if let Kind::File { caching, .. } = &mut self.kind {
            *caching = wanted;
        }
        self
    }

    /// How many bytes each chunk of a file has in common with the next, so that what lies across
    /// the border of two is whole in one; fewer than a chunk's. Multiples of 4096 keep O_DIRECT
    /// possible. Of no effect on streams.
    #[must_use]
    pub fn overlap_bytes(mut self, bytes: u32) -> Self {
        if let Kind::File { overlap_bytes, .. } = &mut self.kind {
            *overlap_bytes = bytes;
        }
        self
    }

    pub(super) fn is_stream(&self) -> bool {
        matches!(self.kind, Kind::Stream(_))
    }

    /// Opens it, to be read in chunks of `chunk_bytes`.
    pub(super) fn open(self, chunk_bytes: u32) -> Result<Opened, SourceError> {
        let path: Arc<Path> = self.name.into();
        match self.kind {
            Kind::Stream(stream) if is_of_datagrams(&stream) => {
                Err(SourceError::Datagrams { path: path.to_path_buf() })
            }
            Kind::Stream(stream) => {
                Ok(Opened { path, file: stream.into(), direct: None, range: None })
            }
            Kind::File { overlap_bytes, .. } if overlap_bytes >= chunk_bytes => {
                Err(SourceError::Overlap { overlap_bytes, chunk_bytes })
            }
            Kind::File { caching, overlap_bytes } => {
                let step = chunk_bytes - overlap_bytes;
                open_file(&path, caching, step, chunk_bytes)
                    .map_err(|source| SourceError::Open { path: path.to_path_buf(), source })?
                    .map_err(|what| SourceError::NotAFile { path: path.to_path_buf(), what })
            }
        }
    }
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum SourceError {
    /// The file cannot be opened.
    #[error("{}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// Not a regular file.
    #[error("{} is {what}; a regular file is needed, or Source::stream", path.display())]
    NotAFile { path: PathBuf, what: &'static str },
    /// A socket of messages, whose borders a stream does not keep.
    #[error("{} is a socket of datagrams; one of bytes is needed (SOCK_STREAM)", path.display())]
    Datagrams { path: PathBuf },
    /// Chunks that have all their bytes in common with the next.
    #[error("an overlap of {overlap_bytes} bytes; chunks of {chunk_bytes} need fewer")]
    Overlap { overlap_bytes: u32, chunk_bytes: u32 },
}

/// Whether a descriptor is of a socket whose reads lose what does not fit.
pub(super) fn is_of_datagrams(fd: impl AsFd) -> bool {
    // What is no socket has no type.
    socket_type(fd).is_ok_and(|kind| kind != SocketType::STREAM)
}

/// An open source.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) path: Arc<Path>,
    pub(super) file: File,
    /// The same past the page cache, if its reads are to go there.
    pub(super) direct: Option<Direct>,
    /// Of a file; a stream has none.
    pub(super) range: Option<FileRange>,
}

/// A file past the page cache.
#[derive(Debug)]
pub(super) struct Direct {
    pub(super) file: File,
    /// What offsets and lengths are a multiple of.
    pub(super) block_bytes: u32,
}

/// What of a file is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileRange {
    /// From the start of a chunk to that of the next.
    pub(super) step: u32,
    pub(super) len_bytes: u64,
}

/// Opens a file; what it is, if it is none.
fn open_file(
    path: &Arc<Path>,
    caching: Caching,
    step: u32,
    chunk_bytes: u32,
) -> io::Result<Result<Opened, &'static str>> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let kind = std::fs::metadata(path)?.file_type();
    if !kind.is_file() {
        return Ok(Err(if kind.is_dir() { "a directory" } else { "no regular file" }));
    }
    let file = File::open(path)?;
    let len_bytes = file.metadata()?.len();
    // (One that is not ready would keep whoever asks, and is no regular file to us either.)
    if len_bytes == 0 && (!is_ready(&file) || file.read_at(&mut [0], 0)? > 0) {
        return Ok(Err("a file that gives no length, and has bytes"));
    }
    let wants_direct = match caching {
        Caching::Buffered => false,
        Caching::Direct => true,
        Caching::Auto => !is_cached(&file, len_bytes),
    };
    let direct = wants_direct
        .then(|| open_direct(path, &file))
        .flatten()
        // Another one may have been put in its place.
        .filter(|direct| is_same(&direct.file, &file))
        .filter(|direct| [step, chunk_bytes].iter().all(|bytes| bytes % direct.block_bytes == 0));
    let range = Some(FileRange { step, len_bytes });
    Ok(Ok(Opened { path: Arc::clone(path), file, direct, range }))
}

/// Whether a read would not wait.
fn is_ready(file: &File) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}

/// The file past the page cache, if the file system can.
fn open_direct(path: &Path, file: &File) -> Option<Direct> {
    let block_bytes = match rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)
    {
        Ok(known) if known.stx_mask & StatxFlags::DIOALIGN.bits() != 0 => {
            known.stx_dio_offset_align
        }
        // From before Linux 6.1, which does not say: a page is a multiple of any disk's block. A file
        // system that cannot refuses to open, or the first read.
        _ => 4096,
    };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(path)
        .ok()
        .filter(|_| block_bytes > 0)?;
    Some(Direct { file, block_bytes })
}

fn is_same(one: &File, other: &File) -> bool {
    let identity = |file: &File| file.metadata().map(|data| (data.dev(), data.ino())).ok();
    identity(one).is_some() && identity(one) == identity(other)
}

/// Whether a file seems to be in the page cache, by looking at its ends and its middle.
fn is_cached(file: &File, len_bytes: u64) -> bool {
    let has_byte = |offset| {
        let mut byte = [0];
        let buffers = &mut [IoSliceMut::new(&mut byte)];
        rustix::io::preadv2(file.as_fd(), buffers, offset, ReadWriteFlags::NOWAIT).is_ok()
    };
    [0, len_bytes / 2, len_bytes.saturating_sub(1)].into_iter().all(has_byte)
}
