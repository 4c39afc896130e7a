//! Jobs, as C writes them down.

use crate::error::slipring_error;
use slipring_core::ring::Job;
use slipring_core::slot::{ARGS, Priority, Slot, WORDS};

/// A slot of a ring: 64 bytes.
#[repr(C)]
pub struct slipring_slot {
    /// One of the statuses above in its low byte; a fault's code is in the next one.
    pub status: u32,
    /// One of the opcodes above, or a handler's.
    pub opcode: u32,
    /// Below SLIPRING_TENANTS.
    pub tenant: u32,
    /// One of the priorities above.
    pub priority: u32,
    /// What the opcode says.
    pub args: [u32; 12],
}

const _: () = assert!(size_of::<slipring_slot>() == 4 * WORDS && ARGS == 12);
const _: () = assert!(size_of::<slipring_slot>() == size_of::<Slot>());

/// What a slot is to run.
#[repr(C)]
pub struct slipring_job {
    /// One of the opcodes above, or a handler's.
    pub opcode: u32,
    /// Below SLIPRING_TENANTS.
    pub tenant: u32,
    /// One of the priorities above; beware that 0 is the most urgent one.
    pub priority: u32,
    /// How many of the arguments count; the others are sent as 0.
    pub args_len: u32,
    /// The arguments.
    pub args: [u32; 12],
}

impl slipring_job {
    pub(crate) fn job(&self) -> Result<Job<'_>, slipring_error> {
        let priority =
            Priority::from_level(self.priority).ok_or(slipring_error::level(self.priority))?;
        let args = self.args.get(..self.args_len as usize).ok_or(slipring_error::new(
            crate::error::SLIPRING_TOO_MANY_ARGS,
            self.args_len,
            ARGS as u32,
        ))?;
        Ok(Job { opcode: self.opcode, tenant: self.tenant, priority, args })
    }
}
