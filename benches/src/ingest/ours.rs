//! The driver's ingest: chunks of the arena, each published as a job.

use super::source::{Mode, Source, Sums};
use super::{CHUNK_BYTES, DEPTH, Path};
use slipring_core::layout::Geometry;
use slipring_core::opcode;
use slipring_driver::input::{Caching, ChunkEnd, ChunkJob, Ingest, Source as Input};
use slipring_driver::{ArenaOptions, Driver, Handler, Kernel, Readback};
use std::io;

const SUMS: u32 = 0x100;
/// Chunks beyond those that are being read: for the GPU, meanwhile.
const CHUNKS: u32 = 3 * DEPTH as u32;

pub struct Ours {
    driver: Driver,
    ingest: Ingest,
}

impl Ours {
    pub fn open() -> io::Result<Self> {
        let iterations = (CHUNK_BYTES / 16) as u32 + 1;
        let handler =
            Handler::wgsl(SUMS, "add_up", "chunk_sums.wgsl", include_str!("chunk_sums.wgsl"));
        let kernel = Kernel::builder().handler(handler.iterations(iterations)).build();
        let geometry = Geometry::of_slots(64, 2 * CHUNKS).map_err(io::Error::other)?;
        let arena = ArenaOptions { chunks: CHUNKS, chunk_bytes: CHUNK_BYTES as u32 };
        let builder = Driver::builder(kernel.map_err(io::Error::other)?, geometry).arena(arena);
        let driver = builder.open().map_err(io::Error::other)?;
        let ingest = Ingest::builder(&driver).depth(DEPTH as u32).batch(DEPTH as u32).open();
        let ingest = ingest.map_err(io::Error::other)?;
        eprintln!("ingest: ours is {} on {}", ingest.path(), driver.backend().adapter);
        Ok(Self { driver, ingest })
    }
}

impl Path for Ours {
    fn pass(
        &mut self,
        source: &Source,
        mode: Mode,
        mut check: Option<&mut [Sums]>,
    ) -> io::Result<()> {
        let Self { driver, ingest } = self;
        // A job that does nothing, unless what has come is to be checked.
        let job = ChunkJob::new(if check.is_some() { SUMS } else { opcode::NOP });
        let caching = if mode == Mode::Direct { Caching::Direct } else { Caching::Buffered };
        let file = Input::file(&source.path).caching(caching);
        ingest.add(file, job).map_err(io::Error::other)?;
        let readback = Readback::observables(0..2 * CHUNKS);
        while !ingest.is_idle() {
            ingest.wait(driver).map_err(io::Error::other)?;
            driver.dispatch(&readback).map_err(io::Error::other)?;
            while let Some(chunk) = ingest.next(driver) {
                if !matches!(chunk.end, ChunkEnd::Done) {
                    return Err(io::Error::other(format!("{chunk:?}")));
                }
                if let Some(check) = &mut check {
                    let control = driver.row().control;
                    let sum = |i| control.observable(2 * chunk.chunk + i).map_err(io::Error::other);
                    check[(chunk.offset / CHUNK_BYTES as u64) as usize] = [sum(0)?, sum(1)?];
                }
            }
        }
        Ok(())
    }
}
