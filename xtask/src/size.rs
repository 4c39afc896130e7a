//! What core's calls cost a Cortex-M3.
//!
//! | figure | how it is made |
//! |---|---|
//! | instructions | one call on the board of `qemu-system-arm -icount`, where every instruction takes the same virtual time and SysTick therefore counts them; scaled by a call of 1,000 `nop`s; from the first instruction of the call to its return, callees included |
//! | masked | the longest part of these with interrupts off: the counter is read first and last in the critical section |
//! | flash bytes | code and constants of an image that holds this call, what it needs, and nothing else (`memcpy` included) |
//! | RAM bytes | statics of that image |
//! | stack bytes | the deepest word below the caller's stack that the call wrote, on painted stack |
//! | panics | calls of core's panic functions in that image |
//!
//! All in the profile of `tests/images`: opt-level "s", LTO. The same compiler gives the same figures.

use serde_json::json;

use crate::elf;
use crate::image::{Image, PANIC_SYMBOL, run_on_board};

const TARGET: &str = "thumbv7m-none-eabi";
/// The instructions of the call that is all frame: set the result, return.
const EMPTY_INSTRUCTIONS: f64 = 2.0;
/// How many more the call of `nop`s has.
const NOPS: f64 = 1000.0;

/// The calls that publish one slot, and the most that they may cost.
const ONE_SLOT: [&str; 2] = ["publish_exclusive", "publish_shared"];
const PUBLISH_INSTRUCTIONS: u64 = 150;
const PUBLISH_FLASH_BYTES: u64 = 800;

/// The calls that publish from an interrupt, and the most that they may cost.
const INTERRUPT: [&str; 2] = ["stage_publish", "queue_publish"];
const INTERRUPT_INSTRUCTIONS: u64 = 250;
const INTERRUPT_MASKED: u64 = 64;

/// One frame of the link, and the most that it may cost.
const LINK_FRAME: &str = "link_transmit";
const LINK_FRAME_INSTRUCTIONS: u64 = 2500;

/// The microcontroller's whole side of the link, and the most that it may cost.
const LINK: &str = "link_sender";
const LINK_FLASH_BYTES: u64 = 6 * 1024;
const LINK_RAM_BYTES: u64 = 1024;

/// The cost of one call.
struct Cost {
    item: String,
    instructions: u64,
    masked: u64,
    flash_bytes: u64,
    ram_bytes: u64,
    stack_bytes: u64,
    panics: usize,
}

/// Measures every call, prints the table or a line of JSON each, and holds publishing to its bars.
pub fn run(as_json: bool) -> Result<(), String> {
    let costs = measure()?;
    if as_json {
        for cost in &costs {
            println!(
                "{}",
                json!({
                    "target": TARGET,
                    "item": cost.item,
                    "instructions": cost.instructions,
                    "masked": cost.masked,
                    "flash_bytes": cost.flash_bytes,
                    "ram_bytes": cost.ram_bytes,
                    "stack_bytes": cost.stack_bytes,
                    "panics": cost.panics,
                })
            );
        }
    } else {
        print_table(&costs);
    }
    check_bars(&costs)
}

fn print_table(costs: &[Cost]) {
    println!("{TARGET} (Cortex-M3), opt-level \"s\", LTO");
    println!(
        "{:<20} {:>12} {:>6} {:>11} {:>9} {:>11} {:>6}",
        "call", "instructions", "masked", "flash bytes", "RAM bytes", "stack bytes", "panics"
    );
    for cost in costs {
        println!(
            "{:<20} {:>12} {:>6} {:>11} {:>9} {:>11} {:>6}",
            cost.item,
            cost.instructions,
            cost.masked,
            cost.flash_bytes,
            cost.ram_bytes,
            cost.stack_bytes,
            cost.panics
        );
    }
}

fn check_bars(costs: &[Cost]) -> Result<(), String> {
    for cost in costs {
        let Cost { item, panics, .. } = cost;
        if cost.flash_bytes == 0 {
            return Err(format!("{item}: there is no such call in the image"));
        }
        if *panics > 0 {
            return Err(format!("{item}: {panics} panic paths; `cargo xtask check` names them"));
        }
        let instructions = |most| ("instructions", cost.instructions, most);
        let flash_bytes = |most| ("flash bytes", cost.flash_bytes, most);
        let bars = match item.as_str() {
            item if ONE_SLOT.contains(&item) => {
                vec![instructions(PUBLISH_INSTRUCTIONS), flash_bytes(PUBLISH_FLASH_BYTES)]
            }
            item if INTERRUPT.contains(&item) => {
                let masked = ("instructions with interrupts off", cost.masked, INTERRUPT_MASKED);
                vec![instructions(INTERRUPT_INSTRUCTIONS), masked]
            }
            LINK_FRAME => vec![instructions(LINK_FRAME_INSTRUCTIONS)],
            LINK => {
                vec![flash_bytes(LINK_FLASH_BYTES), ("RAM bytes", cost.ram_bytes, LINK_RAM_BYTES)]
            }
            _ => Vec::new(),
        };
        for (what, found, most) in bars {
            if found > most {
                return Err(format!("{item}: {found} {what}; the bar is {most}"));
            }
        }
    }
    Ok(())
}

fn measure() -> Result<Vec<Cost>, String> {
    let counted = image("counted", &[]).build()?;
    let printed = run_on_board(&counted)?;
    let mut lines = Vec::new();
    for line in printed.lines() {
        lines.push(Line::parse(line).ok_or_else(|| format!("the board printed: {line}"))?);
    }
    let [empty, nops, calls @ ..] = lines.as_slice() else {
        return Err(format!("the board printed too little:\n{printed}"));
    };
    let ticks_per_instruction = (nops.ticks - empty.ticks) / NOPS;
    calls
        .iter()
        .map(|call| {
            let instructions = (call.ticks - empty.ticks) / ticks_per_instruction;
            let alone = link_alone(&call.item)?;
            Ok(Cost {
                item: call.item.clone(),
                instructions: (instructions + EMPTY_INSTRUCTIONS).round() as u64,
                masked: (call.masked_ticks / ticks_per_instruction).round() as u64,
                flash_bytes: alone.flash_bytes,
                ram_bytes: alone.ram_bytes,
                stack_bytes: call.stack_bytes,
                panics: alone.panic_calls.len(),
            })
        })
        .collect()
}

/// What the board prints about one call.
struct Line {
    item: String,
    ticks: f64,
    masked_ticks: f64,
    stack_bytes: u64,
}

impl Line {
    /// `name ticks masked_ticks stack_bytes true`; a call that reports `false` was not the call to measure.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let item = words.next()?.to_owned();
        let ticks = words.next()?.parse().ok()?;
        let masked_ticks = words.next()?.parse().ok()?;
        let stack_bytes = words.next()?.parse().ok()?;
        (words.next()? == "true").then_some(Self { item, ticks, masked_ticks, stack_bytes })
    }
}

fn link_alone(item: &str) -> Result<elf::Contents, String> {
    let entry = format!("--entry={item}");
    let panic = format!("--defsym={PANIC_SYMBOL}=0");
    let path = image("alone", &[&entry, &panic, "--emit-relocs"]).build()?;
    elf::read(&path)
}

fn image<'a>(binary: &'a str, link_args: &'a [&'a str]) -> Image<'a> {
    Image { package: "size", binary, target: TARGET, features: "", link_args }
}
