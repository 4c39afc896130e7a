//! Counts a byte pattern in files, on the GPU: `cargo run --example grep -- PATTERN FILE...`.
//!
//! ```text
//!   file   ■■■■■■■■■■■■■■■■■■■■■■■■    io_uring ─▶ arena chunks ─▶ one slot a chunk ─▶ drain
//!   chunks ■■■■■■■■■□                  ■ its own: a match counts where it begins
//!                  ■■■■■■■■■□          □ the next one's too: a match may end there
//! ```

use slipring_core::layout::Geometry;
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::input::{ChunkEnd, ChunkJob, Ingest, IngestError, Source};
use slipring_driver::{ArenaOptions, Driver, Kernel, Readback, handler};
use std::collections::HashMap;
use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

const GREP: u32 = 0x100;
const MAX_PATTERN_BYTES: usize = 64;
/// Of each byte, at which of the pattern's places it stands: a bit each.
const TABLE_WORDS: usize = 256 * MAX_PATTERN_BYTES / 32;
const CHUNK_BYTES: u32 = 32_768;
/// At least a pattern without its first byte; a multiple of 4096 keeps O_DIRECT possible.
const OVERLAP_BYTES: u32 = 4096;
const CHUNKS: u32 = 512;
/// Half of the chunks are read while the GPU has the others. A drain of fewer would take as long.
const BATCH: u32 = CHUNKS / 2;
/// One turn a word, then at most three for the last bytes, and one each to see the end.
const ITERATIONS: u32 = CHUNK_BYTES / 4 + 5;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (pattern, paths) = match arguments.as_slice() {
        [pattern, paths @ ..] if !paths.is_empty() => (pattern.as_bytes(), paths),
        _ => {
            eprintln!("usage: grep PATTERN FILE...");
            return ExitCode::from(2);
        }
    };
    if !(1..=MAX_PATTERN_BYTES).contains(&pattern.len()) {
        let bytes = pattern.len();
        eprintln!("error: a pattern of {bytes} bytes; 1 to {MAX_PATTERN_BYTES} are possible");
        return ExitCode::from(2);
    }
    match run(pattern, paths) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the GPU has found in a file.
#[derive(Clone, Debug, Default)]
struct Found {
    matches: u64,
    bytes: u64,
    /// What went wrong, if anything did.
    failures: Vec<String>,
}

/// Counts on the GPU and on the CPU, and returns how much went wrong.
fn run(pattern: &[u8], paths: &[OsString]) -> Result<usize, Box<dyn Error>> {
    let grep = handler!(GREP, "grep", "grep.wgsl").iterations(ITERATIONS).on_cpu(grep_on_cpu);
    let kernel = Kernel::builder().handler(grep).build()?;
    let mut driver = Driver::builder(kernel, Geometry::of_slots(CHUNKS, CHUNKS)?)
        .workspace_words(TABLE_WORDS)
        .arena(ArenaOptions { chunks: CHUNKS, chunk_bytes: CHUNK_BYTES })
        .open()?;
    driver.write_workspace(0, &table(pattern))?;
    let mut ingest = Ingest::builder(&driver).depth(BATCH).batch(BATCH).open()?;
    println!("adapter  {} ({})", driver.backend().adapter, driver.backend().backend);
    println!("ingest   {}", ingest.path());

    let start = Instant::now();
    let job = ChunkJob::new(GREP).args(&[pattern.len() as u32]);
    let mut files = search(&mut ingest, &mut driver, &job, paths)?;
    let seconds = start.elapsed().as_secs_f64();

    for (file, path) in files.iter_mut().zip(paths) {
        if !file.failures.is_empty() {
            continue;
        }
        let (matches, expected) = (file.matches, count_on_cpu(path.as_ref(), pattern));
        let path = Path::new(path).display();
        println!("{matches:>8} {path}");
        match expected {
            Ok(expected) if expected == matches => {}
            Ok(expected) => {
                file.failures.push(format!("{path}: {matches}, and the CPU has found {expected}"));
            }
            Err(error) => file.failures.push(format!("{path}, read once more: {error}")),
        }
    }
    let matches: u64 = files.iter().map(|file| file.matches).sum();
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    println!("{matches:>8} in all");
    let rate = bytes as f64 / seconds / 1e9;
    println!("speed    {rate:.2} GB/s (files to counts, without the check)");
    let failures: Vec<_> = files.iter().flat_map(|file| &file.failures).collect();
    for failure in &failures {
        println!("FAILED   {failure}");
    }
    if failures.is_empty() {
        println!("checked  every count equals the CPU's");
    }
    Ok(failures.len())
}

