//! What holds in each memory type that host and GPU share: every job whole, and once, and its
//! answer whole when DONE is seen. By drains, and while a kernel stays on.

mod stress;

use crate::harness::Format;
use serde_json::json;
use slipring_driver::persistent::DEFAULT_SLICE;
use slipring_driver::storage::{Pages, words_for};
use slipring_driver::{BackendChoice, Driver, OpenError};
use std::io::{self, Write};
use stress::{Findings, GEOMETRY};

const JOBS: u32 = 200_000;
/// The most memory types that a Vulkan device has.
const TYPES: u32 = 32;

static STORAGE: Pages<{ words_for(GEOMETRY) }> = Pages::new();

/// Measures and prints one type after the other, then memory of our own; returns whether all held.
///
/// # Errors
/// Those of writing to stdout.
pub fn run(format: Format) -> io::Result<bool> {
    let builder = Driver::builder(stress::kernel(), GEOMETRY).persistent(DEFAULT_SLICE);
    let first = builder.backend(BackendChoice::Mapped).open().expect("a GPU");
    if format == Format::Table {
        writeln!(io::stdout(), "{}: {}", first.backend().adapter, first.backend().reason)?;
    }
    let row = || stress::row(first.another_row(GEOMETRY), JOBS);
    let types = (0..TYPES).map(|index| (format!("type {index}"), row().memory_type(index)));
    let imported = ("imported".to_owned(), row().storage(STORAGE.words()));
    let mut holds = true;
    for (memory, builder) in types.chain([imported]) {
        let mut driver = match builder.open() {
            Ok(driver) => driver,
            Err(OpenError::NotMapped { reason }) if reason.starts_with("there is no") => continue,
            Err(error) => {
                write(format, [&memory, "none", ""], JOBS, &Err(error.into()))?;
                continue;
            }
        };
        let reason = driver.backend().reason.clone();
        let flags = reason.split("row in ").nth(1).and_then(|row| row.split(',').next());
        for mode in ["drains", "stays"] {
            let findings = match mode {
                "drains" => stress::drains(&mut driver, JOBS),
                _ => stress::stays(&mut driver, JOBS),
            };
            write(format, [&memory, mode, flags.unwrap_or_default()], JOBS, &findings)?;
            // Where no kernel can stay on, drains are what there is.
            holds &= findings
                .map_or(mode == "stays", |(tally, _)| tally.iter().all(|(_, jobs)| *jobs == 0));
        }
    }
    Ok(holds)
}

fn write(
    format: Format,
    [memory, mode, flags]: [&str; 3],
    jobs: u32,
    findings: &Findings,
) -> io::Result<()> {
    let (mut line, mut text) = (
        json!({ "bench": "litmus", "memory": memory, "mode": mode, "flags": flags }),
        format!("{memory:<9} {mode:<7}"),
    );
    match findings {
        Ok((tally, median)) => {
            for (name, count) in [("jobs", jobs)].iter().chain(tally) {
                line[name] = (*count).into();
                text += &format!("{name} {count}  ");
            }
            let median_us = median.as_secs_f64() * 1e6;
            line["median_us"] = median_us.into();
            text += &format!("median_us {median_us:<7.2} {flags}");
        }
        Err(reason) => {
            line["reason"] = reason.to_string().into();
            text += &format!("{reason}  {flags}");
        }
    }
    let text = if format == Format::Json { line.to_string() } else { text };
    writeln!(io::stdout(), "{text}")
}
