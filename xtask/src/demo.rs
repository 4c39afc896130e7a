//! The demo: a real file through io_uring, the ring and the GPU, checked.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::command::{command, in_callers_folder, output, root, run, run_quietly};

const EXAMPLE: &str = "--release --package slipring-driver --example crc32";

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
    run(&mut command(&format!("cargo build {EXAMPLE}")))?;
    println!("file     {}", file.display());
    let mut example = command(&format!("cargo run --quiet {EXAMPLE} --"));
    run_quietly(in_callers_folder(&mut example)?.arg(file))
}

/// Runs the example over files that it takes, with and without a GPU, and over those that it must
/// refuse, and looks at what it says.
pub fn check() -> Outcome {
    let folder = root().join("target/demo");
    let failed = |error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    let write = |name: &str, bytes: usize| {
        let path = folder.join(name);
        fs::File::create(&path).and_then(|file| file.set_len(bytes as u64)).map_err(failed)?;
        Ok::<_, String>(path)
    };
    let small = write("small", 65_536 * 3 + 5)?;
    let (empty, large) = (write("empty", 0)?, write("large", 1 << 28)?);
    let missing = folder.join("missing");
    run(&mut command(&format!("cargo build --quiet {EXAMPLE}")))?;
    let accepted = ["jobs     4 of", "checked  every CRC-32 equals the CPU's"];
    if !crate::skips_gpu() {
        expect(&small, &[], true, &accepted)?;
    }
    let no_vulkan = [("VK_DRIVER_FILES", "/nowhere"), ("VK_ICD_FILENAMES", "/nowhere")];
    expect(&small, &no_vulkan, true, &[accepted[0], accepted[1], "no GPU (no Vulkan device"])?;
    expect(&missing, &[], false, &["missing: No such file"])?;
    expect(&empty, &[], false, &["empty is empty"])?;
    expect(&folder, &[], false, &["is a directory"])?;
    expect(&large, &[], false, &["268435456 bytes, and the arena holds 134152192"])?;
    other_examples()
}

/// Runs the examples that take no file: each checks its own results.
fn other_examples() -> Outcome {
    let example = |name| {
        let example =
            format!("cargo run --quiet --release --package slipring-driver --example {name}");
        run(&mut command(&example))
    };
    example("histogram")?;
    example("rows")?;
    // Only a GPU's kernel stays on.
    if crate::skips_gpu() { Ok(()) } else { example("control_loop") }
}

/// Runs the example over `file`: it must succeed, or not, and say all of `texts`.
fn expect(file: &Path, variables: &[(&str, &str)], succeeds: bool, texts: &[&str]) -> Outcome {
    let mut example = command(&format!("cargo run --quiet {EXAMPLE} --"));
    let output = output(example.arg(file).envs(variables.iter().copied()))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if output.status.success() != succeeds || texts.iter().any(|text| !said.contains(text)) {
        let shown = file.display();
        return Err(format!("{shown}: {texts:?} was expected of the demo, {said:?} came"));
    }
    Ok(())
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
