//! The link: both sides, any windows, any bytes.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady, Write};
use slipring_core::layout::Geometry;
use slipring_core::link::{Event, Fate, HostEvent, LinkTicket, Notice, Receiver, Sender, pump};
use slipring_core::ring::Job;

use crate::{Inputs, keep, keep_result};

#[inline(never)]
pub fn calls(bytes: &mut [u8], inputs: &Inputs<'_>) {
    let [slots, observables, ..] = inputs.n;
    let Ok(geometry) = Geometry::of_slots(slots, observables) else {
        return;
    };
    sender::<8>(geometry, bytes, inputs);
    sender::<64>(geometry, bytes, inputs);
    receiver::<1>(geometry, bytes, inputs);
    receiver::<64>(geometry, bytes, inputs);
}

#[inline(never)]
fn sender<const N: usize>(geometry: Geometry, bytes: &mut [u8], inputs: &Inputs<'_>) {
    let [session, opcode, tenant, now] = inputs.n;
    let mut sender = Sender::<N>::new(session, geometry);
    for _ in 0..inputs.len {
        keep_result(sender.publish(&Job::new(opcode, inputs.args).tenant(tenant)));
        keep(sender.receive(bytes, now));
        while let Some(event) = sender.next_event() {
            if let Event::Link(notice) = event {
                keep_notice(notice);
            }
            keep(event);
        }
        let mut port = Port { bytes, ready: inputs.flag };
        keep_result(pump(&mut sender, &mut port, now, |_, event| keep(event)));
        keep((sender.is_connected(), sender.wait_ms(now), sender.counters()));
        keep(sender.transmit(now, bytes));
    }
}

#[inline(never)]
fn receiver<const N: usize>(geometry: Geometry, bytes: &mut [u8], inputs: &Inputs<'_>) {
    let [session, number, credits, now] = inputs.n;
    let fates = [Fate::Done, Fate::Fault(inputs.bytes[0]), Fate::NotRun, Fate::Unknown];
    let mut receiver = Receiver::<N>::new(session, geometry);
    for fate in fates.into_iter().cycle().take(inputs.len) {
        receiver.set_credits(credits);
        keep(receiver.receive(bytes, now));
        while let Some(event) = receiver.next_event() {
            if let HostEvent::Link(notice) = event {
                keep_notice(notice);
            }
            keep(event);
        }
        let ticket = receiver.next_slot().map(|(ticket, _)| ticket);
        let ticket = ticket.unwrap_or(LinkTicket { session, number });
        keep(receiver.result_room());
        keep_result(receiver.result(ticket, fate, inputs.args));
        keep((receiver.is_connected(), receiver.wait_ms(now), receiver.counters()));
        keep(receiver.transmit(now, bytes));
    }
}

fn keep_notice(notice: Notice) {
    if let Notice::Refused(refusal) | Notice::RefusedByPeer(refusal) = notice {
        keep_result(Err::<(), _>(refusal));
    }
}

/// Takes and gives as much as the compiler does not know.
struct Port<'a> {
    bytes: &'a mut [u8],
    ready: bool,
}

impl ErrorType for Port<'_> {
    type Error = Infallible;
}

impl ReadReady for Port<'_> {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.ready)
    }
}

impl Read for Port<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        bytes.fill(u8::from(self.ready));
        Ok(self.bytes.len())
    }
}

impl Write for Port<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.bytes.fill(bytes.len() as u8);
        Ok(self.bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
