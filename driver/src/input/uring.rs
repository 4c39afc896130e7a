//! Transfers through io_uring, over registered memory where the system allows it.

use super::engine::{Ended, Engine, FileRef, LONGEST_WAIT, Op, Transfer, unless_passing};
use crate::arena::Landing;
use io_uring::{IoUring, opcode, squeue, types};
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// The most bytes of one registered buffer.
const MAX_BUFFER_BYTES: usize = 1 << 30;
/// Marks the completion of a cancellation, which nobody waits for.
const CANCELLATION: u64 = u64::MAX;

pub(crate) struct Uring {
    ring: IoUring,
    landing: Landing,
    /// Bytes of each registered buffer, the last one's perhaps fewer; none if none is registered.
    buffer_bytes: Option<usize>,
    /// Which places of the kernel's table of files are taken; none if there is no table.
    files: Vec<bool>,
    /// Transfers that there may be at once.
    depth: usize,
    /// The tokens of what is under way.
    tokens: Vec<u32>,
}

impl Uring {
    /// A ring for `depth` transfers at once, and a table of `files`.
    ///
    /// # Errors
    /// Those of io_uring_setup: ENOSYS without io_uring, EPERM where it is forbidden.
    pub(crate) fn open(landing: Landing, depth: u32, files: u32) -> io::Result<Self> {
        // Each transfer may be cancelled once.
        let ring = IoUring::builder().setup_clamp().build(2 * depth)?;
        // READ, and streams, came with this.
        if !ring.params().is_feature_rw_cur_pos() {
            return Err(io::Error::other("it is older than Linux 5.6"));
        }
        let no_table = ring.submitter().register_files_sparse(files).is_err();
        let files = if no_table { Vec::new() } else { vec![false; files as usize] };
        let tokens = Vec::with_capacity(depth as usize);
        Ok(Self { ring, landing, buffer_bytes: None, files, depth: depth as usize, tokens })
    }

    /// Registers the memory, in buffers of a multiple of `unit` bytes.
    ///
    /// # Errors
    /// Those of io_uring_register: ENOMEM beyond RLIMIT_MEMLOCK, EFAULT for memory that is no
    /// ordinary pages.
    pub(crate) fn register(&mut self, unit: usize) -> io::Result<()> {
        let len = self.landing.len_bytes();
        let each = MAX_BUFFER_BYTES / unit * unit;
        let buffers: Vec<_> = (0..len)
            .step_by(each)
            .map(|at| libc::iovec {
                iov_base: self.landing.pointer(at).cast(),
                iov_len: each.min(len - at),
            })
            .collect();
        // SAFETY: the buffers are the landing's memory, which `self` keeps: until all its transfers
        // have ended, or for ever (`drop`), and the kernel holds its pages besides.
        // (`dropping_waits_for_the_reads_in_flight` in tests/driver_ingest_rules.rs)
        unsafe { self.ring.submitter().register_buffers(&buffers) }?;
        self.buffer_bytes = Some(each);
        Ok(())
    }

    fn entry(&self, transfer: Transfer) -> squeue::Entry {
        let Transfer { op, file, offset, at, mut bytes } = transfer;
        // A position of -1 is the stream's own.
        let offset = offset.unwrap_or(u64::MAX);
        let mut buffer = None;
        if let Some(each) = self.buffer_bytes {
            // What crosses into the next buffer comes up short, and is asked for again.
            bytes = bytes.min(each - at % each);
            buffer = Some((at / each) as u16);
        }
        let (pointer, bytes) = (self.landing.pointer(at), bytes as u32);
        macro_rules! on_file {
            ($file:expr) => {
                match (op, buffer) {
                    (Op::Read, Some(buffer)) => {
                        opcode::ReadFixed::new($file, pointer, bytes, buffer).offset(offset).build()
                    }
                    (Op::Read, None) => {
                        opcode::Read::new($file, pointer, bytes).offset(offset).build()
                    }
                    (Op::Write, Some(buffer)) => {
                        let write = opcode::WriteFixed::new($file, pointer, bytes, buffer);
                        write.offset(offset).build()
                    }
                    (Op::Write, None) => {
                        opcode::Write::new($file, pointer, bytes).offset(offset).build()
                    }
                    (Op::AwaitBytes, _) => opcode::PollAdd::new($file, libc::POLLIN as u32).build(),
                }
            };
        }
        match file {
            FileRef::Fd(fd) => on_file!(types::Fd(fd)),
            FileRef::Fixed(index) => on_file!(types::Fixed(index)),
        }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: a cancellation names no memory. A transfer's is within the landing, as the
        // caller promises, which `self` keeps until it has ended, or for ever (`drop`); and
        // nobody else's until then. Its file is open, or the kernel says EBADF.
        // (`dropping_waits_for_the_reads_in_flight` in tests/driver_ingest_rules.rs)
        let pushed = unsafe { self.ring.submission().push(entry) };
        debug_assert!(pushed.is_ok(), "there is an entry for each transfer and its cancellation");
    }
}

