//! The floor: READ_FIXED into registered memory, as many reads at once as there are chunks in the
//! ring. Nobody is told what has come, and each chunk is read into again at once.
//!
//! Fixed files, SINGLE_ISSUER, COOP_TASKRUN and DEFER_TASKRUN made no difference, and SQPOLL costs a
//! core; what counts is huge pages, and some MiB of reads on their way.

use super::source::{Mode, Source, Sums, sums};
use super::{CHUNK_BYTES, DEPTH, Path, RING_BYTES, memory};
use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

pub struct ReadFixed {
    uring: IoUring,
    ring: Vec<Place>,
}

/// Memory of a chunk, and which one is read into it.
struct Place {
    memory: &'static mut [u8],
    chunk: u64,
}

impl ReadFixed {
    pub fn open() -> io::Result<Self> {
        let uring = IoUring::new(DEPTH as u32)?;
        let places = memory::huge(RING_BYTES).chunks_exact_mut(CHUNK_BYTES);
        let mut ring: Vec<_> = places.map(|memory| Place { memory, chunk: 0 }).collect();
        let buffer = |place: &mut Place| libc::iovec {
            iov_base: place.memory.as_mut_ptr().cast(),
            iov_len: CHUNK_BYTES,
        };
        let buffers: Vec<_> = ring.iter_mut().map(buffer).collect();
        // SAFETY: the memory is never freed.
        unsafe { uring.submitter().register_buffers(&buffers)? };
        Ok(Self { uring, ring })
    }
}

impl Place {
    /// The read of a chunk into this place, which is the one of that number.
    fn read(&mut self, file: &File, place: usize, chunk: u64) -> Entry {
        self.chunk = chunk;
        let (file, to) = (types::Fd(file.as_raw_fd()), self.memory.as_mut_ptr());
        opcode::ReadFixed::new(file, to, CHUNK_BYTES as u32, place as u16)
            .offset(chunk * CHUNK_BYTES as u64)
            .build()
            .user_data(place as u64)
    }
}

impl Path for ReadFixed {
    fn pass(
        &mut self,
        source: &Source,
        mode: Mode,
        mut check: Option<&mut [Sums]>,
    ) -> io::Result<()> {
        let (file, chunks) = (source.file(mode), source.chunks());
        let (mut next, mut missing) = (0, chunks);
        {
            let mut queue = self.uring.submission();
            for (place, to) in self.ring.iter_mut().enumerate().take(chunks as usize) {
                // SAFETY: the memory is never freed, and nobody looks at it until the read has ended.
                unsafe { queue.push(&to.read(file, place, next)) }.expect("an entry a place");
                next += 1;
            }
        }
        while missing > 0 {
            self.uring.submit_and_wait(1)?;
            let (_, mut queue, completions) = self.uring.split();
            for completion in completions {
                let place = completion.user_data() as usize;
                let from = &mut self.ring[place];
                match completion.result() {
                    error @ ..0 => return Err(io::Error::from_raw_os_error(-error)),
                    read if read as usize == CHUNK_BYTES => missing -= 1,
                    read => return Err(io::Error::other(format!("a read of {read} bytes"))),
                }
                if let Some(check) = &mut check {
                    check[from.chunk as usize] = sums(from.memory);
                }
                if next < chunks {
                    // SAFETY: as above.
                    unsafe { queue.push(&from.read(file, place, next)) }.expect("an entry");
                    next += 1;
                }
            }
        }
        Ok(())
    }
}
