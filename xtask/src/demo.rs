//! The demo: a real file through io_uring, the ring and the GPU, checked.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use crate::Outcome;
use crate::command::{command, in_callers_folder, root, run_quietly};

/// Bytes of the file that is made when none is given.
const DEFAULT_BYTES: usize = 64 << 20;

/// Runs the `crc32` example over `file`, or over one that is made here.
pub fn run_demo(file: Option<&str>) -> Outcome {
    let file = match file {
        Some(file) => PathBuf::from(file),
        None => default_file()?,
    };
    println!("file     {}", file.display());
    let mut example = command("cargo run --release --package slipring-driver --example crc32 --");
    // For a user without a desktop, Mesa's device chooser complains of a missing display.
    run_quietly(in_callers_folder(&mut example)?.arg(file).env("NODEVICE_SELECT", "1"))
}

/// A file of pseudo-random bytes, the same on every machine.
fn default_file() -> Result<PathBuf, String> {
    let path = root().join("target/demo.bin");
    if fs::metadata(&path).is_ok_and(|file| file.len() == DEFAULT_BYTES as u64) {
        return Ok(path);
    }
    let failed = |error| format!("{} cannot be written: {error}", path.display());
    fs::create_dir_all(root().join("target")).map_err(failed)?;
    let mut file = BufWriter::new(fs::File::create(&path).map_err(failed)?);
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..DEFAULT_BYTES / 8 {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes()).map_err(failed)?;
    }
    file.flush().map_err(failed)?;
    Ok(path)
}
