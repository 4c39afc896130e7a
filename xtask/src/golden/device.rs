//! Device semantics: a row drained by the twin, or by whatever else runs the kernel.

use super::Outcome;
use super::bytes::{Bytes, set_word};
use super::case::Case;
use super::device_rules::{DeviceRules, ITEMS};
use super::verdict::{Ours, Shown, Verdict, judge};
use serde_json::json;
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::partition::Partitions;
use slipring_core::row::Row;
use slipring_core::slot::WORDS as SLOT_WORDS;
use slipring_core::twin::{Twin, no_handlers};
use slipring_core::words::from_bytes;
use slipring_driver::{BackendChoice, Driver, Kernel, LaneOrder};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::error::Error;

/// The words of a row's four buffers, in binding order.
pub type Words = [Vec<u32>; 4];

/// Something that drains rows in the twin's order: a GPU does so in the serial geometry.
pub trait Runner {
    /// The name in the report.
    fn name(&self) -> &str;

    /// Drains `row` `passes` times: all slots in one partition, no handlers, a workspace of one
    /// zero word (a GPU has no empty buffers).
    fn run(&mut self, geometry: Geometry, row: &mut Words, passes: u32) -> Result<(), String>;
}

/// The twin as a runner.
pub struct TwinRunner;

impl Runner for TwinRunner {
    fn name(&self) -> &str {
        "twin"
    }

    fn run(&mut self, geometry: Geometry, row: &mut Words, passes: u32) -> Result<(), String> {
        let [control, ring, debug_log, io_queue] = row.each_mut().map(Vec::as_mut_slice);
        let row = Row::new(geometry, control, ring, debug_log, io_queue)
            .map_err(|error| error.to_string())?;
        let mut workspace = [0; 1];
        let mut twin = Twin::new(row, &mut workspace, no_handlers);
        for _ in 0..passes {
            let partitions = Partitions::single(geometry.slots());
            twin.drain(&partitions).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// The GPU as a runner, one driver a geometry.
#[derive(Default)]
pub struct GpuRunner {
    drivers: HashMap<Geometry, Driver>,
}

impl Runner for GpuRunner {
    fn name(&self) -> &str {
        "GPU"
    }

    fn run(&mut self, geometry: Geometry, row: &mut Words, passes: u32) -> Result<(), String> {
        let driver = match self.drivers.entry(geometry) {
            Entry::Occupied(driver) => driver.into_mut(),
            Entry::Vacant(free) => free.insert(open(geometry).map_err(|error| error.to_string())?),
        };
        for _ in 0..passes {
            let before = row.clone();
            let inputs = before.each_ref().map(|words| bytemuck::cast_slice(words));
            let mut outputs = row.each_mut().map(|words| bytemuck::cast_slice_mut(words));
            let drained = driver.dispatch_bytes(&inputs, &mut outputs);
            drained.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

fn open(geometry: Geometry) -> Result<Driver, Box<dyn Error>> {
    let builder = Driver::builder(Kernel::builder().build()?, geometry);
    Ok(builder.backend(BackendChoice::Portable).lane_order(LaneOrder::Serial).open()?)
}

const INPUTS: [&str; 4] = ["control", "ring", "debug_log", "io_queue"];
const RESULTS: [&str; 4] = ["control_after", "ring_after", "debug_log_after", "io_queue_after"];

pub fn replay(case: &Case<'_>, runner: &mut dyn Runner) -> Outcome {
    if case.text("kernel")? != "direct" {
        return Err(format!("unknown kernel `{}`", case.text("kernel")?));
    }
    let passes = case.u32("passes")?;
    let mut before = Words::default();
    for (words, (input, buffer)) in before.iter_mut().zip(INPUTS.into_iter().zip(Buffer::ALL)) {
        let bytes = case.bytes(input)?;
        *words = from_bytes(buffer, bytes.get()).map_err(|error| error.to_string())?.to_vec();
    }
    if let Some(item) = misfit(&before) {
        return Ok(Verdict::by_item(item));
    }
    let lanes = case.u32("slots")?;
    let geometry = geometry(lanes, &before)?;
    let mut after = before.clone();
    // There is a lane for each of the first slots; the others are nobody's.
    let idle = after[Buffer::Ring as usize].split_off(SLOT_WORDS * lanes as usize);
    if lanes > 0 {
        runner.run(geometry, &mut after, passes)?;
    }
    after[Buffer::Ring as usize].extend(&idle);

    let mut expected = case.shown()?;
    for result in RESULTS {
        let buffer = expected.buffers.get_mut(result);
        let buffer = buffer.ok_or_else(|| format!("it has no `expect.ok.{result}`"))?;
        if result == "control_after" {
            forget_claims(buffer);
        }
    }
    let mut ours = Ours::new(Ok(json!({})));
    for (result, bytes) in results(&after) {
        ours = ours.with(result, &bytes);
    }
    judge(&expected, &ours, &ITEMS, |items| {
        let mut row = before.clone();
        let idle = row[Buffer::Ring as usize].split_off(SLOT_WORDS * lanes as usize);
        row = DeviceRules::new(row, items).drained(passes);
        row[Buffer::Ring as usize].extend(&idle);
        let shown = Shown::new(Ok(json!({})));
        results(&row)
            .into_iter()
            .fold(shown, |shown, (result, bytes)| shown.with(result, bytes.get().to_vec()))
    })
}

/// The item by which ours refuses the lengths, where the reference does not look at them.
fn misfit(row: &Words) -> Option<u8> {
    let [_, _, debug_log, io_queue] = row.each_ref().map(Vec::len);
    match (debug_log % 4, io_queue) {
        (_, 0) => Some(22),
        (1, _) => None,
        _ => Some(21),
    }
}

/// The geometry of the buffers, with a ring of `slots`, of which there must be as many.
fn geometry(slots: u32, row: &Words) -> Result<Geometry, String> {
    let [control, words, debug_log, io_queue] = row.each_ref().map(Vec::len);
    let ring = SLOT_WORDS * slots as usize;
    if ring > words || words % SLOT_WORDS != 0 {
        return Err(format!("{slots} slots in a ring of {words} words"));
    }
    let observables = control.checked_sub(160).ok_or("control has fewer than 160 words")?;
    let (records, io_slots) = (debug_log / 4, io_queue / 8);
    let geometry = Geometry::new(slots, observables as u32, records as u32, io_slots as u32);
    let geometry = geometry.map_err(|error| error.to_string())?;
    for (buffer, words) in Buffer::ALL.into_iter().zip([control, ring, debug_log, io_queue]) {
        geometry.check_words(buffer, words).map_err(|error| error.to_string())?;
    }
    Ok(geometry)
}

/// The buffers as they are compared.
fn results(row: &Words) -> [(&'static str, Bytes); 4] {
    let mut bytes = row.each_ref().map(|words| Bytes::copied(bytemuck::cast_slice(words)));
    forget_claims(bytes[0].get_mut());
    let [control, ring, debug_log, io_queue] = bytes;
    let [a, b, c, d] = RESULTS;
    [(a, control), (b, ring), (c, debug_log), (d, io_queue)]
}

/// The counters of item 20, which this kernel of the reference does not count.
fn forget_claims(control: &mut [u8]) {
    let words = control.len() / 4;
    for index in (64..=95).chain(135..=141).take_while(|index| *index < words) {
        set_word(control, index, 0);
    }
}