impl Engine for Uring {
    fn add_file(&mut self, fd: RawFd) -> FileRef {
        if let Some(free) = self.files.iter().position(|taken| !taken)
            && self.ring.submitter().register_files_update(free as u32, &[fd]).is_ok()
        {
            self.files[free] = true;
            return FileRef::Fixed(free as u32);
        }
        FileRef::Fd(fd)
    }

    fn remove_file(&mut self, file: FileRef) {
        if let FileRef::Fixed(index) = file {
            // The kernel would hold the file open.
            let _ = self.ring.submitter().register_files_update(index, &[-1]);
            self.files[index as usize] = false;
        }
    }

    fn start(&mut self, token: u32, transfer: Transfer) {
        let entry = self.entry(transfer).user_data(token.into());
        self.tokens.push(token);
        self.push(&entry);
    }

    fn submit(&mut self) -> io::Result<()> {
        if self.ring.submission().is_empty() {
            return Ok(());
        }
        self.ring.submit().map(drop)
    }

    fn next(&mut self) -> Option<Ended> {
        loop {
            let entry = self.ring.completion().next()?;
            if entry.user_data() == CANCELLATION {
                continue;
            }
            let ended = Ended { token: entry.user_data() as u32, result: entry.result() };
            if let Some(index) = self.tokens.iter().position(|token| *token == ended.token) {
                self.tokens.swap_remove(index);
            }
            return Some(ended);
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.tokens.is_empty() || !self.ring.completion().is_empty() {
            return self.submit();
        }
        let Some(timeout) = timeout else {
            return self.ring.submit_and_wait(1).map(drop);
        };
        if self.ring.params().is_feature_ext_arg() {
            let timeout = types::Timespec::from(timeout.min(LONGEST_WAIT));
            let arguments = types::SubmitArgs::new().timespec(&timeout);
            return self.ring.submitter().submit_with_args(1, &arguments).map(drop);
        }
        self.submit()?;
        poll(std::os::fd::AsRawFd::as_raw_fd(&self.ring), timeout)
    }

    fn cancel(&mut self, token: u32) {
        // Half of the entries are for transfers.
        if self.ring.submission().len() >= self.depth {
            let _ = self.ring.submit();
        }
        if self.tokens.contains(&token) && self.ring.submission().len() < self.depth {
            let entry = opcode::AsyncCancel::new(token.into()).build().user_data(CANCELLATION);
            self.push(&entry);
        }
    }

    fn in_flight(&self) -> usize {
        self.tokens.len()
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        for index in 0..self.tokens.len() {
            self.cancel(self.tokens[index]);
        }
        while !self.tokens.is_empty() {
            if self.next().is_none() && unless_passing(self.wait(None)).is_err() {
                // The kernel may still write to the memory: it must not be freed.
                std::mem::forget(self.landing.clone());
                return;
            }
        }
        // A ring goes in the kernel's own time: until then the others of a pipe would wait.
        let _ = self.ring.submitter().unregister_files();
    }
}

/// Waits until a descriptor has something to read.
fn poll(fd: RawFd, timeout: Duration) -> io::Result<()> {
    let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one structure, alive for the call.
    match unsafe { libc::poll(&mut polled, 1, milliseconds) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
