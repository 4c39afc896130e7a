//! Measurements of slipring, beside its peers where there are any.
//!
//! In the default release profile, then with fat LTO and one codegen unit:
//!
//! ```text
//! cargo run --release -p slipring-bench --features peers -- publish
//! cargo run --profile release-lto -p slipring-bench --features peers -- publish
//! ```
//!
//! Without `--features peers` ours is measured without vyre, which is not compiled then. With
//! `--json` each case is one object on a line.
//!
//! The stripped binary can be carried to a machine with a GPU and without cargo: it needs libgcc_s
//! and a glibc as new as the build machine's, and loads libvulkan at run time.

#[path = "../../tests/counting/mod.rs"]
mod counting;
mod dispatch;
mod fused;
mod growth;
mod harness;
mod ingest;
mod jobs;
mod link;
mod litmus;
mod persistent;
mod publish;
mod rows;
mod start;

use harness::Format;
use std::io::ErrorKind;
use std::process::ExitCode;

const HELP: &str = "\
Usage: slipring-bench <BENCH> [CASES] [OPTIONS]

CASES: only those cases whose name has this in it.

Benches:
  publish   core's host calls, beside vyre-runtime 0.6.1 under `--features peers`
  dispatch  a turn of the loop (publish, dispatch, every result), on each backend, beside a good
            safe-wgpu loop, a raw Vulkan one and, under `--features peers` on a real GPU,
            vyre-driver-wgpu 0.6.1
  jobs      1024 jobs as one dispatch, as 1024 dispatches of one encoder, as 1024 submissions
  fused     a handler in a fused kernel, beside the same one in the ordinary kernel: 1024 jobs a
            drain, and opening a driver
  growth    64 jobs in rings of 100 to 1,000,000 slots
  rows      8 rows of 32 jobs in one submission, beside a dispatch a row
  persistent
            publish to DONE while a kernel stays on
  start     opening a mapped driver, its pipeline cache warm and cold; caches of the Vulkan driver's
            own are off where MESA_SHADER_CACHE_DISABLE and __GL_SHADER_DISK_CACHE do not say
  ingest    the bytes of a file (in TMPDIR, else target/) to memory that a GPU can read, with O_DIRECT
            and through the page cache, which has them (warm) or not (cold); first every chunk is
            checked by sums that a GPU takes, of read_fixed by the CPU
              read_fixed    the floor: io_uring READ_FIXED, as many at once as the ring has chunks,
                            into plain memory of which nobody is told
              write_buffer  the safe way: std reads a chunk, wgpu's write_buffer takes it to the GPU
              pread         one read after the other into mapped memory of a storage buffer
  link      the link over simulated wires of 1, 3 and 12 Mbaud: slots a second, and what part that is of
            those that the wire has bytes for; bytes a slot, acknowledgements and what was sent again
            included; publish to result of a job alone, and with a full window. What a job and its
            result cost a host with both ends in memory, beside their frames alone by crates cobs
            and crc. And jobs over a pseudo-terminal, which has no speed of its own, and a socket to
            a driver, and their results back
  litmus    each memory type that host and GPU share, and memory of ours that is imported, by
            drains and while a kernel stays on: of 200,000 jobs those lost, doubled, torn on the
            way to the GPU or back, and publish to DONE; fails if there are any, says why where no
            kernel can stay on

Options:
  --json    one object a line: bench, case, unit, median, min, p99, allocs; with a peer also
            peer, ratio, peer_median, peer_min, peer_p99, peer_allocs; litmus: bench, memory, mode,
            flags, and jobs, lost, doubled, torn_to_gpu, torn_to_host, median_us, or reason; ingest:
            bench, case, unit, median, best, cpu_s_per_gb, allocs, ratio; link, simulated: bench, case,
            slots_per_s, of_wire, bytes_per_slot, alone_us, median_us, p99_us
  --mib N   of ingest: the file's length, 1 to 65536 (1024)
  --help    this text

ratio is the peer's median over ours: above 1 ours is faster. allocs is heap allocations a call. Of
ingest ratio is to the floor's median: 1 is as fast; allocs is heap allocations a chunk, and CPU time is
that of the process, user and system.

Default release profile, then fat LTO with one codegen unit:
  cargo run --release -p slipring-bench --features peers -- publish
  cargo run --profile release-lto -p slipring-bench --features peers -- publish
";

fn main() -> ExitCode {
    let mut format = Format::Table;
    let (mut bench, mut only) = (None, None);
    let mut mib = None;
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let argument = argument.to_string_lossy().into_owned();
        match argument.as_str() {
            "--help" | "-h" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            "--json" => format = Format::Json,
            "--mib" => {
                let value = arguments.next().unwrap_or_default();
                mib = value.to_str().and_then(|value| value.parse().ok());
                if !mib.is_some_and(|mib| (1..=65_536).contains(&mib)) {
                    return misuse(&format!("--mib takes a number from 1 to 65536, not {value:?}"));
                }
            }
            _ if bench.is_none() => bench = Some(argument),
            _ if only.is_none() => only = Some(argument),
            _ => return misuse(&format!("unexpected argument `{argument}`")),
        }
    }
    if mib.is_some() && bench.as_deref() != Some("ingest") {
        return misuse("--mib is an option of ingest");
    }
    let only = only.unwrap_or_default();
    let written = match bench.as_deref() {
        Some("publish") => harness::run("publish", publish::cases(), (format, &only)),
        Some("dispatch") => harness::run("dispatch", dispatch::cases(), (format, &only)),
        Some("jobs") => harness::run("jobs", jobs::cases(), (format, &only)),
        Some("fused") => harness::run("fused", fused::cases(), (format, &only)),
        Some("growth") => harness::run("growth", growth::cases(), (format, &only)),
        Some("start") => harness::run("start", start::cases(), (format, &only)),
        Some("rows") => harness::run("rows", rows::cases(), (format, &only)),
        Some("ingest") => ingest::run(mib.unwrap_or(1024), (format, &only)),
        Some("link") => link::run((format, &only)),
        Some("litmus") => match litmus::run(format) {
            Ok(false) => return ExitCode::FAILURE,
            written => written.map(drop),
        },
        Some("persistent") => harness::run("persistent", persistent::cases(), (format, &only)),
        Some(unknown) => return misuse(&format!("unknown bench `{unknown}`")),
        None => return misuse("name a bench"),
    };
    match written {
        // Whoever read the results has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: the bench did not finish: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn misuse(problem: &str) -> ExitCode {
    eprint!("error: {problem}\n\n{HELP}");
    ExitCode::from(2)
}
