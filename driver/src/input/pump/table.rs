//! What requests may name: files, and regions of the arena.

use crate::input::engine::Op;
use crate::input::source::is_of_datagrams;
use rustix::fs::{FileType, OFlags, SeekFrom, fcntl_getfl, fstat, seek};
use rustix::io::Errno;
use slipring_core::io_queue::{Request, op};
use std::fs::File;
use std::io;
use std::ops::Range;

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Take bytes from it.
    pub read: bool,
    /// Put bytes into it.
    pub write: bool,
}

impl Access {
    /// To take bytes from.
    pub const READ: Self = Self { read: true, write: false };
    /// To put bytes into.
    pub const WRITE: Self = Self { read: false, write: true };
    /// Both.
    pub const READ_WRITE: Self = Self { read: true, write: true };
}

/// Names a file or a region in requests: counts up from 1. 0 is none: as a destination of a READ, the
/// resource's own ([`IoTable::own_region`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub u32);

/// Why a table does not take an entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum TableError {
    /// A range that ends before it starts.
    #[error("bytes {start}..{end} of a file: it ends before it starts")]
    FileRange { start: u64, end: u64 },
    /// A file whose descriptor the system does not know.
    #[error("the file cannot be used: {source}")]
    File { source: io::Error },
    /// A file that was not opened for what requests are to do.
    #[error("{wanted:?} is more than {opened:?}, which the file was opened for")]
    Opened { wanted: Access, opened: Access },
    /// A file whose writes all go to its end (O_APPEND), wherever they are to go.
    #[error("the file was opened to append, and would be written past its range")]
    Append,
    /// Neither a file of bytes nor a stream of them.
    #[error("{what} was given; a file is needed, or a pipe, a serial device, a socket of bytes")]
    Kind { what: &'static str },
    /// A region that is empty, or not of whole words.
    #[error("bytes {start}..{end} of the arena; whole words are needed, and at least one")]
    Region { start: usize, end: usize },
    /// No such file, or no such region.
    #[error("handle {handle} is no {expected}; the table has {entries} entries")]
    Handle { handle: u32, expected: &'static str, entries: u32 },
}

/// The files and regions of the arena that the GPU may name, by numbers.
///
/// A request that names anything else, a range outside, or what it may not do, fails alone, with an
/// error number: EBADF for a handle, ERANGE for a range, EOVERFLOW for one that wraps, EACCES for
/// what is not allowed, ESPIPE for an offset in a stream, EOPNOTSUPP for an operation that there is
/// not. Or with the system's own. The number is logged; the slot that waited ends in FAULT(io).
///
/// A READ that meets the end of its file moves fewer bytes than asked for, which is no failure: a
/// handler sees how many (`io_bytes`), LOAD_MISS does not. One that ends within a word leaves the
/// rest of that word 0.
///
/// ```no_run
/// use slipring_driver::input::{Access, IoTable};
/// let mut table = IoTable::new();
/// let index = table.add_file(std::fs::File::open("index.bin")?, 0..1 << 20, Access::READ)?;
/// let block = table.add_region(0..4096, Access::READ_WRITE)?;
/// table.own_region(index, block)?; // where LOAD_MISS puts it, if it does not say
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct IoTable {
    entries: Vec<Entry>,
}

#[derive(Debug)]
pub(super) enum Entry {
    File(OpenFile),
    Region { bytes: Range<usize>, access: Access },
}

#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: File,
    range: Range<u64>,
    access: Access,
    /// Whether its bytes have no places: they come, or go, one after the other.
    is_stream: bool,
    own_region: Option<Handle>,
}

/// A request that was checked: which bytes go where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) op: Op,
    /// Which entry the file is.
    pub(super) file: usize,
    /// None in a stream.
    pub(super) offset: Option<u64>,
    /// Where in the arena, in bytes.
    pub(super) at: usize,
    pub(super) bytes: u32,
}

impl Move {
    pub(super) fn is_write(&self) -> bool {
        self.op == Op::Write
    }

    /// The words of the arena that its bytes are in.
    pub(super) fn words(&self) -> Range<usize> {
        self.words_of(self.bytes)
    }

    /// The words of the arena that its first bytes are in.
    pub(super) fn words_of(&self, bytes: u32) -> Range<usize> {
        self.at / 4..(self.at + bytes as usize).div_ceil(4)
    }
}

impl IoTable {
    /// An empty one.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Takes a range of an open file: offset 0 of a request is where it starts, and no byte outside
    /// is reached.
    ///
    /// A pipe, a serial device or a socket of bytes has no offsets but 0: a request takes the bytes
    /// that come next, all that it asked for or those up to the end, and puts them behind what was put
    /// before. Its range says how many bytes one request may move. (Requests that are under way
    /// together may each get some of the next bytes. Without io_uring, a serial device that stops in
    /// the middle of a write holds up the other streams.)
    ///
    /// # Errors
    /// [`TableError::FileRange`], [`TableError::File`], [`TableError::Kind`],
    /// [`TableError::Opened`], and [`TableError::Append`] if it is to be written.
    pub fn add_file(
        &mut self,
        file: File,
        range: Range<u64>,
        access: Access,
    ) -> Result<Handle, TableError> {
        let Range { start, end } = range;
        if end < start {
            return Err(TableError::FileRange { start, end });
        }
        let unusable = |errno: Errno| TableError::File { source: errno.into() };
        let flags = fcntl_getfl(&file).map_err(unusable)?;
        if is_of_datagrams(&file) {
            return Err(TableError::Kind { what: "a socket of datagrams" });
        }
        if FileType::from_raw_mode(fstat(&file).map_err(unusable)?.st_mode) == FileType::Directory {
            return Err(TableError::Kind { what: "a directory" });
        }
        let is_stream = seek(&file, SeekFrom::Current(0)) == Err(Errno::SPIPE);
        let opened = match flags & OFlags::ACCMODE {
            OFlags::RDONLY => Access::READ,
            OFlags::WRONLY => Access::WRITE,
            _ => Access::READ_WRITE,
        };
        if (access.read && !opened.read) || (access.write && !opened.write) {
            return Err(TableError::Opened { wanted: access, opened });
        }
        if access.write && flags.contains(OFlags::APPEND) {
            return Err(TableError::Append);
        }
        let open = OpenFile { file, range, access, is_stream, own_region: None };
        Ok(self.add(Entry::File(open)))
    }

