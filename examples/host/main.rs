//! A host for `examples/firmware`: takes its windows of samples from a wire, has the GPU filter
//! them, and sends the results back: `cargo run --release --example host -- WIRE`.
//!
//! ```text
//!   wire ─▶ ring slots ─▶ drain: tone.wgsl ─▶ two observables a slot ─▶ wire
//! ```

use slipring_core::layout::Geometry;
use slipring_core::tenant::TenantTable;
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::link::{Link, LinkEvent, Links, Results, Wire};
use slipring_driver::{Driver, Kernel, Readback, handler};
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: host WIRE [--once]

  WIRE      serial:/dev/ttyACM0,1000000    unix:/run/board.sock    tcp:192.0.2.7:4000
  --once    ends when the wire has gone, instead of waiting for it to come back";

const TONE: u32 = 0x110;
/// The firmware has to say the same.
const SLOTS: u32 = 64;
const RESULT_WORDS: u32 = 2;
const OBSERVABLES: u32 = RESULT_WORDS * SLOTS;
const MAX_SAMPLES: u32 = 22;
const WINDOW_TOO_LONG: u32 = 64;
/// Tenant 0 may write to every word of the control buffer: not for what comes over a wire.
const TENANT: u32 = 1;
/// How often the counts are shown.
const PERIOD: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (wire, once) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [wire] => (parse_wire(wire), false),
        [wire, "--once"] => (parse_wire(wire), true),
        _ => (None, false),
    };
    let Some(wire) = wire else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(wire, once) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse_wire(wire: &str) -> Option<Wire> {
    match wire.split_once(':')? {
        ("serial", device) => {
            let (path, baud) = device.rsplit_once(',')?;
            Some(Wire::serial(path, baud.parse().ok()?))
        }
        ("unix", path) => Some(Wire::unix(path)),
        ("tcp", address) => Some(Wire::tcp(address.parse().ok()?)),
        _ => None,
    }
}

/// Serves the wire until there is an error, or, if only `once`, until it has gone.
fn run(wire: Wire, once: bool) -> Result<(), Box<dyn Error>> {
    let tone = handler!(TONE, "tone", "tone.wgsl").iterations(MAX_SAMPLES + 1).on_cpu(tone_on_cpu);
    let kernel = Kernel::builder().handler(tone).build()?;
    let mut driver = Driver::builder(kernel, Geometry::of_slots(SLOTS, OBSERVABLES)?)
        .tenants(TenantTable::open(TENANT + 1))
        .open()?;
    let backend = driver.backend();
    println!("adapter  {} ({}, {})", backend.adapter, backend.reason, backend.backend);
    if backend.is_cpu {
        println!("warning  this adapter is a CPU: no GPU was found");
    }
    let link =
        Link::new("board", wire).tenant(TENANT).results(Results::observables(0, RESULT_WORDS));
    let mut links = Links::builder(&driver).link(link).open()?;
    println!("bytes    moved by {:?}", links.rung());

    let (mut shown, mut has_gone) = (Instant::now(), false);
    while !(once && has_gone) {
        links.turn(&mut driver)?;
        if driver.has_work() {
            driver.dispatch(&Readback::none())?;
            links.turn(&mut driver)?;
        }
        while let Some((_, event)) = links.next_event() {
            tell(&event);
            has_gone |= matches!(event, LinkEvent::WireLost(_));
        }
        if shown.elapsed() > PERIOD {
            show(&links);
            shown = Instant::now();
        }
        links.wait(&mut driver, PERIOD)?;
    }
    show(&links);
    Ok(())
}

fn tell(event: &LinkEvent) {
    match event {
        LinkEvent::WireUp => println!("wire     is there"),
        LinkEvent::WireLost(error) => println!("wire     has gone: {error}"),
        LinkEvent::WireAbsent(error) => println!("wire     is not there yet: {error}"),
        LinkEvent::Peer(notice) => println!("link     {notice:?}"),
        LinkEvent::Refused { ticket, reason } => {
            println!("link     job {} is refused: {reason}", ticket.number);
        }
        event => println!("link     {event:?}"),
    }
}

fn show(links: &Links) {
    let counters = links.counters(0);
    println!("frames   {:?}", counters.frames);
    println!(
        "counts   published={} done={} faulted={} not_run={} unknown={} orphaned={}",
        counters.published,
        counters.done,
        counters.faults,
        counters.not_run,
        counters.unknown,
        counters.orphaned
    );
}

/// The twin of `tone.wgsl`, for machines without a GPU.
fn tone_on_cpu(call: &Call<'_, AtomicU32>) -> u32 {
    let samples = call.arg(0) & 0xFF;
    if samples > MAX_SAMPLES {
        return WINDOW_TOO_LONG;
    }
    let coefficient = call.arg(0).cast_signed() >> 16;
    let (mut last, mut before, mut energy) = (0i32, 0i32, 0i32);
    let scaled = |last: i32| coefficient.wrapping_mul(last) >> 14;
    for i in 0..samples {
        let sample = i32::from((call.arg(1 + i / 2) >> (16 * (i % 2))) as i16);
        let next = sample.wrapping_add(scaled(last)).wrapping_sub(before);
        (last, before) = (next, last);
        energy = energy.wrapping_add(sample * sample);
    }
    let squares = last.wrapping_mul(last).wrapping_add(before.wrapping_mul(before));
    let power = squares.wrapping_sub(scaled(last).wrapping_mul(before));
    call.observe(2 * call.slot(), power.cast_unsigned());
    call.observe(2 * call.slot() + 1, energy.cast_unsigned());
    HANDLER_OK
}
