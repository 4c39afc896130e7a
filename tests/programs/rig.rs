//! Runs programs on the twin and on the GPU, and says where they differ.

use crate::gpu;
use crate::handlers;
use crate::invariants;
use crate::order::{self, Order};
use crate::program::{Edit, Program, may_stay_resident};
use crate::shape::Shape;
use crate::state::State;
use slipring_core::io_queue::{self, Completion};
use slipring_core::layout::Buffer;
use slipring_core::slot::{State as SlotState, status};
use slipring_driver::{Driver, LaneOrder, Readback};
use std::ops::Range;

/// One shape's two drivers, opened once.
pub struct Rig {
    pub shape: Shape,
    serial: gpu::Checked,
    parallel: gpu::Checked,
}

/// One drain of a program, as it should be.
#[derive(Clone, Debug)]
pub struct Drained {
    pub before: State,
    pub after: State,
    /// What the GPU makes of it with a lane a slot.
    pub parallel: State,
    pub order: Order,
}

/// A host's edit, and the completions that it chose.
type Done<'a> = (&'a Edit, Vec<(u32, Completion)>);

impl Rig {
    pub fn open(shape: Shape) -> Self {
        // Both backends, each in both orders, over the shapes.
        let [mut first, mut second] = gpu::GPU;
        if shape.geometry.slots() % 2 == 1 {
            std::mem::swap(&mut first, &mut second);
        }
        let serial = gpu::open(shape.builder(LaneOrder::Serial), first);
        let parallel = gpu::open(shape.builder(LaneOrder::Parallel), second);
        Self { shape, serial, parallel }
    }

    /// Runs the program everywhere.
    ///
    /// # Errors
    /// The first difference.
    pub fn run(&mut self, program: &Program) -> Result<Vec<Drained>, String> {
        let mut drains = vec![self.drain(program.start.clone(), None)?];
        for (index, step) in program.steps.iter().enumerate() {
            let mut state = drains[index].after.clone();
            let is_resident = step.is_resident && may_stay_resident(&state);
            let edits: Vec<(&Edit, Vec<(u32, Completion)>)> =
                step.edits.iter().map(|edit| (edit, edit.apply(&self.shape, &mut state))).collect();
            let drained = self.drain(state, is_resident.then_some(&edits[..]));
            drains.push(drained.map_err(|reason| format!("drain {}: {reason}", index + 1))?);
        }
        Ok(drains)
    }

    /// One drain from `before`. With `edits`, the serial driver goes on from where it is.
    pub fn drain(&mut self, before: State, edits: Option<&[Done<'_>]>) -> Result<Drained, String> {
        let shape = self.shape;
        let order = order::of_drain(&shape, &before);
        let after = before.drained(&shape);
        invariants::check(&shape, &before, &after).map_err(|why| format!("the twin: {why}"))?;

        let serial = match edits {
            Some(edits) => go_on(&mut self.serial, &before, edits),
            None => drain(&mut self.serial, &before),
        };
        compare(&after, &serial).map_err(|why| format!("serial: {why}"))?;

        let parallel = drain(&mut self.parallel, &before);
        let checked = invariants::check(&shape, &before, &parallel).and_then(|()| match &order {
            Order::Free { records, io_slots } => {
                let settle = |state| settled(state, records, *io_slots);
                compare(&settle(&after), &settle(&parallel))
            }
            Order::Racing => Ok(()),
        });
        checked.map_err(|why| format!("parallel, {order:?}: {why}"))?;
        Ok(Drained { before, after, parallel, order })
    }
}

/// Has the driver take over the four buffers, drain them, and give them back.
fn drain(driver: &mut Driver, before: &State) -> State {
    let mut after = before.clone();
    driver.write_workspace(0, &before.workspace).expect("a workspace of that length");
    driver.write_arena(0, &before.arena).expect("an arena of that length");
    let inputs = before.buffers.each_ref().map(|words| bytemuck::cast_slice(words));
    let [control, ring, debug_log, io_queue] =
        after.buffers.each_mut().map(|words| bytemuck::cast_slice_mut(words));
    let mut outputs = [control, ring, debug_log, io_queue];
    driver.dispatch_bytes(&inputs, &mut outputs).expect("the device drains");
    read_others(driver, &mut after);
    after
}

/// Has the driver drain what it has, after the host's edits.
fn go_on(driver: &mut Driver, before: &State, edits: &[Done<'_>]) -> State {
    let mut after = before.clone();
    edits.iter().for_each(|(edit, completions)| edit.apply_to_driver(driver, completions));
    driver.dispatch(&Readback::all()).expect("the device drains");
    for (copy, buffer) in after.buffers.iter_mut().zip(Buffer::ALL) {
        let words = driver.row().words(buffer);
        *copy = words.iter().map(|word| word.load(std::sync::atomic::Ordering::Relaxed)).collect();
    }
    read_others(driver, &mut after);
    after
}

/// Only MIX writes the workspace, and only FETCH the arena: looks at each every time if there is
/// one, else now and then, since it takes a submission of its own.
fn read_others(driver: &mut Driver, after: &mut State) {
    let is_due = after.control()[1].is_multiple_of(8);
    let has = |opcode| after.ring().iter().any(|slot| slot[1] == opcode);
    let [workspace, arena] = [handlers::MIX, handlers::FETCH].map(|opcode| is_due || has(opcode));
    if workspace {
        driver.read_workspace(0, &mut after.workspace).expect("a workspace of that length");
    }
    if arena {
        driver.read_arena(0, &mut after.arena).expect("an arena of that length");
    }
}

/// The first words that differ.
fn compare(expected: &State, actual: &State) -> Result<(), String> {
    if expected == actual {
        return Ok(());
    }
    let mut different = Vec::new();
    let names = Buffer::ALL.map(Buffer::name).into_iter().chain(["workspace", "arena"]);
    let expected = expected.buffers.iter().chain([&expected.workspace, &expected.arena]);
    let actual = actual.buffers.iter().chain([&actual.workspace, &actual.arena]);
    for ((name, expected), actual) in names.zip(expected).zip(actual) {
        for (word, (twin, gpu)) in expected.iter().zip(actual).enumerate() {
            if twin != gpu {
                different
                    .push(format!("{name}[{word}] is {twin:#x} on the twin, {gpu:#x} on the GPU"));
            }
        }
    }
    different.truncate(8);
    Err(different.join("\n"))
}

/// The state with what the order of lanes decides put in one order.
fn settled(state: &State, records: &[Range<usize>], io_slots: bool) -> State {
    let mut state = state.clone();
    for range in records {
        state.buffers[Buffer::DebugLog as usize][range.clone()].as_chunks_mut::<4>().0.sort();
    }
    if !io_slots {
        return state;
    }
    // Free IO slots keep words of whoever had them before; requests say whose they are.
    for slot in state.buffers[Buffer::Ring as usize].as_chunks_mut::<16>().0 {
        if matches!(SlotState::of(slot[0]), SlotState::WaitIo(_)) {
            slot[0] = status::WAIT_IO;
        }
    }
    let io_slots = state.buffers[Buffer::IoQueue as usize].as_chunks_mut::<8>().0;
    for io_slot in &mut *io_slots {
        if io_slot[io_queue::word::STATUS] == io_queue::status::EMPTY {
            *io_slot = [0; 8];
        }
    }
    io_slots.sort();
    state
}