/// Has the GPU look through the files, as many at once as there is room for.
fn search(
    ingest: &mut Ingest,
    driver: &mut Driver,
    job: &ChunkJob,
    paths: &[OsString],
) -> Result<Vec<Found>, Box<dyn Error>> {
    let mut files = vec![Found::default(); paths.len()];
    let mut index_of = HashMap::new();
    let mut waiting = (0..paths.len()).peekable();
    loop {
        while let Some(&index) = waiting.peek() {
            let source = Source::file(&paths[index]).overlap_bytes(OVERLAP_BYTES);
            match ingest.add(source, job.clone()) {
                Ok(source) => _ = index_of.insert(source, index),
                Err(IngestError::Full { .. }) => break,
                Err(error) => files[index].failures.push(error.to_string()),
            }
            waiting.next();
        }
        if ingest.is_idle() && waiting.peek().is_none() {
            return Ok(files);
        }
        ingest.wait(driver)?;
        driver.dispatch(&Readback::observables(0..CHUNKS))?;
        while let Some(chunk) = ingest.next(driver) {
            let file = &mut files[index_of[&chunk.source]];
            file.bytes = file.bytes.max(chunk.offset + u64::from(chunk.bytes));
            match chunk.end {
                ChunkEnd::Done => {
                    file.matches += u64::from(driver.row().control.observable(chunk.chunk)?);
                }
                ChunkEnd::NotRead(error) => file.failures.push(error.to_string()),
                end => file.failures.push(format!("a chunk at byte {}: {end:?}", chunk.offset)),
            }
        }
    }
}

/// What `grep.wgsl` wants to know of the pattern.
fn table(pattern: &[u8]) -> [u32; TABLE_WORDS] {
    let mut table = [0; TABLE_WORDS];
    for (place, byte) in pattern.iter().enumerate() {
        table[256 * (place / 32) + usize::from(*byte)] |= 1 << (place % 32);
    }
    table
}

/// The twin of `grep.wgsl`, for machines without a GPU.
fn grep_on_cpu(call: &Call<'_, AtomicU32>) -> u32 {
    let last = call.arg(7).wrapping_sub(1) % 64;
    let bytes = call.arg(1).min(call.arg(2).wrapping_add(last));
    if bytes > CHUNK_BYTES {
        return 64;
    }
    let (mut begun, mut count) = (0, 0);
    for i in 0..bytes {
        let byte = call.arena_load(call.arg(0) + i / 4) >> (8 * (i % 4)) & 0xFF;
        let places = |first| u64::from(call.workspace_load(first + byte));
        begun = (begun << 1 | 1) & (places(256) << 32 | places(0));
        count += (begun >> last & 1) as u32;
    }
    if call.observe(call.arg(3), count) { HANDLER_OK } else { 65 }
}

/// How often the pattern begins in a file, by another way: the file read once more, and every
/// place looked at.
fn count_on_cpu(path: &Path, pattern: &[u8]) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let (mut text, mut count) = (Vec::new(), 0);
    while file.by_ref().take(1 << 20).read_to_end(&mut text)? > 0 {
        count += text.windows(pattern.len()).filter(|window| *window == pattern).count() as u64;
        // A match may have begun that the next bytes end.
        text.drain(..text.len().saturating_sub(pattern.len() - 1));
    }
    Ok(count)
}
