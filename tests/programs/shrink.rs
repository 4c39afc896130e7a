//! Makes a failing program small enough to read.

use crate::program::{Edit, Program, usual_control};
use crate::rig::Rig;
use slipring_core::layout::Buffer;
use slipring_core::slot::WORDS;
use std::time::{Duration, Instant};

/// After so long, what has been reached is small enough.
const PATIENCE: Duration = Duration::from_secs(30);

/// Drops steps, edits, slots and unusual words as long as the program still fails; returns it
/// and its failure.
pub fn shrink(rig: &mut Rig, mut program: Program, mut failure: String) -> (Program, String) {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let smaller = candidates(&program)
            .find_map(|smaller| rig.run(&smaller).err().map(|failure| (smaller, failure)));
        match smaller {
            Some(found) => (program, failure) = found,
            None => break,
        }
    }
    (program, failure)
}

/// Every program that is one thing shorter.
fn candidates(program: &Program) -> impl Iterator<Item = Program> {
    let without_step = (0..program.steps.len()).map(|step| {
        let mut smaller = program.clone();
        smaller.steps.truncate(step);
        smaller
    });
    let edits = program.steps.iter().enumerate().flat_map(|(step, steps)| {
        steps.edits.iter().enumerate().map(move |(edit, what)| (step, edit, what))
    });
    let without_edit = edits.map(|(step, edit, _): (usize, usize, &Edit)| {
        let mut smaller = program.clone();
        smaller.steps[step].edits.remove(edit);
        smaller
    });
    let slots = program.start.ring().iter().enumerate();
    let used = slots.filter(|(_, slot)| slot[0] != 0).map(|(slot, _)| slot);
    let without_slot = used.map(|slot| {
        let mut smaller = program.clone();
        *smaller.start.slot_mut(slot as u32) = [0; WORDS];
        smaller
    });
    without_step.chain(without_edit).chain(without_slot).chain(with_usual_word(program))
}

/// Every program with one more word as it is in an empty row.
fn with_usual_word(program: &Program) -> impl Iterator<Item = Program> {
    let buffers = program.start.buffers.iter().enumerate();
    let words = buffers.filter(|(buffer, _)| *buffer != Buffer::Ring as usize).flat_map(
        |(buffer, words)| {
            let words = words.iter().copied().enumerate();
            words.map(move |(word, value)| {
                let is_control = buffer == Buffer::Control as usize;
                (buffer, word, value, if is_control { usual_control(word) } else { 0 })
            })
        },
    );
    words.filter(|(_, _, value, usual)| value != usual).map(|(buffer, word, _, usual)| {
        let mut plainer = program.clone();
        plainer.start.buffers[buffer][word] = usual;
        plainer
    })
}
