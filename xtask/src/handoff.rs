//! The hand-off, end to end: firmware on a simulated Cortex-M, a host with a GPU, and what both
//! have counted.
//!
//! ```text
//!   qemu-system-arm ◀─ UART, a socket ─▶ wire, with its losses ◀─ a socket ─▶ examples/host
//!     └─ semihosting: defmt ─▶ decoded ─▶ terminal, counts ◀─ what it prints ───┘
//! ```

mod counts;
mod firmware_log;
mod process;
mod wire;

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::command::{build_example, command, program, root, run as run_command};
use crate::{Outcome, image, machine};
use counts::Counts;
use process::{Process, Said, ScratchFolder, Side};
use wire::{Damage, Wire};

/// The most that a run may take. It takes seconds.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The most that one side goes on after the other has ended.
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// What the losses of the wire are drawn with.
const SEED: u64 = 1;

/// Runs the firmware and the host, and holds their counts against each other.
pub fn run(options: &[&str]) -> Outcome {
    let Options { target, loss } = Options::parse(options)?;
    machine::prepare_only(&[machine::SIMULATOR])?;
    let firmware = build_firmware(target)?;
    let host = build_example("host")?;
    let folder = ScratchFolder::new()?;
    let (uart, wire) = (folder.path().join("uart"), folder.path().join("wire"));
    let (sender, said) = mpsc::channel();

    println!("wire     | loses or damages {loss} of the frames, seed {SEED}");
    let table = firmware_log::table(&firmware)?;
    // Its log is the standard output.
    let mut qemu = image::board(&image::uart_at(&uart), &firmware);
    let mut board = Process::spawn(Side::Firmware, &mut qemu, &folder)?;
    board.listen(move |output, say| firmware_log::decode(&table, output, say), &sender);
    let damage = Damage { rate: loss, seed: SEED };
    let lossy = Wire::open(&wire, &uart, damage)?;
    let address = format!("unix:{}", wire.display());
    let mut host = program(host);
    let mut host = Process::spawn(Side::Host, host.args([&*address, "--once"]), &folder)?;
    host.listen(process::lines, &sender);
    drop(sender);

    let shown = show(&said);
    let ends = [host.succeeds(), board.succeeds(), shown.as_ref().map(drop).map_err(Clone::clone)];
    let failures: Vec<String> = ends.into_iter().filter_map(Result::err).collect();
    match shown {
        Ok([on_board, on_host]) if failures.is_empty() => {
            println!("wire     | {}", lossy.close()?);
            counts::compare(&on_board, &on_host)
        }
        _ => Err(failures.join("\n")),
    }
}

struct Options {
    /// What the firmware is built for.
    target: &'static str,
    /// The part of the frames that the wire loses or damages.
    loss: f64,
}

impl Options {
    fn parse(mut options: &[&str]) -> Result<Self, String> {
        let mut parsed = Self { target: "thumbv7m-none-eabi", loss: 0.0 };
        loop {
            options = match options {
                [] => return Ok(parsed),
                ["--m0", rest @ ..] => {
                    parsed.target = "thumbv6m-none-eabi";
                    rest
                }
                ["--loss", loss, rest @ ..] => {
                    let number = loss.parse().ok().filter(|loss| (0.0..=1.0).contains(loss));
                    parsed.loss = number.ok_or_else(|| format!("--loss {loss}: it is 0 to 1"))?;
                    rest
                }
                _ => {
                    let options = options.join(" ");
                    return Err(format!("handoff takes --loss P and --m0, not: {options}"));
                }
            }
        }
    }
}

fn build_firmware(target: &str) -> Result<PathBuf, String> {
    let folder = root().join("target/firmware");
    let mut cargo = command(
        "cargo build --quiet --release --manifest-path examples/firmware/Cargo.toml --target-dir",
    );
    run_command(cargo.arg(&folder).args(["--target", target]))?;
    Ok(folder.join(target).join("release/firmware"))
}

/// Shows what both sides say until both have ended, and returns what they counted last.
fn show(said: &Receiver<(Side, Said)>) -> Result<[Counts; 2], String> {
    let mut counts = [Counts::default(), Counts::default()];
    let mut deadline = Instant::now() + TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match said.recv_timeout(left) {
            Ok((side, Said::Line(line))) => {
                println!("{side:<8} | {line}");
                if let Some(found) = Counts::find(&line) {
                    counts[side as usize] = found;
                }
            }
            Ok((_, Said::End)) => deadline = deadline.min(Instant::now() + END_TIMEOUT),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(counts),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return Err("one side goes on, although its time is over".to_owned());
            }
        }
    }
}
