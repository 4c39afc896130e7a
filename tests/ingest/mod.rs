//! A driver that sums up the chunks it is given, and files whose chunks' sums are known.

#![allow(dead_code, reason = "each test target uses its part")]

use slipring_core::layout::Geometry;
use slipring_core::row::Row;
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::input::{ChunkEnd, ChunkJob, FinishedChunk, Ingest, SourceId};
use slipring_driver::{ArenaOptions, Driver, DriverBuilder, Handler, Kernel, Readback};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;

/// Sums up a chunk: its words, wrapping, and each times its place, into observables `2 c` and
/// `2 c + 1` of chunk `c`; of every so many words the first, if argument 7 says so. Words behind the
/// chunk's bytes must be 0.
pub const SUM: u32 = 0x100;
pub const CHUNK_BYTES: u32 = 4096;
pub const CHUNKS: u32 = 8;

/// A driver with an arena of 8 chunks of 4 KiB, and `slots` ring slots.
pub fn summing(slots: u32) -> DriverBuilder {
    let source = "fn sum(job: Job) -> u32 {
        var plain = 0u;
        var placed = 0u;
        for (var i = 0u; i < 1024u; i += max(arg(job, 7u), 1u)) {
            let word = arena_load(arg(job, 0u) + i);
            plain += word;
            placed += word * (i + 1u);
            if i * 4u >= arg(job, 1u) && word != 0u { return fault(64u); }
        }
        observe(2u * arg(job, 3u), plain);
        observe(2u * arg(job, 3u) + 1u, placed);
        return HANDLER_OK;
    }";
    let handler = Handler::wgsl(SUM, "sum", "sum.wgsl", source).iterations(1025).on_cpu(sum);
    let kernel = Kernel::builder().handler(handler).build().unwrap();
    let arena = ArenaOptions { chunks: CHUNKS, chunk_bytes: CHUNK_BYTES };
    Driver::builder(kernel, Geometry::of_slots(slots, 2 * CHUNKS).unwrap()).arena(arena)
}

fn sum(call: &Call<'_, AtomicU32>) -> u32 {
    let (mut plain, mut placed) = (0u32, 0u32);
    for i in (0..1024).step_by(call.arg(7).max(1) as usize) {
        let word = call.arena_load(call.arg(0) + i);
        plain = plain.wrapping_add(word);
        placed = placed.wrapping_add(word.wrapping_mul(i + 1));
        if i * 4 >= call.arg(1) && word != 0 {
            return call.fault(64);
        }
    }
    call.observe(2 * call.arg(3), plain);
    call.observe(2 * call.arg(3) + 1, placed);
    HANDLER_OK
}

/// What the handler makes of bytes.
pub fn sums(bytes: &[u8]) -> [u32; 2] {
    sums_of_every(1, bytes)
}

/// What the handler makes of the first of every so many words.
pub fn sums_of_every(words: usize, bytes: &[u8]) -> [u32; 2] {
    let all = bytes.chunks(4).zip(1u32..).step_by(words);
    all.fold([0, 0], |[plain, placed], (word, place)| {
        let mut whole = [0; 4];
        whole[..word.len()].copy_from_slice(word);
        let word = u32::from_le_bytes(whole);
        [plain.wrapping_add(word), placed.wrapping_add(word.wrapping_mul(place))]
    })
}

/// Bytes without a period, different for each seed.
pub fn pattern(seed: u32, bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|i| ((i ^ seed << 16).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A file that is removed when the test ends.
pub struct TempFile(pub PathBuf);

impl TempFile {
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        let name = format!("slipring-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A job that sums up.
pub fn sum_job() -> ChunkJob {
    ChunkJob::new(SUM)
}

/// Chunks of one source by where they start: their bytes and sums, or how else they ended.
pub type Chunks = BTreeMap<u64, Result<(u32, [u32; 2]), FinishedChunk>>;

/// Chunks of all sources.
pub type Sources = HashMap<SourceId, Chunks>;

/// Runs everything that was added, and returns every chunk that was handed back, each once.
pub fn run(ingest: &mut Ingest, driver: &mut Driver) -> Sources {
    let mut all = Sources::new();
    while !ingest.is_idle() {
        ingest.wait(driver).unwrap();
        drain(ingest, driver, &mut all);
    }
    all
}

/// Runs what was published, and adds the chunks that are handed back.
pub fn drain(ingest: &mut Ingest, driver: &mut Driver, all: &mut Sources) {
    driver.dispatch(&Readback::observables(0..2 * CHUNKS)).unwrap();
    while let Some(chunk) = ingest.next(driver) {
        take(chunk, driver.row(), all);
    }
}

/// Adds a chunk that was handed back.
pub fn take(chunk: FinishedChunk, row: Row<'_, AtomicU32>, all: &mut Sources) {
    let at = all.entry(chunk.source).or_default();
    let offset = chunk.offset;
    let result = match chunk.end {
        ChunkEnd::Done => {
            let sum = |i| row.control.observable(2 * chunk.chunk + i).unwrap();
            Ok((chunk.bytes, [sum(0), sum(1)]))
        }
        _ => Err(chunk),
    };
    assert!(at.insert(offset, result).is_none(), "a chunk at {offset} came twice");
}

/// Bytes of a source that have come.
pub fn bytes_of(chunks: Option<&Chunks>) -> usize {
    let all = chunks.into_iter().flat_map(BTreeMap::values).flatten();
    all.map(|(bytes, _)| *bytes as usize).sum()
}

/// Fails unless a stream's chunks follow one another, and are `bytes`.
pub fn assert_in_order(chunks: &Chunks, bytes: &[u8]) {
    let mut next = 0;
    for (offset, chunk) in chunks {
        let (len, found) = chunk.as_ref().unwrap_or_else(|chunk| panic!("{chunk:?}"));
        assert_eq!(*offset as usize, next);
        next += *len as usize;
        assert_eq!(*found, sums(&bytes[*offset as usize..next]), "bytes {offset}..{next}");
    }
    assert_eq!(next, bytes.len());
}

/// Fails unless the chunks are those of `bytes`, all of them, each right.
pub fn assert_whole(chunks: &Chunks, bytes: &[u8], overlap: usize) {
    let step = CHUNK_BYTES as usize - overlap;
    let mut expected = 0;
    for start in (0..bytes.len()).step_by(step) {
        let end = bytes.len().min(start + CHUNK_BYTES as usize);
        let chunk = chunks.get(&(start as u64)).unwrap_or_else(|| panic!("none at {start}"));
        let chunk = chunk.as_ref().unwrap_or_else(|chunk| panic!("{chunk:?}"));
        assert_eq!(*chunk, ((end - start) as u32, sums(&bytes[start..end])), "at byte {start}");
        expected += 1;
        if end == bytes.len() {
            break;
        }
    }
    assert_eq!(chunks.len(), expected);
}
