//! A sender over a port of `embedded-io`.

use super::{Event, Sender, WIRE_BYTES};
use embedded_io::{Read, ReadReady, Write};

/// One turn of a sender in a main loop: hears all that the port has, and writes up to one frame,
/// for which it may block. Events are handed to `on_event`, together with the sender.
///
/// ```
/// # use slipring_core::link::{Event, Notice, Sender, pump};
/// # use slipring_core::{opcode, ring::Job};
/// # fn turn<P: embedded_io::Read + embedded_io::ReadReady + embedded_io::Write>(
/// #     sender: &mut Sender<8>, uart: &mut P, now_ms: u32) -> Result<(), P::Error> {
/// pump(sender, uart, now_ms, |sender, event| match event {
///     Event::Link(Notice::Connected { .. }) => {
///         let _ = sender.publish(&Job::new(opcode::ATOMIC_ADD, &[1, 160]));
///     }
///     Event::Finished { ticket, fate, words } => { /* The answer. */ }
///     Event::Link(_) => {}
/// })?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// The port's own. What was read or written before stays so; call it again when the port works.
pub fn pump<const WINDOW: usize, P: Read + ReadReady + Write>(
    sender: &mut Sender<WINDOW>,
    port: &mut P,
    now_ms: u32,
    mut on_event: impl FnMut(&mut Sender<WINDOW>, Event),
) -> Result<(), P::Error> {
    let mut bytes = [0; WIRE_BYTES];
    while port.read_ready()? {
        let len = port.read(&mut bytes)?;
        if len == 0 {
            // The end of the stream is always ready.
            break;
        }
        feed(sender, bytes.get(..len).unwrap_or(&[]), now_ms, &mut on_event);
    }
    let len = sender.transmit(now_ms, &mut bytes);
    let mut rest = bytes.get(..len).unwrap_or(&[]);
    while !rest.is_empty() {
        // Not `write_all`, which panics when a port takes nothing: that is a lost frame.
        let written = port.write(rest)?;
        if written == 0 {
            break;
        }
        rest = rest.get(written..).unwrap_or(&[]);
    }
    Ok(())
}

/// Takes all bytes, and the events on the way.
pub(super) fn feed<const WINDOW: usize>(
    sender: &mut Sender<WINDOW>,
    mut bytes: &[u8],
    now_ms: u32,
    on_event: &mut impl FnMut(&mut Sender<WINDOW>, Event),
) {
    while !bytes.is_empty() {
        let taken = sender.receive(bytes, now_ms);
        bytes = bytes.get(taken..).unwrap_or(&[]);
        while let Some(event) = sender.next_event() {
            on_event(sender, event);
        }
    }
}
