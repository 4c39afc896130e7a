//! Files and streams, chunk by chunk, into memory that the GPU reads.
//!
//! ```text
//!   source ─ read, several at once ─▶ arena chunk ─ publish ─▶ ring slot ─▶ job ─▶ chunk is free
//!                                      in the order in which reads end
//! ```

mod builder;
mod chunk;
mod error;
mod jobs;
mod read;
mod reading;
mod reads;
mod wait;

pub use builder::IngestBuilder;
pub use chunk::{ChunkEnd, ChunkJob, FinishedChunk, ReadError, SourceEnd};
pub use error::IngestError;
pub use reading::SourceId;
pub(crate) use wait::nap_of;

use super::engine::{Engine, unless_passing};
use super::ladder::IngestPath;
use super::publish::Publish;
use super::source::Source;
use crate::arena::Reader;
use crate::driver::Driver;
use chunk::{Chunk, State};
use read::Failure;
use reading::Reading;
use slipring_core::publisher::Outcome;
use std::collections::VecDeque;
use std::sync::Arc;

/// Reads sources into a driver's arena, and publishes a job for each chunk that has come.
///
/// ```
/// # use slipring_core::layout::Geometry;
/// # use slipring_core::twin::HANDLER_OK;
/// # use slipring_driver::{ArenaOptions, BackendChoice, Driver, Handler, Kernel, Readback};
/// use slipring_driver::input::{ChunkEnd, ChunkJob, Ingest, Source};
///
/// let sum = "fn sum(job: Job) -> u32 {
///     var sum = 0u;
///     for (var i = 0u; i < (arg(job, 1u) + 3u) / 4u; i++) { sum += arena_load(arg(job, 0u) + i); }
///     observe_add(0u, sum);
///     return HANDLER_OK;
/// }";
/// let sum = Handler::wgsl(0x100, "sum", "sum.wgsl", sum).iterations(1025);
/// # let sum = sum.on_cpu(|call| {
/// #     let words = call.arg(1).div_ceil(4);
/// #     let sum = (0..words).map(|i| call.arena_load(call.arg(0) + i)).fold(0, u32::wrapping_add);
/// #     call.observe_add(0, sum);
/// #     HANDLER_OK
/// # });
/// # let choice = BackendChoice::Twin;
/// let kernel = Kernel::builder().handler(sum).build()?;
/// let builder = Driver::builder(kernel, Geometry::of_slots(64, 1)?).backend(choice);
/// let arena = ArenaOptions { chunks: 16, chunk_bytes: 4096 };
/// let mut driver = builder.arena(arena).open()?;
///
/// let mut ingest = Ingest::builder(&driver).open()?;
/// ingest.add(Source::file("Cargo.toml"), ChunkJob::new(0x100))?;
/// while !ingest.is_idle() {
///     ingest.wait(&mut driver)?;
///     driver.dispatch(&Readback::observables(0..1))?;
///     while let Some(chunk) = ingest.next(&mut driver) {
///         assert!(matches!(chunk.end, ChunkEnd::Done), "{chunk:?}");
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Ingest {
    engine: Box<dyn Engine>,
    path: IngestPath,
    /// Nobody else's before the engine is gone, whose reads land there.
    reader: Reader,
    depth: usize,
    batch: u32,
    sources: Vec<Option<Reading>>,
    next_id: u32,
    /// Files in the order in which they were added.
    files: VecDeque<usize>,
    /// Streams, the one that waits longest first.
    streams: VecDeque<usize>,
    most_streams: u32,
    /// Reads of files under way.
    file_reads: usize,
    /// Whether the latest chunk was begun for a stream.
    was_stream: bool,
    chunks: Vec<Chunk>,
    /// Chunks by their state.
    free: Vec<u32>,
    landed: VecDeque<u32>,
    running: VecDeque<u32>,
    /// Those to be handed back.
    over: VecDeque<u32>,
    /// Of each ring slot, the chunk whose job it had last.
    by_slot: Vec<u32>,
    ended: VecDeque<SourceEnd>,
    /// Sources that have ended, wrapping.
    ends: u32,
}

