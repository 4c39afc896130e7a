//! Files and streams, chunk by chunk, into memory that the GPU reads.
//!
//! ```text
//!   source ─ read, several at once ─▶ arena chunk ─ publish ─▶ ring slot ─▶ job ─▶ chunk is free
//!                                      in the order in which reads end
//! ```

mod builder;
mod chunk;
mod read;
mod reading;

pub use builder::IngestBuilder;
pub use chunk::{ChunkEnd, ChunkJob, FinishedChunk, ReadError, SourceEnd};
pub use reading::SourceId;

use super::engine::{Ended, Engine, unless_passing};
use super::ladder::IngestPath;
use super::publish::Publish;
use super::source::{Source, SourceError};
use crate::arena::{Arena, Landing};
use crate::driver::{Driver, DriverError};
use chunk::{Chunk, State};
use read::{Failure, Step};
use reading::Reading;
use slipring_core::publisher::{Outcome, PublisherError};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many chunks [`Ingest::next`] looks at in one call: each costs a load from memory that the GPU
/// may own.
const LOOKS: usize = 16;

/// Why input cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum IngestError {
    /// The driver was opened without [`DriverBuilder::arena`](crate::DriverBuilder::arena).
    #[error("the driver has no ingest arena; use DriverBuilder::arena")]
    NoArena,
    /// Another driver than the one whose arena is read into.
    #[error("this is not the driver that the ingest was opened for")]
    OtherArena,
    /// A depth of 0, or of more than the ring takes.
    #[error("{depth} reads at once; 1 to {most} are possible")]
    Depth { depth: u32, most: u32 },
    /// No room for sources, or for too many.
    #[error("room for {sources} sources; 1 to {most} are possible")]
    Sources { sources: u32, most: u32 },
    /// A rung that was asked for, and that the system does not have.
    #[error("{reason}")]
    Rung { reason: String },
    /// As many sources are being read as there may be.
    #[error("{sources} sources are being read, and there is room for no more; wait for one to end")]
    Full { sources: u32 },
    /// More streams than may wait, each in a chunk of its own; one is left for the rest.
    #[error("{streams} streams at once; {most} are possible, each waits in a chunk of its own")]
    Streams { streams: u32, most: u32 },
    /// More arguments than a slot has room for.
    #[error("{args} more arguments for each chunk; a slot has room for {most}")]
    Args { args: usize, most: usize },
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The system does not take reads any more.
    #[error("reading is not possible any more: {source}")]
    Engine { source: io::Error },
    /// The device did not take a chunk.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

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
    arena: Arc<Arena>,
    landing: Landing,
    chunk_bytes: u32,
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
    failed: VecDeque<u32>,
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
    /// other, streams all at once.
    ///
    /// # Errors
    /// [`IngestError::Full`], [`IngestError::Streams`], [`IngestError::Source`]; nothing is read
    /// then.
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
        let opened = source.open(self.chunk_bytes)?;
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
        let arena = host.driver().device.options().arena.as_ref();
        if arena.is_none_or(|arena| !Arc::ptr_eq(arena, &self.arena)) {
            return Err(IngestError::OtherArena);
        }
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

    /// As [`Ingest::poll`], but waits until as many chunks were published as make a
    /// [`batch`](IngestBuilder::batch); fewer, when the caller has to do something first: nothing is
    /// being read, the ring is full, a source has ended, or a chunk could not be read.
    ///
    /// # Errors
    /// As [`Ingest::poll`].
    pub fn wait(&mut self, host: &mut impl Publish) -> Result<u32, IngestError> {
        self.wait_for(host, None)
    }

    /// As [`Ingest::wait`], but not for much longer than `timeout`.
    ///
    /// # Errors
    /// As [`Ingest::poll`].
    pub fn wait_timeout(
        &mut self,
        host: &mut impl Publish,
        timeout: Duration,
    ) -> Result<u32, IngestError> {
        self.wait_for(host, Some(timeout))
    }

    fn wait_for(
        &mut self,
        host: &mut impl Publish,
        timeout: Option<Duration>,
    ) -> Result<u32, IngestError> {
        let (ends, start) = (self.ends, Instant::now());
        let mut published = 0;
        loop {
            published += self.poll(host)?;
            let has_news = !self.landed.is_empty() || !self.failed.is_empty() || self.ends != ends;
            let rest = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
            let is_late = rest.is_some_and(|rest| rest.is_zero());
            if published >= self.batch || has_news || is_late || self.engine.in_flight() == 0 {
                return Ok(published);
            }
            unless_passing(self.engine.wait(rest))
                .map_err(|source| IngestError::Engine { source })?;
        }
    }

    /// A chunk whose job has ended, or that could not be read; its place in the arena is free from
    /// the next [`Ingest::poll`] or [`Ingest::wait`] on. Every chunk comes once.
    pub fn next(&mut self, host: &mut impl Publish) -> Option<FinishedChunk> {
        let (index, end) = self.next_failed().or_else(|| self.next_run(host))?;
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

    fn next_failed(&mut self) -> Option<(u32, ChunkEnd)> {
        let index = self.failed.pop_front()?;
        let chunk = &self.chunks[index as usize];
        let reading = self.sources[chunk.source].as_ref().expect("it has a chunk outstanding");
        let end = match chunk.state {
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
        };
        Some((index, end))
    }

    fn next_run(&mut self, host: &mut impl Publish) -> Option<(u32, ChunkEnd)> {
        for _ in 0..self.running.len().min(LOOKS) {
            let index = self.running.pop_front()?;
            let State::Running(ticket) = self.chunks[index as usize].state else {
                unreachable!("only such chunks are listed")
            };
            let end = match host.outcome(ticket) {
                Outcome::Pending => {
                    self.running.push_back(index);
                    continue;
                }
                Outcome::Done => ChunkEnd::Done,
                Outcome::Fault(code) => ChunkEnd::Fault(code),
                Outcome::Unknown => ChunkEnd::Unknown,
            };
            return Some((index, end));
        }
        None
    }

    /// A source that has ended; of more than there is room for at once, the latest.
    pub fn next_end(&mut self) -> Option<SourceEnd> {
        self.ended.pop_front()
    }

    /// Takes in the reads that have ended, and says whether there was one.
    fn reap(&mut self) -> bool {
        let mut has_come = false;
        while let Some(Ended { token, result }) = self.engine.next() {
            has_come = true;
            self.take_in(token, result);
        }
        has_come
    }

    fn take_in(&mut self, index: u32, result: i32) {
        let room = self.arena.chunk(index);
        let chunk = &mut self.chunks[index as usize];
        let source = self.sources[chunk.source].as_mut().expect("it has a chunk outstanding");
        let step = chunk.read.advance(result, source.is_stream());
        chunk.touch(&room, result < 0 && !source.is_stream());
        if chunk.read.was_refused(source) {
            source.direct_refused();
        }
        if step == Step::Again {
            let transfer = chunk.read.transfer(source, &room);
            self.engine.start(index, transfer);
            return;
        }
        source.ended();
        self.file_reads -= usize::from(!source.is_stream());
        match step {
            Step::Again => {}
            Step::Done { bytes } => {
                source.came(bytes);
                chunk.land(bytes, &self.landing, &room);
                self.landed.push_back(index);
            }
            Step::End => {
                source.exhaust();
                source.handed_back();
                chunk.state = State::Free;
                self.free.push(index);
                let source = chunk.source;
                self.end_if_over(source);
            }
            Step::Failed(failure) => {
                if source.is_stream() {
                    // What comes after a gap is not the stream any more.
                    source.exhaust();
                }
                chunk.bytes = 0;
                chunk.state = State::Failed(failure);
                self.failed.push_back(index);
            }
        }
    }

    /// Publishes what has landed, oldest first, as far as the ring takes it.
    fn publish(&mut self, host: &mut impl Publish) -> Result<u32, IngestError> {
        let mut published = 0;
        while let Some(&index) = self.landed.front() {
            let room = self.arena.chunk(index);
            let chunk = &mut self.chunks[index as usize];
            let reading = self.sources[chunk.source].as_ref().expect("it has a chunk outstanding");
            if chunk.undelivered > 0 {
                let end = (room.start + chunk.undelivered).div_ceil(4);
                host.driver().device.deliver_arena(room.start / 4..end)?;
                chunk.undelivered = 0;
            }
            let own = reading.own_bytes(chunk.read.offset, chunk.bytes);
            let args = reading.job.arguments(index, &room, chunk, own, reading.id);
            match host.publish(&reading.job.with(&args)) {
                Ok(ticket) => {
                    chunk.state = State::Running(ticket);
                    self.running.push_back(index);
                    published += 1;
                }
                Err(PublisherError::Full { .. } | PublisherError::Quota { .. }) => break,
                Err(error) => {
                    chunk.state = State::Refused(error);
                    self.failed.push_back(index);
                }
            }
            self.landed.pop_front();
        }
        Ok(published)
    }

    /// Starts reads into free chunks, and says whether there was one.
    fn start_reads(&mut self) -> bool {
        let mut has_started = false;
        while let Some(&index) = self.free.last()
            && let Some((source, read)) = self.begin_chunk()
        {
            self.free.pop();
            let room = self.arena.chunk(index);
            let chunk = &mut self.chunks[index as usize];
            chunk.begin(source, read);
            let reading = self.sources[source].as_ref().expect("it has begun a chunk");
            self.engine.start(index, chunk.read.transfer(reading, &room));
            has_started = true;
        }
        has_started
    }

    /// Begins a chunk: of a stream that waits for one, or of the oldest file that has more; in turn,
    /// if there are both.
    fn begin_chunk(&mut self) -> Option<(usize, read::Read)> {
        let begun = match self.was_stream {
            true => self.begin_file().or_else(|| self.begin_stream()),
            false => self.begin_stream().or_else(|| self.begin_file()),
        };
        self.was_stream = begun.is_some_and(|(source, _)| self.streams.contains(&source));
        begun
    }

    fn begin_stream(&mut self) -> Option<(usize, read::Read)> {
        for place in 0..self.streams.len() {
            let source = self.streams[place];
            let reading = self.sources[source].as_mut().expect("it is listed until it is over");
            if let Some(read) = reading.begin(self.chunk_bytes) {
                self.streams.remove(place);
                self.streams.push_back(source);
                return Some((source, read));
            }
        }
        None
    }

    fn begin_file(&mut self) -> Option<(usize, read::Read)> {
        // A stream's read may take for ever, and is none of these.
        while self.file_reads < self.depth
            && let Some(&source) = self.files.front()
        {
            let reading = self.sources[source].as_mut().expect("it is listed until it is over");
            if let Some(read) = reading.begin(self.chunk_bytes) {
                self.file_reads += 1;
                return Some((source, read));
            }
            self.files.pop_front();
        }
        None
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
            let Reading { id, chunks, bytes, .. } = over;
            let path = Arc::clone(&over.path);
            self.ended.push_back(SourceEnd { source: id, path, chunks, bytes });
            over.close(&mut *self.engine);
        }
    }
}