    /// Takes a range of the arena, in bytes, of whole words: transfers start where it does. What may
    /// be written to must be none of the chunks that an [`Ingest`](super::super::Ingest) reads into:
    /// keep some from it ([`IngestBuilder::chunks`](super::super::IngestBuilder::chunks)).
    ///
    /// # Errors
    /// [`TableError::Region`]. That it lies within the arena is checked when the table is attached.
    pub fn add_region(
        &mut self,
        bytes: Range<usize>,
        access: Access,
    ) -> Result<Handle, TableError> {
        let Range { start, end } = bytes;
        if end <= start || !start.is_multiple_of(4) || !end.is_multiple_of(4) {
            return Err(TableError::Region { start, end });
        }
        Ok(self.add(Entry::Region { bytes, access }))
    }

    fn add(&mut self, entry: Entry) -> Handle {
        self.entries.push(entry);
        Handle(self.entries.len() as u32)
    }

    /// Has READs of a file that name no destination land in this region.
    ///
    /// # Errors
    /// [`TableError::Handle`].
    pub fn own_region(&mut self, file: Handle, region: Handle) -> Result<(), TableError> {
        let entries = self.entries.len() as u32;
        let wrong =
            |handle: Handle, expected| TableError::Handle { handle: handle.0, expected, entries };
        if !matches!(self.entry(region.0), Some((_, Entry::Region { .. }))) {
            return Err(wrong(region, "region"));
        }
        match (file.0 as usize).checked_sub(1).and_then(|index| self.entries.get_mut(index)) {
            Some(Entry::File(file)) => file.own_region = Some(region),
            _ => return Err(wrong(file, "file")),
        }
        Ok(())
    }

    /// The regions, by their handles.
    pub(super) fn regions(&self) -> impl Iterator<Item = (u32, &Range<usize>)> {
        (1..).zip(&self.entries).filter_map(|(handle, entry)| match entry {
            Entry::Region { bytes, .. } => Some((handle, bytes)),
            Entry::File(_) => None,
        })
    }

    /// The regions that READs may put bytes into.
    pub(super) fn loaded(&self) -> impl Iterator<Item = &Range<usize>> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Region { bytes, access } if access.write => Some(bytes),
            _ => None,
        })
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn entry(&self, handle: u32) -> Option<(usize, &Entry)> {
        let index = (handle as usize).checked_sub(1)?;
        Some((index, self.entries.get(index)?))
    }

    fn file(&self, handle: u32) -> Result<(usize, &OpenFile), Errno> {
        match self.entry(handle) {
            Some((index, Entry::File(file))) => Ok((index, file)),
            _ => Err(Errno::BADF),
        }
    }

    fn region(&self, handle: u32) -> Result<(&Range<usize>, Access), Errno> {
        match self.entry(handle) {
            Some((_, Entry::Region { bytes, access })) => Ok((bytes, *access)),
            _ => Err(Errno::BADF),
        }
    }

    /// Which bytes a READ or WRITE moves.
    pub(super) fn resolve(&self, request: &Request) -> Result<Move, Errno> {
        let is_read = match request.op {
            op::READ => true,
            op::WRITE => false,
            _ => return Err(Errno::OPNOTSUPP),
        };
        let [file, region] = match is_read {
            true => [request.source, request.destination],
            false => [request.destination, request.source],
        };
        let (file, open) = self.file(file)?;
        let OpenFile { range, access: file_access, .. } = open;
        let region = match (region, open.own_region) {
            (0, Some(own)) if is_read => own.0,
            (region, _) => region,
        };
        let (room, region_access) = self.region(region)?;
        let is_allowed = match is_read {
            true => file_access.read && region_access.write,
            false => file_access.write && region_access.read,
        };
        if !is_allowed {
            return Err(Errno::ACCESS);
        }
        let len = range.end - range.start;
        let bytes = match (request.bytes, is_read) {
            (0, true) => len.checked_sub(request.offset).ok_or(Errno::RANGE)?,
            (0, false) => room.len() as u64,
            (bytes, _) => u64::from(bytes),
        };
        let end = request.offset.checked_add(bytes).ok_or(Errno::OVERFLOW)?;
        if end > len || bytes > room.len() as u64 {
            return Err(Errno::RANGE);
        }
        let bytes = u32::try_from(bytes).map_err(|_| Errno::RANGE)?;
        let offset = match open.is_stream {
            true if request.offset > 0 => return Err(Errno::SPIPE),
            true => None,
            false => Some(range.start + request.offset),
        };
        let op = if is_read { Op::Read } else { Op::Write };
        Ok(Move { op, file, offset, at: room.start, bytes })
    }
}
