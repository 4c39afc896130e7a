//! A program: a row's state, and what its host does between drains.

use crate::order::{Resume, resume};
use crate::shape::Shape;
use crate::state::State;
use slipring_core::control::UNLIMITED_QUOTA;
use slipring_core::io_queue::{Completion, status, word};
use slipring_core::slot::{State as SlotState, WORDS};
use slipring_core::tenant::Tenant;
use slipring_driver::Driver;
use std::fmt;

#[derive(Clone, Debug)]
pub struct Program {
    pub start: State,
    /// One more drain each.
    pub steps: Vec<Step>,
}

/// What the host does before a drain.
#[derive(Clone, Debug)]
pub struct Step {
    pub edits: Vec<Edit>,
    /// Whether the driver goes on with its resident buffers and the work that it left, or
    /// takes over the four buffers anew.
    pub is_resident: bool,
}

#[derive(Clone, Debug)]
pub enum Edit {
    Shutdown(bool),
    Tenant {
        tenant: u32,
        mask: u32,
    },
    ClearLog,
    /// Claims every request, and ends some of what is claimed.
    CompleteIo {
        salt: u32,
    },
    /// Over a slot that has finished; only where the buffers are taken over anew.
    Publish {
        slot: u32,
        words: [u32; WORDS],
    },
}

impl Edit {
    /// Does it to the state; returns the completions, for [`Edit::apply_to_driver`].
    pub fn apply(&self, shape: &Shape, state: &mut State) -> Vec<(u32, Completion)> {
        let mut completions = Vec::new();
        match *self {
            Self::Publish { slot, words } => {
                if state.slot_state(slot).is_publishable() {
                    *state.slot_mut(slot) = words;
                }
            }
            Self::Shutdown(shutdown) => {
                state.row(shape).0.control.set_shutdown(shutdown).expect("the word is there");
            }
            Self::Tenant { tenant, mask } => {
                let control = state.row(shape).0.control;
                control
                    .set_tenant(tenant, &Tenant { mask, ..Tenant::OPEN })
                    .expect("a tenant of the table");
            }
            Self::ClearLog => state.row(shape).0.debug_log.reset().expect("a short log"),
            Self::CompleteIo { salt } => {
                let queue = state.row(shape).0.io_queue;
                queue.claim();
                completions = choose_completions(state, salt);
                let queue = state.row(shape).0.io_queue;
                queue.complete(&completions).expect("all are claimed");
                // The host frees what no ring slot waits for: prefetches, and foreign tags.
                for &(io_slot, _) in &completions {
                    let row = state.row(shape).0;
                    let tag = row.io_queue.tag(io_slot).expect("a slot of the queue");
                    if row.ring.state(tag) != Some(SlotState::WaitIo(io_slot as u8)) {
                        state.io_queue_mut()[io_slot as usize][word::STATUS] = status::EMPTY;
                    }
                }
            }
        }
        completions
    }

    /// Does the same through the driver's calls.
    pub fn apply_to_driver(&self, driver: &mut Driver, completions: &[(u32, Completion)]) {
        match *self {
            Self::Shutdown(shutdown) => driver.set_shutdown(shutdown),
            Self::Tenant { tenant, mask } => {
                let tenant_words = Tenant { mask, ..Tenant::OPEN };
                driver.set_tenant(tenant, tenant_words).expect("a tenant of the table");
            }
            Self::ClearLog => driver.clear_debug_log(),
            Self::CompleteIo { .. } => {
                driver.claim_io();
                driver.complete_io(completions).expect("all are claimed");
            }
            Self::Publish { .. } => unreachable!("a resident step publishes nothing"),
        }
    }
}

/// Ends two thirds of what is claimed.
fn choose_completions(state: &State, salt: u32) -> Vec<(u32, Completion)> {
    let claimed = (0..).zip(state.io_queue()).filter(|(_, io)| io[word::STATUS] == status::CLAIMED);
    let chosen = claimed.filter_map(|(index, _)| match (index + salt) % 3 {
        0 => None,
        1 => Some((index, Completion::Ok { bytes: 512 + index })),
        _ => Some((index, Completion::Error { errno: 5 })),
    });
    chosen.collect()
}

/// Whether the driver may go on with its own work list: it looks again at a waiting slot only
/// once it has ended its I/O, so nobody else may have touched its IO slot.
pub fn may_stay_resident(state: &State) -> bool {
    !(0..).zip(state.ring()).any(|(slot, words)| match SlotState::of(words[0]) {
        SlotState::WaitIo(io_slot) => resume(state, slot, io_slot) != Resume::Waits,
        _ => false,
    })
}

/// The control word of an empty row whose tenants are all open.
pub fn usual_control(word: usize) -> u32 {
    match word {
        2 => 3,
        3..32 => u32::MAX,
        32..64 => UNLIMITED_QUOTA,
        _ => 0,
    }
}

impl fmt::Display for Program {
    /// What is not as in an empty row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, value) in self.start.control().iter().enumerate() {
            if *value != usual_control(word) {
                write!(f, "control[{word}]={value:#x} ")?;
            }
        }
        writeln!(f, "\ncursor {:#x}", self.start.debug_log()[0])?;
        for (index, io) in self.start.io_queue().iter().enumerate() {
            if *io != [0; 8] {
                writeln!(f, "IO slot {index}: {io:x?}")?;
            }
        }
        for (index, slot) in self.start.ring().iter().enumerate() {
            if slot[0] != 0 {
                let [status, opcode, tenant, _, args @ ..] = slot;
                let args = args.map(|arg| format!("{arg:#x}")).join(" ");
                writeln!(
                    f,
                    "slot {index}: status {status:#x} op {opcode:#x} tenant {tenant:#x} args {args}"
                )?;
            }
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "then {step:x?}"))
    }
}
