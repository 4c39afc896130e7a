//! The demo: a real file through io_uring, the ring and the GPU, checked.

mod check;

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::Outcome;
use crate::command::{command, in_callers_folder, program, read, root, run_quietly};

pub use check::check;

/// Bytes of the file that is made when none is given.
const DEFAULT_BYTES: usize = 64 << 20;

/// Runs the `crc32` example over `file`, or over one that is made here.
pub fn run_demo(file: Option<&Path>) -> Outcome {
    let file = match file {
        Some(file) => file.to_owned(),
        None => default_file()?,
    };
    // A file that is not there need not wait for the build.
    fs::metadata(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut crc32 = program(build("crc32")?);
    println!("file     {}", file.display());
    run_quietly(in_callers_folder(&mut crc32)?.arg(file))
}

/// Builds an example, and says where it is.
fn build(example: &str) -> Result<PathBuf, String> {
    let line = "cargo build --release --message-format json-render-diagnostics \
                --package slipring-driver --example";
    let messages = read(command(line).arg(example).stderr(Stdio::inherit()))?;
    let mut messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .find(|message| message["target"]["name"] == example && message["executable"].is_string())
        .and_then(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("cargo does not say where it has put the example {example}"))
}

/// A file of pseudo-random bytes, the same on every machine.
fn default_file() -> Result<PathBuf, String> {
    let path = root().join("target/demo.bin");
    if fs::metadata(&path).is_ok_and(|file| file.len() == DEFAULT_BYTES as u64) {
        return Ok(path);
    }
    fs::create_dir_all(root().join("target"))
        .and_then(|()| write_random(&path, DEFAULT_BYTES))
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok(path)
}

/// Writes pseudo-random bytes.
fn write_random(path: &Path, bytes: usize) -> std::io::Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for at in (0..bytes).step_by(8) {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes()[..8.min(bytes - at)])?;
    }
    file.flush()
}
