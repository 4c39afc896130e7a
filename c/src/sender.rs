//! The microcontroller's side of a link.

use crate::error::slipring_error;
use crate::event::{slipring_event, slipring_ticket};
use crate::job::slipring_job;
use core::mem::MaybeUninit;
use slipring_core::layout::{DEFAULT_DEBUG_RECORDS, Geometry, MAX_IO_SLOTS};
use slipring_core::link::{Counters, Sender};

/// Jobs that are kept until the host has them.
pub const SLIPRING_WINDOW: usize = 8;
/// Words of 64 bits that a sender takes.
pub const SLIPRING_SENDER_WORDS: usize = 116;

type Inner = Sender<{ SLIPRING_WINDOW }>;

const _: () = assert!(size_of::<Inner>() <= 8 * SLIPRING_SENDER_WORDS);
const _: () = assert!(align_of::<Inner>() <= align_of::<slipring_sender>());

/// Says that a sender is initialized: no number that memory is likely to hold.
const INITIALIZED: u32 = 0x5119_51C6;

/// A sender: storage that the calls below use. Make it a static, or initialize it with zeros, before
/// slipring_sender_init.
#[repr(C)]
pub struct slipring_sender {
    /// Not for anybody else.
    pub initialized: u32,
    /// Not for anybody else.
    pub storage: [u64; SLIPRING_SENDER_WORDS],
}

impl slipring_sender {
    fn storage(&mut self) -> *mut MaybeUninit<Inner> {
        (&raw mut self.storage).cast()
    }

    /// What was initialized here.
    ///
    /// # Safety
    /// `sender` is NULL, or points to a sender that nobody else uses now.
    unsafe fn of<'a>(sender: *mut Self) -> Result<&'a mut Inner, slipring_error> {
        // SAFETY: the caller says so.
        let sender = unsafe { sender.as_mut() }.ok_or(slipring_error::null(1))?;
        if sender.initialized != INITIALIZED {
            return Err(slipring_error::NOT_INITIALIZED);
        }
        // SAFETY: it was written by `slipring_sender_init`, as the number says, and there is room for
        // it, aligned, as is asserted above.
        Ok(unsafe { (*sender.storage()).assume_init_mut() })
    }
}

/// The host's row: both sides have to say the same.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct slipring_geometry {
    /// Slots of the ring.
    pub slots: u32,
    /// Words for results.
    pub observables: u32,
    /// Records of the debug log; 64 if the host has not said anything else.
    pub debug_records: u32,
    /// IO slots; 64 if the host has not said anything else.
    pub io_slots: u32,
}

/// The row of a host that has said nothing of debug records and IO slots.
#[unsafe(no_mangle)]
pub extern "C" fn slipring_geometry_of(slots: u32, observables: u32) -> slipring_geometry {
    let (debug_records, io_slots) = (DEFAULT_DEBUG_RECORDS, MAX_IO_SLOTS);
    slipring_geometry { slots, observables, debug_records, io_slots }
}

/// Makes a sender for hosts whose row has this geometry.
///
/// `session` must differ from boot to boot (a counter in flash, a random number, the time): where it
/// does not, results of before may be taken for those of new jobs.
///
/// # Safety
/// `sender` is NULL, or points to storage that nobody else uses now; `geometry` is NULL or points to
/// one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_sender_init(
    sender: *mut slipring_sender,
    session: u32,
    geometry: *const slipring_geometry,
) -> slipring_error {
    // SAFETY: the caller says so.
    let Some(sender) = (unsafe { sender.as_mut() }) else {
        return slipring_error::null(1);
    };
    // SAFETY: the caller says so.
    let Some(geometry) = (unsafe { geometry.as_ref() }) else {
        return slipring_error::null(3);
    };
    let slipring_geometry { slots, observables, debug_records, io_slots } = *geometry;
    let made = Geometry::new(slots, observables, debug_records, io_slots).map(|geometry| {
        // SAFETY: there is room for it, aligned, as is asserted above.
        unsafe { (*sender.storage()).write(Inner::new(session, geometry)) };
        sender.initialized = INITIALIZED;
    });
    slipring_error::of(made)
}

/// Takes a job, to be sent by slipring_sender_transmit when its turn comes, and writes its number to
/// `ticket`, unless that is NULL.
///
/// # Safety
/// `sender` is NULL, or points to a sender that nobody else uses now; `job` is NULL or points to
/// one, and so is `ticket`, which nobody else uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_sender_publish(
    sender: *mut slipring_sender,
    job: *const slipring_job,
    ticket: *mut slipring_ticket,
) -> slipring_error {
    // SAFETY: the caller says so.
    let sender = match unsafe { slipring_sender::of(sender) } {
        Ok(sender) => sender,
        Err(error) => return error,
    };
    // SAFETY: the caller says so.
    let Some(job) = (unsafe { job.as_ref() }) else {
        return slipring_error::null(2);
    };
    let taken = job.job().and_then(|job| Ok(sender.publish(&job)?));
    // SAFETY: the caller says so.
    if let (Ok(number), Some(ticket)) = (&taken, unsafe { ticket.as_mut() }) {
        *ticket = (*number).into();
    }
    slipring_error::of(taken.map(drop))
}

