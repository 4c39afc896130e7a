//! Bytes of a stream through the GPU to a file: `cargo run --example stream_to_file`.
//!
//! ```text
//!   pipe ─ Ingest ─▶ chunk of the arena ─ job: capitals, in place ─ request_io ─▶ IO pump ─▶ file
//! ```

use slipring_core::io_queue::op;
use slipring_core::layout::Geometry;
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::input::{Access, ChunkEnd, ChunkJob, Ingest, IoPump, IoTable, Source};
use slipring_driver::{ArenaOptions, Driver, Kernel, Readback, handler};
use std::error::Error;
use std::io::{PipeWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

const CAPITALIZE: u32 = 0x100;
const CHUNKS: u32 = 16;
const CHUNK_BYTES: u32 = 16_384;
/// What goes through, a line at a time.
const LINE: &[u8] = b"the quick brown fox jumps over the lazy dog, 0123456789 times.\n";
const LINES: usize = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("slipring-capitals-{}.txt", std::process::id()));
    let path = Removed(path);
    let capitalize = handler!(CAPITALIZE, "capitalize", "stream_to_file.wgsl")
        .iterations(CHUNK_BYTES / 4 + 1)
        .on_cpu(capitalize_on_cpu);
    let kernel = Kernel::builder().handler(capitalize).build()?;
    let mut driver = Driver::builder(kernel, Geometry::of_slots(CHUNKS, 1)?)
        .arena(ArenaOptions { chunks: CHUNKS, chunk_bytes: CHUNK_BYTES })
        .open()?;

    // The GPU may write to the file, and take from every chunk.
    let mut table = IoTable::new();
    let total = (LINES * LINE.len()) as u64;
    let file = table.add_file(std::fs::File::create(&path.0)?, 0..total, Access::WRITE)?;
    let region = |i: u32| (i * CHUNK_BYTES) as usize..((i + 1) * CHUNK_BYTES) as usize;
    let regions = (0..CHUNKS).map(|i| table.add_region(region(i), Access::READ));
    let regions = regions.collect::<Result<Vec<_>, _>>()?;
    driver.attach_io(IoPump::new(table))?;

    let (reader, writer) = std::io::pipe()?;
    let writing = std::thread::spawn(move || write_lines(writer));
    let mut ingest = Ingest::builder(&driver).open()?;
    let job = ChunkJob::new(CAPITALIZE).args(&[file.0, regions[0].0]);
    ingest.add(Source::stream("a pipe", reader), job)?;
    println!("adapter  {} ({})", driver.backend().adapter, driver.backend().backend);
    println!("input    {}", ingest.path());

    let start = Instant::now();
    while !ingest.is_idle() {
        // Not for long: writes end meanwhile, and make room for more.
        ingest.wait_timeout(&mut driver, Duration::from_millis(1))?;
        driver.dispatch(&Readback::none())?;
        driver.wait_io(Duration::from_millis(1))?;
        while let Some(chunk) = ingest.next(&mut driver) {
            if !matches!(chunk.end, ChunkEnd::Done) {
                return Err(format!("chunk at byte {}: {}", chunk.offset, chunk.end).into());
            }
        }
    }
    let elapsed = start.elapsed();
    writing.join().map_err(|_| "the writer panicked")??;
    let end = ingest.next_end().ok_or("the stream has ended, and nobody says so")?;
    println!("stream   {} bytes in {} chunks, {} not read", end.bytes, end.chunks, end.failed);
    println!("speed    {:.2} GB/s", end.bytes as f64 / 1e9 / elapsed.as_secs_f64());

    let written = std::fs::read(&path.0)?;
    if written != LINE.to_ascii_uppercase().repeat(LINES) {
        return Err("the file is not what went through, in capitals".into());
    }
    println!("checked  every byte of the file");
    Ok(())
}

fn write_lines(mut writer: PipeWriter) -> std::io::Result<()> {
    let lines = LINE.repeat(100);
    (0..LINES / 100).try_for_each(|_| writer.write_all(&lines))
}

/// The twin of `stream_to_file.wgsl`, for machines without a GPU.
fn capitalize_on_cpu(call: &Call<'_, AtomicU32>) -> u32 {
    let (first, bytes) = (call.arg(0), call.arg(1));
    if call.is_resumed() {
        return if call.io_bytes() == bytes { HANDLER_OK } else { call.fault(64) };
    }
    for word in first..first + bytes.div_ceil(4) {
        let capitals = call.arena_load(word).to_le_bytes().map(|byte| byte.to_ascii_uppercase());
        call.arena_store(word, u32::from_le_bytes(capitals));
    }
    let offset = u64::from(call.arg(6)) << 32 | u64::from(call.arg(5));
    call.request_io(op::WRITE, call.arg(8) + call.arg(3), call.arg(7), offset, bytes)
}

/// A file that goes with the program.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
