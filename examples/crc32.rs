//! A file's CRC-32, chunk by chunk, on the GPU: `cargo run --example crc32 -- FILE`.
//!
//! ```text
//!   file ─ io_uring ─▶ workspace chunks ─▶ one slot a chunk ─▶ drain ─▶ observables ─▶ checked
//! ```

use slipring_core::layout::Geometry;
use slipring_core::publisher::{Outcome, Ticket};
use slipring_core::ring::Job;
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::input::FileReader;
use slipring_driver::{Driver, Kernel, Readback, handler};
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

const CRC32: u32 = 0x100;
const CHUNK_BYTES: usize = 65_536;
const CHUNK_WORDS: usize = CHUNK_BYTES / 4;
/// One turn a word, then at most three for the last bytes, and one each to see the end.
const ITERATIONS: u32 = CHUNK_WORDS as u32 + 5;
/// The most bytes of a file: what fits, beside the tables, the 128 MiB that any device binds.
const ARENA_BYTES: u64 = 2047 * CHUNK_BYTES as u64;
const TABLE_WORDS: usize = 4 * 256;
const SLOTS: u32 = 1024;
/// Chunks that go into one dispatch.
const BATCH: usize = 128;

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
fn run(path: &std::path::Path) -> Result<usize, Box<dyn Error>> {
    let mut reader = FileReader::open(path, CHUNK_BYTES)?;
    let (bytes, chunks) = (reader.len_bytes(), reader.chunks());
    if bytes > ARENA_BYTES {
        let path = path.display();
        return Err(format!("{path}: {bytes} bytes, and the arena holds {ARENA_BYTES}").into());
    }

    let crc32 = handler!(CRC32, "crc32", "crc32.wgsl").iterations(ITERATIONS).on_cpu(crc32_on_cpu);
    let kernel = Kernel::builder().handler(crc32).build()?;
    let mut driver = Driver::builder(kernel, Geometry::of_slots(SLOTS, chunks as u32)?)
        .workspace_words(TABLE_WORDS + chunks as usize * CHUNK_WORDS)
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

    let mut failures = Vec::new();
    let mut batch: Vec<(u64, Ticket, u32)> = Vec::with_capacity(BATCH);
    let (start, mut checking, mut done) = (Instant::now(), Duration::ZERO, 0);
    loop {
        let chunk = reader.next_chunk()?;
        let is_last = chunk.is_none();
        if let Some(chunk) = chunk {
            let first = TABLE_WORDS + chunk.index as usize * CHUNK_WORDS;
            driver.write_workspace(first, chunk.words)?;
            let args = [first as u32, chunk.bytes as u32, chunk.index as u32];
            let ticket = driver.publish(&Job::new(CRC32, &args))?;
            let check = Instant::now();
            let expected = crc32fast::hash(&bytemuck::cast_slice(chunk.words)[..chunk.bytes]);
            checking += check.elapsed();
            batch.push((chunk.index, ticket, expected));
        }
        if batch.len() == BATCH || (is_last && !batch.is_empty()) {
            driver.dispatch(&Readback::observables(0..chunks as u32))?;
            done += batch.len();
            for (chunk, ticket, expected) in batch.drain(..) {
                let outcome = driver.outcome(ticket);
                let crc = driver.row().control.observable(chunk as u32)?;
                if outcome != Outcome::Done || crc != expected {
                    failures.push(format!(
                        "chunk {chunk}: {outcome:?}, CRC {crc:08x}, expected {expected:08x}"
                    ));
                }
            }
            show_progress(done, chunks as usize);
        }
        if is_last {
            break;
        }
    }

    let seconds = (start.elapsed() - checking).as_secs_f64();
    let rate = bytes as f64 / seconds / 1e9;
    println!("jobs     {done} of up to {CHUNK_BYTES} bytes, {bytes} bytes in all");
    println!(
        "speed    {rate:.2} GB/s, {:.0} jobs/s (file to results, without the check)",
        done as f64 / seconds
    );
    for failure in &failures {
        println!("FAILED   {failure}");
    }
    match failures.len() {
        0 => println!("checked  every CRC-32 equals the CPU's"),
        failed => println!("checked  {failed} of {done} chunks are wrong"),
    }
    Ok(failures.len())
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
    let (first, bytes, words) = (call.arg(0), call.arg(1), call.workspace_len());
    if bytes as usize > CHUNK_BYTES || first > words || bytes.div_ceil(4) > words - first {
        return 64;
    }
    let table = |k: u32, x: u32| call.workspace_load(256 * k + (x & 0xFF));
    let mut crc = u32::MAX;
    for word in 0..bytes / 4 {
        let x = crc ^ call.workspace_load(first + word);
        crc = table(3, x) ^ table(2, x >> 8) ^ table(1, x >> 16) ^ table(0, x >> 24);
    }
    let tail = call.workspace_load(first + bytes / 4);
    for byte in 0..bytes % 4 {
        crc = table(0, crc ^ tail >> (8 * byte)) ^ crc >> 8;
    }
    if call.observe(call.arg(2), !crc) { HANDLER_OK } else { 65 }
}
