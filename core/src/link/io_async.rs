//! A sender over a port of `embedded-io-async`.
//!
//! As any `async fn`, these panic when they are polled after their end; nothing else here does.

use super::{Event, Sender, WIRE_BYTES, io::feed};
use embedded_io_async::{Read, Write};

/// Waits for bytes, and takes those that have come; says how many, 0 at the end of the stream.
/// Events are handed to `on_event`, together with the sender.
///
/// A task selects between this, a timer of [`Sender::wait_ms`], and what it publishes; after each
/// of them it calls [`transmit`]. It may be dropped while it waits if the port's `read` may.
///
/// # Errors
/// The port's own.
pub async fn receive<const WINDOW: usize, R: Read>(
    sender: &mut Sender<WINDOW>,
    port: &mut R,
    now_ms: impl Fn() -> u32,
    mut on_event: impl FnMut(&mut Sender<WINDOW>, Event),
) -> Result<usize, R::Error> {
    let mut bytes = [0; WIRE_BYTES];
    let len = port.read(&mut bytes).await?;
    feed(sender, bytes.get(..len).unwrap_or(&[]), now_ms(), &mut on_event);
    Ok(len)
}

/// Writes all that is to be sent now. Dropped on the way, it leaves a frame that the host will not
/// understand, and that is sent again.
///
/// # Errors
/// The port's own.
pub async fn transmit<const WINDOW: usize, W: Write>(
    sender: &mut Sender<WINDOW>,
    port: &mut W,
    now_ms: impl Fn() -> u32,
) -> Result<(), W::Error> {
    let mut bytes = [0; WIRE_BYTES];
    loop {
        let len = sender.transmit(now_ms(), &mut bytes);
        if len == 0 {
            return port.flush().await;
        }
        let mut rest = bytes.get(..len).unwrap_or(&[]);
        while !rest.is_empty() {
            // Not `write_all`, which panics when a port takes nothing: that is a lost frame.
            let written = port.write(rest).await?;
            if written == 0 {
                return Ok(());
            }
            rest = rest.get(written..).unwrap_or(&[]);
        }
    }
}
