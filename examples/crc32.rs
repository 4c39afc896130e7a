//! A file's CRC-32, chunk by chunk, on the GPU: `cargo run --example crc32 -- FILE`.
//!
//! ```text
//!   file ─ io_uring ─▶ arena chunks ─▶ one slot a chunk ─▶ drain ─▶ observables ─▶ checked
//! ```

use slipring_core::layout::Geometry;
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::input::{ChunkEnd, ChunkJob, Ingest, Source};
use slipring_driver::{ArenaOptions, Driver, Kernel, Readback, handler};
use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

const CRC32: u32 = 0x100;
/// A lane takes a chunk, and a CPU's core 64 lanes: small chunks are work for many cores.
const CHUNK_BYTES: u32 = 16_384;
const CHUNKS: u32 = 1024;
/// Half of the chunks are read while the GPU has the others. A drain of fewer would take as long.
const BATCH: u32 = CHUNKS / 2;
/// One turn a word, then at most three for the last bytes, and one each to see the end.
const ITERATIONS: u32 = CHUNK_BYTES / 4 + 5;
const TABLE_WORDS: usize = 4 * 256;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        eprintln!("usage: crc32 FILE");
        return ExitCode::from(2);
    };
    match run(path.as_ref()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            // On a terminal, over what there is of the progress bar.
            let clear = if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
            eprintln!("{clear}error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the file through the GPU and returns how many chunks went wrong.
fn run(path: &Path) -> Result<usize, Box<dyn Error>> {
    let crc32 = handler!(CRC32, "crc32", "crc32.wgsl").iterations(ITERATIONS).on_cpu(crc32_on_cpu);
    let kernel = Kernel::builder().handler(crc32).build()?;
    let mut driver = Driver::builder(kernel, Geometry::of_slots(CHUNKS, CHUNKS)?)
        .workspace_words(TABLE_WORDS)
        .arena(ArenaOptions { chunks: CHUNKS, chunk_bytes: CHUNK_BYTES })
        .open()?;
    let backend = driver.backend();
    if backend.backend == "twin" {
        println!("no GPU ({}); running on {}", backend.reason, backend.adapter);
    } else {
        println!("adapter  {} ({}, {})", backend.adapter, backend.reason, backend.backend);
        if backend.is_cpu {
            println!("warning  this adapter is a CPU: no GPU was found");
        }
    }
    driver.write_workspace(0, &tables())?;
    let mut ingest = Ingest::builder(&driver).depth(BATCH).batch(BATCH).open()?;
    println!("ingest   {}", ingest.path());

    let start = Instant::now();
    ingest.add(Source::file(path), ChunkJob::new(CRC32))?;
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Err(format!("{} is empty: there is no chunk to run", path.display()).into());
    }
    let chunks = bytes.div_ceil(CHUNK_BYTES.into()) as usize;
    let mut crcs = run_chunks(&mut ingest, &mut driver, chunks)?;
    let seconds = start.elapsed().as_secs_f64();

    let rate = bytes as f64 / seconds / 1e9;
    println!("jobs     {chunks} of up to {CHUNK_BYTES} bytes, {bytes} bytes in all");
    println!(
        "speed    {rate:.2} GB/s, {:.0} jobs/s (file to results, without the check)",
        chunks as f64 / seconds
    );
    let mut failed = 0;
    for offset in (0..bytes).step_by(CHUNK_BYTES as usize) {
        let chunk_bytes = (bytes - offset).min(CHUNK_BYTES.into()) as usize;
        if let Err(wrong) = check(&file, offset, chunk_bytes, crcs.remove(&offset)) {
            println!("FAILED   chunk at byte {offset}: {wrong}");
            failed += 1;
        }
    }
    match failed {
        0 => println!("checked  every CRC-32 equals the CPU's"),
        _ => println!("checked  {failed} of {chunks} chunks are wrong"),
    }
    Ok(failed)
}

/// Of each chunk, by where it starts: its CRC-32, or why it has none.
type Crcs = HashMap<u64, Result<u32, String>>;

/// Has the GPU run what the ingest reads.
fn run_chunks(
    ingest: &mut Ingest,
    driver: &mut Driver,
    chunks: usize,
) -> Result<Crcs, Box<dyn Error>> {
    let mut crcs = Crcs::with_capacity(chunks);
    while !ingest.is_idle() {
        ingest.wait(driver)?;
        driver.dispatch(&Readback::observables(0..CHUNKS))?;
        while let Some(chunk) = ingest.next(driver) {
            let crc = match chunk.end {
                ChunkEnd::Done => Ok(driver.row().control.observable(chunk.chunk)?),
                ChunkEnd::NotRead(error) => Err(error.to_string()),
                end => Err(format!("{end:?}")),
            };
            crcs.insert(chunk.offset, crc);
        }
        show_progress(crcs.len(), chunks);
    }
    Ok(crcs)
}

/// Reads a chunk once more, and compares its CRC-32 with the CPU's.
fn check(
    file: &File,
    offset: u64,
    bytes: usize,
    crc: Option<Result<u32, String>>,
) -> Result<(), String> {
    let crc = crc.ok_or("it never came")??;
    let mut chunk = [0; CHUNK_BYTES as usize];
    let chunk = &mut chunk[..bytes];
    file.read_exact_at(chunk, offset).map_err(|error| format!("read once more: {error}"))?;
    let expected = crc32fast::hash(chunk);
    if crc == expected { Ok(()) } else { Err(format!("{crc:08x}, expected {expected:08x}")) }
}

fn show_progress(done: usize, of: usize) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let filled = 40 * done / of;
        let end = if done == of { "\n" } else { "" };
        let _ = write!(stderr, "\r[{:<40}] {done}/{of}{end}", "#".repeat(filled));
    }
}

/// The tables of slicing-by-4: table k advances a byte that stands k places further on.
fn tables() -> [u32; TABLE_WORDS] {
    let mut tables = [0; TABLE_WORDS];
    for (byte, entry) in (0..256).zip(&mut tables) {
        let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        *entry = (0..8).fold(byte, step);
    }
    for entry in 256..TABLE_WORDS {
        let before = tables[entry - 256];
        tables[entry] = before >> 8 ^ tables[(before & 0xFF) as usize];
    }
    tables
}

/// The twin of `crc32.wgsl`, for machines without a GPU.
fn crc32_on_cpu(call: &Call<'_, AtomicU32>) -> u32 {
    let (first, bytes) = (call.arg(0), call.arg(1));
    if bytes > CHUNK_BYTES {
        return 64;
    }
    let table = |k: u32, x: u32| call.workspace_load(256 * k + (x & 0xFF));
    let mut crc = u32::MAX;
    for word in 0..bytes / 4 {
        let x = crc ^ call.arena_load(first + word);
        crc = table(3, x) ^ table(2, x >> 8) ^ table(1, x >> 16) ^ table(0, x >> 24);
    }
    let tail = call.arena_load(first + bytes / 4);
    for byte in 0..bytes % 4 {
        crc = table(0, crc ^ tail >> (8 * byte)) ^ crc >> 8;
    }
    if call.observe(call.arg(3), !crc) { HANDLER_OK } else { 65 }
}
