//! The link: over wires of some speeds, simulated byte by byte; what its frames cost a host; and to a
//! driver and back, over a pseudo-terminal.
//!
//! ```text
//!   Sender ─ FIFO of 16 bytes ─▶ wire ─▶ Receiver ─▶ a job that ends at once
//!      ◀──────────────────────── wire ◀─ its result, one word
//! ```
//!
//! On the simulated wires nothing takes time but bytes, so their figures are exact, and those of the
//! protocol alone. What frames cost a microcontroller `cargo xtask size` measures.

mod codec;
mod host;
mod wire;

use crate::harness::{self, Format};
use std::io::{self, Write};
use wire::{Options, Traffic, WIRE_BAUDS};

/// The window of the sender in the examples, and the largest one.
const WINDOWS: [u32; 2] = [8, 64];
const LOSSES: [f64; 2] = [0.0, 0.01];

/// Measures the cases whose name has `only` in it, and prints them.
///
/// # Errors
/// Those of writing to stdout.
pub fn run((format, only): (Format, &str)) -> io::Result<()> {
    let cases = codec::cases().into_iter().chain(host::cases()).collect();
    harness::run("link", cases, (format, only))?;
    let mut out = io::stdout().lock();
    if format == Format::Table {
        writeln!(
            out,
            "\n{:<34} {:>8} {:>8} {:>11} {:>9} {:>9} {:>9}",
            "link, simulated wire", "slots/s", "of wire", "bytes/slot", "alone us", "median", "p99"
        )?;
    }
    for baud in WIRE_BAUDS {
        for window in WINDOWS {
            for loss in LOSSES {
                let name = format!("{} Mbaud, window {window}, {loss} lost", baud / 1_000_000);
                if name.contains(only) {
                    write_case(&mut out, format, &name, Options { baud, window, loss })?;
                }
            }
        }
    }
    Ok(())
}

fn write_case(
    out: &mut impl Write,
    format: Format,
    name: &str,
    options: Options,
) -> io::Result<()> {
    let full = wire::run(options, Traffic::Full);
    let alone = wire::run(options, Traffic::OneAtATime);
    let [per_second, share, bytes] = [full.per_second(), full.of_wire(), full.bytes_per_slot()];
    let [first, median, p99] = [alone.latency_us(50), full.latency_us(50), full.latency_us(99)];
    if format == Format::Json {
        let line = serde_json::json!({
            "bench": "link",
            "case": name,
            "slots_per_s": per_second,
            "of_wire": share,
            "bytes_per_slot": bytes,
            "alone_us": first,
            "median_us": median,
            "p99_us": p99,
        });
        return writeln!(out, "{line}");
    }
    write!(out, "{name:<34} {per_second:>8.0} {share:>8.3} {bytes:>11.1}")?;
    writeln!(out, " {first:>9.0} {median:>9.0} {p99:>9.0}")
}