/// Takes bytes from the wire, and returns how many: fewer than all when an event is to be taken
/// first; offer the rest again then. 0 if a pointer is NULL or the sender is not initialized.
///
/// # Safety
/// `sender` is NULL, or points to a sender that nobody else uses now; `bytes` is NULL, or points to
/// `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_sender_receive(
    sender: *mut slipring_sender,
    bytes: *const u8,
    len: usize,
    now_ms: u32,
) -> usize {
    // SAFETY: the caller says so.
    match unsafe { slipring_sender::of(sender) } {
        Ok(sender) if !bytes.is_null() => {
            // SAFETY: the caller says so; no object is larger than half of the addresses.
            let bytes = unsafe { core::slice::from_raw_parts(bytes, len.min(isize::MAX as usize)) };
            sender.receive(bytes, now_ms)
        }
        _ => 0,
    }
}

/// Writes what is to be sent now to `bytes`, and returns how much that is: 0 if a pointer is NULL or
/// the sender is not initialized.
///
/// # Safety
/// `sender` is NULL, or points to a sender that nobody else uses now; `bytes` is NULL, or points to
/// `len` bytes that nobody else uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_sender_transmit(
    sender: *mut slipring_sender,
    bytes: *mut u8,
    len: usize,
    now_ms: u32,
) -> usize {
    // SAFETY: the caller says so.
    match unsafe { slipring_sender::of(sender) } {
        Ok(sender) if !bytes.is_null() => {
            // SAFETY: as in `slipring_sender_receive`.
            let bytes =
                unsafe { core::slice::from_raw_parts_mut(bytes, len.min(isize::MAX as usize)) };
            sender.transmit(now_ms, bytes)
        }
        _ => 0,
    }
}

/// Takes the next event; returns whether there was one: none if a pointer is NULL or the sender is
/// not initialized.
///
/// # Safety
/// `sender` is NULL, or points to a sender that nobody else uses now; `event` is NULL, or points to
/// one that nobody else uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_sender_next_event(
    sender: *mut slipring_sender,
    event: *mut slipring_event,
) -> bool {
    // SAFETY: the caller says so.
    let (Ok(sender), Some(event)) = (unsafe { (slipring_sender::of(sender), event.as_mut()) })
    else {
        return false;
    };
    match sender.next_event() {
        Some(next) => {
            *event = next.into();
            true
        }
        None => false,
    }
}

/// In how many milliseconds slipring_sender_transmit has something to send, if nothing happens until
/// then; at most 1000. 0 without a sender.
///
/// # Safety
/// `sender` is NULL, or points to a sender that nobody else uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_sender_wait_ms(sender: *mut slipring_sender, now_ms: u32) -> u32 {
    // SAFETY: the caller says so.
    unsafe { slipring_sender::of(sender) }.map_or(0, |sender| sender.wait_ms(now_ms))
}

/// What a link has counted, wrapping.
#[repr(C)]
pub struct slipring_counters {
    /// Frames that came whole.
    pub frames: u32,
    /// Runs of bytes that were no frame.
    pub damaged: u32,
    /// Whole frames that were not for this connection, or not for now.
    pub strays: u32,
    /// Results that came more than once.
    pub repeated: u32,
    /// Jobs that were sent once more.
    pub resent: u32,
    /// Waits for the host that were in vain.
    pub timeouts: u32,
}

/// Writes what the link has counted to `counters`; returns whether it has: not if a pointer is NULL or
/// the sender is not initialized.
///
/// # Safety
/// `sender` is NULL, or points to a sender that nobody else uses now; `counters` is NULL, or points to
/// some that nobody else uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_sender_counters(
    sender: *mut slipring_sender,
    counters: *mut slipring_counters,
) -> bool {
    // SAFETY: the caller says so.
    let (Ok(sender), Some(place)) = (unsafe { (slipring_sender::of(sender), counters.as_mut()) })
    else {
        return false;
    };
    let Counters { frames, damaged, strays, repeated, resent, timeouts } = sender.counters();
    *place = slipring_counters { frames, damaged, strays, repeated, resent, timeouts };
    true
}

/// Whether jobs can go, as far as is known: that a host has gone is seen when it comes back.
///
/// # Safety
/// `sender` is NULL, or points to a sender that nobody else uses now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_sender_is_connected(sender: *mut slipring_sender) -> bool {
    // SAFETY: the caller says so.
    unsafe { slipring_sender::of(sender) }.is_ok_and(|sender| sender.is_connected())
}
