//! slipring for C: the header is what the library is, and a program in C works with both.
//!
//! ```text
//!   qemu-system-arm ◀─ UART, a socket ─▶ a host: Receiver, every job checked and answered
//!     └─ semihosting ─▶ what the program has counted
//! ```

mod header;
mod host;

use std::path::PathBuf;

use crate::Outcome;
use crate::command::{command, read, root, run};
use crate::machine;

/// What C programs are compiled with.
const FLAGS: &str = "-std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude";
const TARGET: &str = "thumbv7m-none-eabi";

/// Checks the header, or writes it; builds the library and the example, and runs it.
pub fn run_example(writes: bool) -> Outcome {
    machine::prepare_only(&[machine::SIMULATOR, machine::C_COMPILER])?;
    header::check(writes)?;
    check_languages()?;
    let program = build()?;
    println!("{}", read(command("arm-none-eabi-size").arg(&program))?.trim_end());
    host::run(&program)
}

/// The header by itself, as C99, C11 and C++ take it.
fn check_languages() -> Outcome {
    let header = header::path();
    for language in ["c -std=c99", "c -std=c11", "c++ -std=c++11"] {
        let line = format!(
            "arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb -ffreestanding -fsyntax-only -Wall -Wextra \
             -Wpedantic -Werror -x {language}"
        );
        run(command(&line).arg(&header))?;
    }
    Ok(())
}

/// The example with the library, linked; which it does not where the library could panic.
fn build() -> Result<PathBuf, String> {
    let folder = root().join("target/c");
    run(command("cargo build --quiet --release --manifest-path c/Cargo.toml --target")
        .arg(TARGET)
        .arg("--target-dir")
        .arg(&folder))?;
    let library = folder.join(TARGET).join("release/libslipring_c.a");
    let program = folder.join("example.elf");
    let line = format!(
        "arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb -Os -ffreestanding -nostdlib -Wl,--gc-sections \
         -Wl,-z,noexecstack \
         {FLAGS} -Texamples/c/board.ld examples/c/main.c examples/c/board.c"
    );
    run(command(&line).arg(&library).args(["-lgcc", "-o"]).arg(&program))?;
    Ok(program)
}
