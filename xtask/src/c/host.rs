//! The host that the example talks to.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use slipring_core::layout::Geometry;
use slipring_core::link::{Fate, Receiver};
use slipring_core::slot::{Slot, fault};

use crate::command::shown;
use crate::{Outcome, image};

/// The jobs that the example has.
const JOBS: u32 = 200;
/// The most that a run may take. It takes a second.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A board that does not outlive the command.
struct Board(Child);

impl Drop for Board {
    fn drop(&mut self) {
        // It may have ended long since.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program on a board, and serves what it sends.
pub fn run(program: &Path) -> Outcome {
    let socket = std::env::temp_dir().join(format!("slipring-c-{}", std::process::id()));
    let mut qemu = image::board(&image::uart_at(&socket), program);
    let board = qemu.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut board = Board(board.map_err(|error| format!("{}: {error}", shown(&qemu)))?);
    let served = image::connect(&socket).and_then(|wire| serve(wire, &mut board.0));
    let _ = std::fs::remove_file(&socket);
    served
}

fn serve(mut wire: UnixStream, board: &mut Child) -> Outcome {
    let io = |error: std::io::Error| format!("the wire to the board: {error}");
    wire.set_read_timeout(Some(Duration::from_millis(1))).map_err(io)?;
    let geometry = Geometry::of_slots(64, 64).map_err(|error| error.to_string())?;
    let mut receiver = Receiver::<64>::new(std::process::id(), geometry);
    let (start, mut bytes, mut jobs) = (Instant::now(), [0; 1024], 0);
    loop {
        if let Some(status) = board.try_wait().map_err(io)? {
            let mut said = String::new();
            let _ = board.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said));
            println!("{}\nthe host has run {jobs} jobs", said.trim_end());
            let is_right = status.success() && jobs == JOBS;
            let failed = || format!("the board: {status}, after {jobs} of {JOBS} jobs");
            return if is_right { Ok(()) } else { Err(failed()) };
        }
        if start.elapsed() > TIMEOUT {
            return Err(format!("the board does not end; {jobs} of {JOBS} jobs have come"));
        }
        let now_ms = start.elapsed().as_millis() as u32;
        let len = match wire.read(&mut bytes) {
            Ok(len) => len,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                0
            }
            // The program has ended, which is seen above.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(io(error)),
        };
        let mut heard = 0;
        while heard < len {
            heard += receiver.receive(&bytes[heard..len], now_ms);
            while receiver.next_event().is_some() {}
        }
        receiver.set_credits(64);
        while let Some((ticket, slot)) = receiver.next_slot() {
            check(&slot, jobs)?;
            // Every tenth is a fault.
            let sum = slot.args.iter().fold(0, |sum: u32, arg| sum.wrapping_add(*arg));
            let answered = match jobs % 10 {
                9 => receiver.result(ticket, Fate::Fault(fault::USER_MIN), &[]),
                _ => receiver.result(ticket, Fate::Done, &[sum]),
            };
            answered.map_err(|error| error.to_string())?;
            jobs += 1;
        }
        let len = receiver.transmit(now_ms, &mut bytes);
        match wire.write_all(&bytes[..len]) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.map_err(io)?,
        }
    }
}

/// Whether it is the job of this number, whole.
fn check(slot: &Slot, number: u32) -> Outcome {
    let len = 1 + number % 12;
    let mut expected = Slot { opcode: 0x100, tenant: 3, priority: 1, ..Slot::default() };
    for (arg, index) in expected.args.iter_mut().zip(0..len) {
        *arg = number.wrapping_mul(0x0101_0101).wrapping_add(index);
    }
    if *slot == expected {
        return Ok(());
    }
    Err(format!("job {number} came as {slot:x?}, not as {expected:x?}"))
}
