//! The demo: a real file through io_uring, the ring and the GPU, checked.

mod check;

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::command::{build_example, in_callers_folder, program, root, run_quietly};

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
    let mut crc32 = program(build_example("crc32")?);
    println!("file     {}", file.display());
    run_quietly(in_callers_folder(&mut crc32)?.arg(file))
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
