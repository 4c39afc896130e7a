//! The project's own commands; `cargo xtask` lists them.

#[cfg(feature = "c")]
mod c;
mod check;
mod command;
mod demo;
mod elf;
mod fuzz_programs;
#[cfg(feature = "golden")]
mod golden;
#[cfg(feature = "handoff")]
mod handoff;
mod image;
mod machine;
mod no_panic;
mod size;

use std::ffi::OsString;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo [FILE]       a file through io_uring, the ring and the GPU, every CRC-32 checked
  c [--write]       the C header and library, and the example with them on a simulated board;
                    --write writes the header
  check             every check of the project; installs what it needs as root on Debian
  golden DIR        replays a folder of the reference's vectors, such as tests/golden
  handoff [--loss P] [--m0]
                    firmware on a simulated Cortex-M3 (with --m0, built for a Cortex-M0) hands
                    jobs to a host over a wire that loses or damages P of the frames, 0 to 1
  fuzz-programs N [--seed S]
                    N random programs on the CPU twin and the GPU, compared word by word
  size [--json]     instructions, flash, stack and panics of core's calls on a Cortex-M3

SLIPRING_SKIP_GPU=1 leaves out of check and golden what needs a GPU, and says so.
";

const COMMANDS: [&str; 7] = ["c", "demo", "check", "golden", "handoff", "fuzz-programs", "size"];

/// Whether what needs a GPU is to be left out.
fn skips_gpu() -> bool {
    std::env::var("SLIPRING_SKIP_GPU").is_ok_and(|value| value == "1")
}

/// What a command ends with; the error is for the reader of a terminal.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // A path may be no UTF-8: it is taken from `arguments`.
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let words: Vec<&str> = words.iter().map(|word| &**word).collect();
    let wants_help = words.iter().any(|word| matches!(*word, "help" | "--help" | "-h"));
    let outcome = match words.as_slice() {
        words if words.is_empty() || wants_help => {
            print!("{USAGE}");
            Ok(())
        }
        ["demo"] => demo::run_demo(None),
        ["demo", _] => demo::run_demo(Some(arguments[1].as_ref())),
        #[cfg(feature = "c")]
        ["c"] => c::run_example(false),
        #[cfg(feature = "c")]
        ["c", "--write"] => c::run_example(true),
        #[cfg(not(feature = "c"))]
        ["c", ..] => {
            let mut c = command::command("cargo run --quiet --package xtask --features c -- ");
            command::run_quietly(c.args(&arguments))
        }
        ["check"] => check::run_steps(),
        #[cfg(feature = "golden")]
        ["golden", _] => return golden::run(arguments[1].as_ref()),
        #[cfg(not(feature = "golden"))]
        ["golden", _] => {
            let mut golden =
                command::command("cargo run --quiet --package xtask --features golden -- golden");
            command::in_callers_folder(&mut golden)
                .and_then(|golden| command::run_quietly(golden.arg(&arguments[1])))
        }
        #[cfg(feature = "handoff")]
        ["handoff", options @ ..] => handoff::run(options),
        #[cfg(not(feature = "handoff"))]
        ["handoff", options @ ..] => command::run_quietly(
            command::command("cargo run --quiet --package xtask --features handoff -- handoff")
                .args(options),
        ),
        ["fuzz-programs", programs] => fuzz_programs::fuzz(programs, "1"),
        ["fuzz-programs", programs, "--seed", seed] => fuzz_programs::fuzz(programs, seed),
        ["size"] => size::run(false),
        ["size", "--json"] => size::run(true),
        [command, ..] if COMMANDS.contains(command) => {
            Err(format!("{command} does not take these arguments: {}\n\n{USAGE}", words.join(" ")))
        }
        _ => Err(format!("no such command: {}\n\n{USAGE}", words.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}
