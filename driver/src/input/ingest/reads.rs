//! Reads: begun while there are chunks for them, taken in as they end.

use super::chunk::State;
use super::read::{Read, Step};
use super::{Ingest, SourceId};
use crate::input::engine::Ended;

impl Ingest {
    /// Ends a source before its end: nothing more is read of it. What has come is still published,
    /// and comes back by [`Ingest::next`] as ever; chunks that were being read do not. Says whether
    /// there was such a source. (What a read of a stream has taken meanwhile is lost.)
    pub fn cancel(&mut self, source: SourceId) -> bool {
        let mut sources = self.sources.iter().enumerate();
        let found =
            sources.find_map(|(index, other)| (other.as_ref()?.id == source).then_some(index));
        let Some(index) = found else { return false };
        let Some(reading) = self.sources[index].as_mut().filter(|reading| !reading.is_cancelled())
        else {
            return true;
        };
        reading.cancel();
        for (chunk, token) in self.chunks.iter().zip(0..) {
            if chunk.source == index && matches!(chunk.state, State::Reading) {
                self.engine.cancel(token);
            }
        }
        // If it is not told now, it is with the next reads.
        let _ = self.engine.submit();
        self.end_if_over(index);
        true
    }

    /// Takes in the reads that have ended, and says whether there was one.
    pub(super) fn reap(&mut self) -> bool {
        let mut has_come = false;
        while let Some(Ended { token, result }) = self.engine.next() {
            has_come = true;
            self.take_in(token, result);
        }
        has_come
    }

    fn take_in(&mut self, index: u32, result: i32) {
        let room = self.reader.arena.chunk(index);
        let chunk = &mut self.chunks[index as usize];
        let source = self.sources[chunk.source].as_mut().expect("it has a chunk outstanding");
        let mut step = chunk.read.advance(result, source.is_stream());
        chunk.touch(source.is_stream());
        if chunk.read.was_refused(source) {
            source.direct_refused();
        }
        if source.is_cancelled() && matches!(step, Step::Again | Step::Failed(_)) {
            step = Step::End;
        }
        if step == Step::Again {
            let transfer = chunk.transfer(source, &room);
            self.engine.start(index, transfer);
            return;
        }
        source.ended();
        self.file_reads -= usize::from(!source.is_stream());
        match step {
            Step::Again => {}
            Step::Done { bytes } => {
                source.came(bytes);
                chunk.land(bytes, &self.reader.arena.chosen().landing, &room);
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
                source.failed += 1;
                chunk.bytes = 0;
                chunk.state = State::Failed(failure);
                self.over.push_back(index);
            }
        }
    }

    /// Starts reads into free chunks, and says whether there was one.
    pub(super) fn start_reads(&mut self) -> bool {
        let mut has_started = false;
        while let Some(&index) = self.free.last()
            && let Some((source, read)) = self.begin_chunk()
        {
            self.free.pop();
            let room = self.reader.arena.chunk(index);
            let chunk = &mut self.chunks[index as usize];
            chunk.begin(source, read);
            let reading = self.sources[source].as_ref().expect("it has begun a chunk");
            self.engine.start(index, chunk.transfer(reading, &room));
            has_started = true;
        }
        has_started
    }

    /// Begins a chunk: of a stream that waits for one, or of the oldest file that has more; in turn,
    /// if there are both.
    fn begin_chunk(&mut self) -> Option<(usize, Read)> {
        let begun = match self.was_stream {
            true => self.begin_file().or_else(|| self.begin_stream()),
            false => self.begin_stream().or_else(|| self.begin_file()),
        };
        self.was_stream = begun.is_some_and(|(source, _)| self.streams.contains(&source));
        begun
    }

    fn begin_stream(&mut self) -> Option<(usize, Read)> {
        let chunk_bytes = self.chunk_bytes();
        for place in 0..self.streams.len() {
            let source = self.streams[place];
            let reading = self.sources[source].as_mut().expect("it is listed until it is over");
            if let Some(read) = reading.begin(chunk_bytes) {
                self.streams.remove(place);
                self.streams.push_back(source);
                return Some((source, read));
            }
        }
        None
    }

    fn begin_file(&mut self) -> Option<(usize, Read)> {
        let chunk_bytes = self.chunk_bytes();
        // A stream's read may take for ever, and is none of these.
        while self.file_reads < self.depth
            && let Some(&source) = self.files.front()
        {
            let reading = self.sources[source].as_mut().expect("it is listed until it is over");
            if let Some(read) = reading.begin(chunk_bytes) {
                self.file_reads += 1;
                return Some((source, read));
            }
            self.files.pop_front();
        }
        None
    }
}
