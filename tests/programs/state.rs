//! A row's words between drains, and the twin that drains them.

use crate::handlers;
use crate::shape::Shape;
use slipring_core::layout::Buffer;
use slipring_core::row::Row;
use slipring_core::slot::{State as SlotState, WORDS};
use slipring_core::twin::{Call, Twin};
use std::cell::Cell;

/// The four buffers, the workspace and the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// In the order of [`Buffer::ALL`].
    pub buffers: [Vec<u32>; 4],
    pub workspace: Vec<u32>,
    pub arena: Vec<u32>,
}

impl State {
    pub fn control(&self) -> &[u32] {
        &self.buffers[Buffer::Control as usize]
    }

    pub fn ring(&self) -> &[[u32; WORDS]] {
        self.buffers[Buffer::Ring as usize].as_chunks().0
    }

    pub fn debug_log(&self) -> &[u32] {
        &self.buffers[Buffer::DebugLog as usize]
    }

    pub fn io_queue(&self) -> &[[u32; 8]] {
        self.buffers[Buffer::IoQueue as usize].as_chunks().0
    }

    pub fn io_queue_mut(&mut self) -> &mut [[u32; 8]] {
        self.buffers[Buffer::IoQueue as usize].as_chunks_mut().0
    }

    pub fn slot_mut(&mut self, slot: u32) -> &mut [u32; WORDS] {
        &mut self.buffers[Buffer::Ring as usize].as_chunks_mut().0[slot as usize]
    }

    pub fn slot_state(&self, slot: u32) -> SlotState {
        SlotState::of(self.ring()[slot as usize][0])
    }

    /// The views of core over the four buffers, and the workspace and the arena.
    pub fn row(&mut self, shape: &Shape) -> (Row<'_, Cell<u32>>, [&mut [u32]; 2]) {
        let [control, ring, debug_log, io_queue] = &mut self.buffers;
        let (control, ring) = (&mut control[..], &mut ring[..]);
        let (debug_log, io_queue) = (&mut debug_log[..], &mut io_queue[..]);
        let row = Row::new(shape.geometry, control, ring, debug_log, io_queue);
        (row.expect("the shape's lengths"), [&mut self.workspace, &mut self.arena])
    }

    /// Hands the twin over this state to `run`.
    pub fn with_twin(&mut self, shape: &Shape, run: impl FnOnce(&mut AnyTwin<'_>)) {
        let (has_handlers, fused) = (shape.has_handlers, shape.fused);
        let (row, [workspace, arena]) = self.row(shape);
        let handlers: Box<Handlers> =
            Box::new(move |call| if has_handlers { handlers::on_cpu(call) } else { None });
        let mut twin = Twin::new(row, workspace, handlers).arena(arena);
        if let Some(opcode) = fused {
            twin = twin.fused(opcode);
        }
        run(&mut twin);
    }

    /// The state after the twin's drain.
    pub fn drained(&self, shape: &Shape) -> Self {
        let mut after = self.clone();
        after.with_twin(shape, |twin| twin.drain(&shape.partitions).unwrap());
        after
    }
}

type Handlers = dyn Fn(&Call<'_, Cell<u32>>) -> Option<u32>;
/// A twin with or without handlers.
pub type AnyTwin<'a> = Twin<'a, Cell<u32>, Box<Handlers>>;