impl core::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ingest").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Ingest {
    /// Input into the driver's arena, still to be opened.
    pub fn builder(driver: &Driver) -> IngestBuilder<'_> {
        IngestBuilder::new(driver)
    }

    /// How bytes come into the arena, and why not in a better way.
    pub fn path(&self) -> &IngestPath {
        &self.path
    }

    /// Takes a source; its chunks will each be published as `job`. Files are read one after the
    /// other, streams all at once. A stream waits in a chunk of its own, and one chunk is left for
    /// files; but where there is only one in all, files wait for the stream.
    ///
    /// # Errors
    /// [`IngestError::Args`], [`IngestError::Full`], [`IngestError::Streams`],
    /// [`IngestError::Source`]; nothing is read then.
    pub fn add(&mut self, source: Source, job: ChunkJob) -> Result<SourceId, IngestError> {
        let most = ChunkJob::MAX_ARGS;
        if job.extra.len() > most {
            return Err(IngestError::Args { args: job.extra.len(), most });
        }
        let free = self.sources.iter().position(Option::is_none);
        let index = free.ok_or(IngestError::Full { sources: self.sources.len() as u32 })?;
        let (streams, most) = (self.streams.len() as u32 + 1, self.most_streams);
        if source.is_stream() && streams > most {
            return Err(IngestError::Streams { streams, most });
        }
        let opened = source.open(self.chunk_bytes())?;
        let id = SourceId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        let reading = Reading::new(id, opened, job, &mut *self.engine);
        match reading.is_stream() {
            true => self.streams.push_back(index),
            false => self.files.push_back(index),
        }
        self.sources[index] = Some(reading);
        self.end_if_over(index);
        Ok(id)
    }

    fn chunk_bytes(&self) -> u32 {
        self.reader.arena.options().chunk_bytes
    }

    /// Whether chunks land in the arena of this driver.
    fn is_host(&self, host: &mut impl Publish) -> bool {
        let arena = host.driver().device.options().arena.as_ref();
        arena.is_some_and(|arena| Arc::ptr_eq(arena, &self.reader.arena))
    }

    /// Whether nothing is left to be done: every source has ended, and every chunk was handed back
    /// by [`Ingest::next`].
    pub fn is_idle(&self) -> bool {
        self.sources.iter().all(Option::is_none)
    }

    /// Goes on without waiting: takes in what has come, publishes it, and starts as many reads as
    /// there are chunks and depth for. Says how many chunks were published.
    ///
    /// When the ring is full, chunks wait in the arena until a drain has made room; when the arena
    /// is full, reads wait until chunks were handed back by [`Ingest::next`].
    ///
    /// # Errors
    /// [`IngestError::OtherArena`], [`IngestError::Engine`], [`IngestError::Driver`]. What has come
    /// is not lost: the next call goes on. Errors of single reads come with their chunks.
    pub fn poll(&mut self, host: &mut impl Publish) -> Result<u32, IngestError> {
        if !self.is_host(host) {
            return Err(IngestError::OtherArena);
        }
        self.take_back(host);
        let mut published = 0;
        loop {
            self.reap();
            published += self.publish(host)?;
            let started = self.start_reads();
            unless_passing(self.engine.submit())
                .map_err(|source| IngestError::Engine { source })?;
            // What is in the page cache has come by now.
            if !started || !self.reap() {
                return Ok(published + self.publish(host)?);
            }
        }
    }

    /// A chunk whose job has ended, or that could not be read; its place in the arena is free from
    /// the next [`Ingest::poll`] or [`Ingest::wait`] on. Every chunk comes once; of another driver
    /// than the one that was published to, none whose job has run.
    pub fn next(&mut self, host: &mut impl Publish) -> Option<FinishedChunk> {
        if self.over.is_empty() {
            self.look(host);
        }
        let index = self.over.pop_front()?;
        let end = self.end_of(index, host.driver());
        let chunk = &mut self.chunks[index as usize];
        chunk.state = State::Free;
        let (source, offset, bytes) = (chunk.source, chunk.read.offset, chunk.bytes);
        self.free.push(index);
        let reading = self.sources[source].as_mut().expect("it has a chunk outstanding");
        reading.handed_back();
        let id = reading.id;
        self.end_if_over(source);
        Some(FinishedChunk { source: id, offset, bytes, chunk: index, end })
    }

    /// How a chunk that is over has ended.
    fn end_of(&self, index: u32, driver: &Driver) -> ChunkEnd {
        let chunk = &self.chunks[index as usize];
        let reading = self.sources[chunk.source].as_ref().expect("it has a chunk outstanding");
        match chunk.state {
            // The device was lost since.
            State::Ran(ticket, _) if driver.is_uncertain(ticket) => ChunkEnd::Unknown,
            State::Ran(_, Outcome::Done) => ChunkEnd::Done,
            State::Ran(_, Outcome::Fault(code)) => ChunkEnd::Fault(code),
            State::Ran(..) => ChunkEnd::Unknown,
            State::Refused(error) => ChunkEnd::Refused(error),
            State::Failed(failure) => ChunkEnd::NotRead(ReadError {
                path: Arc::clone(&reading.path),
                offset: chunk.read.position(),
                errno: match failure {
                    Failure::Errno(errno) => Some(errno),
                    Failure::Truncated => None,
                },
            }),
            _ => unreachable!("only such chunks are listed"),
        }
    }

    /// A source that has ended. As many ends are kept as [sources](IngestBuilder::sources) may be read
    /// at once, the latest: who adds more than that takes ends in the same loop.
    pub fn next_end(&mut self) -> Option<SourceEnd> {
        self.ended.pop_front()
    }

    /// Lets go of a source of which nothing is left.
    fn end_if_over(&mut self, index: usize) {
        if let Some(over) = self.sources[index].take_if(|source| source.is_over()) {
            self.streams.retain(|stream| *stream != index);
            self.files.retain(|file| *file != index);
            self.ends = self.ends.wrapping_add(1);
            if self.ended.len() == self.sources.len() {
                self.ended.pop_front();
            }
            let Reading { id, chunks, failed, bytes, .. } = over;
            let path = Arc::clone(&over.path);
            self.ended.push_back(SourceEnd { source: id, path, chunks, failed, bytes });
            over.close(&mut *self.engine);
        }
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // Until their jobs have ended, these chunks are not free.
        for index in self.running.drain(..) {
            if let State::Running(ticket) = self.chunks[index as usize].state {
                self.reader.left.push((index, ticket));
            }
        }
    }
}
