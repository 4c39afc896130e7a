//! What an operation sees: its arguments, and the buffers it may use.

use super::io::Io;
use crate::control::word;
use crate::debug_log::Record;
use crate::packed::PackedOp;
use crate::row::Row;
use crate::slot::{self, ARGS, WORDS, fault};
use crate::words::WordMut;

/// A handler's success.
pub const HANDLER_OK: u32 = 0;
/// A handler's wish to be called again in the next segment; in the last, and in a packed slot, it
/// is FAULT(range).
pub const HANDLER_CONTINUES: u32 = 1;

/// The arguments of one operation: all of a slot's, or a packed operation's share.
#[derive(Debug)]
pub(super) struct Args<'a, W> {
    words: &'a [W],
}

crate::words::copied_whatever_its_words!(Args);

impl<'a, W: WordMut> Args<'a, W> {
    pub(super) fn whole(slot: &'a [W; WORDS]) -> Self {
        Self { words: slot.get(slot::word::ARGS..).unwrap_or(&[]) }
    }

    pub(super) fn of_packed(&self, op: &PackedOp) -> Self {
        Self { words: self.words.get(op.args.clone()).unwrap_or(&[]) }
    }

    pub(super) fn get(&self, index: usize) -> u32 {
        self.words.get(index).map_or(0, |word| word.load())
    }

    pub(super) fn all(&self) -> [u32; ARGS] {
        let mut all = [0; ARGS];
        for (copy, word) in all.iter_mut().zip(self.words) {
            *copy = word.load();
        }
        all
    }
}

/// One call of a handler on the CPU: the twin of `Job` and the handler functions in WGSL.
#[derive(Debug)]
pub struct Call<'a, W> {
    pub(super) row: Row<'a, W>,
    pub(super) workspace: &'a [W],
    pub(super) arena: &'a [W],
    pub(super) slot: u32,
    pub(super) tenant: u32,
    pub(super) opcode: u32,
    pub(super) args: Args<'a, W>,
    pub(super) is_packed: bool,
    pub(super) segment: u32,
    pub(super) io: Io,
}

impl<'a, W: WordMut> Call<'a, W> {
    /// The same slot's call for one operation of its packed payload.
    pub(super) fn packed(&self, op: &PackedOp) -> Self {
        let (opcode, args) = (u32::from(op.opcode), self.args.of_packed(op));
        Self { opcode, args, io: Io::default(), is_packed: true, ..*self }
    }

    /// The ring slot that runs.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Whose it is.
    pub fn tenant(&self) -> u32 {
        self.tenant
    }

    /// What it runs.
    pub fn opcode(&self) -> u32 {
        self.opcode
    }

    /// Which segment of the drain this is, from 0 on.
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// An argument; 0 past the last one.
    pub fn arg(&self, index: u32) -> u32 {
        self.args.get(index as usize)
    }

    /// What a handler returns to end its slot in FAULT: the nearest code that it may raise.
    pub fn fault(&self, code: u32) -> u32 {
        code.clamp(fault::USER_MIN.into(), fault::USER_MAX.into())
    }

    /// How many observables there are.
    pub fn observable_count(&self) -> u32 {
        self.row.control.observables()
    }

    /// A result word; 0 past the last one.
    pub fn observable(&self, index: u32) -> u32 {
        self.observable_word(index).map_or(0, |word| word.load())
    }

    /// Writes a result word; `false` past the last one.
    pub fn observe(&self, index: u32, value: u32) -> bool {
        self.observable_word(index).map(|word| word.store(value)).is_some()
    }

    /// Adds to a result word, wrapping; `false` past the last one.
    pub fn observe_add(&self, index: u32, value: u32) -> bool {
        let word = self.observable_word(index);
        word.map(|word| word.store(word.load().wrapping_add(value))).is_some()
    }

    fn observable_word(&self, index: u32) -> Option<&'a W> {
        self.row.control.words().get(word::OBSERVABLES..)?.get(index as usize)
    }

    /// Words of the workspace.
    pub fn workspace_len(&self) -> u32 {
        self.workspace.len() as u32
    }

    /// A word of the workspace; 0 past the end.
    pub fn workspace_load(&self, index: u32) -> u32 {
        self.workspace.get(index as usize).map_or(0, |word| word.load())
    }

    /// Writes a word of the workspace; `false` past the end.
    pub fn workspace_store(&self, index: u32, value: u32) -> bool {
        self.workspace.get(index as usize).map(|word| word.store(value)).is_some()
    }

    /// Words of the arena.
    pub fn arena_len(&self) -> u32 {
        self.arena.len() as u32
    }

    /// A word of the arena; 0 past the end.
    pub fn arena_load(&self, index: u32) -> u32 {
        self.arena.get(index as usize).map_or(0, |word| word.load())
    }

    /// Writes a word of the arena; `false` past the end.
    pub fn arena_store(&self, index: u32, value: u32) -> bool {
        self.arena.get(index as usize).map(|word| word.store(value)).is_some()
    }

    /// Appends a record to the debug log.
    pub fn debug_print(&self, format: u32, a: u32, b: u32) {
        let slot_word = self.slot.wrapping_mul(WORDS as u32);
        self.row.debug_log.append(Record { format, args: [a, b], slot_word });
    }
}
