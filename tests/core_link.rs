use slipring_core::layout::Geometry;
use slipring_core::link::{Fate, Receiver, Sender};
use slipring_core::opcode;
use slipring_core::ring::Job;

#[test]
fn try_it() {
    let geometry = Geometry::of_slots(32, 8).unwrap();
    let mut sender = Sender::<8>::new(1, geometry);
    let mut host = Receiver::<8>::new(2, geometry);
    let mut wire = [0; 256];
    let job = Job::new(opcode::ATOMIC_ADD, &[1, 2, 3, 4]);
    host.set_credits(8);
    for turn in 0..8 {
        let len = host.transmit(1, &mut wire);
        println!("{turn} host {len} {:x?}", &wire[..len]);
        let mut heard = 0;
        while heard < len {
            heard += sender.receive(&wire[heard..len], 1);
            while let Some(e) = sender.next_event() {
                println!("{e:?}");
            }
        }
        let len = sender.transmit(1, &mut wire);
        println!("{turn} sender {len} {:x?}", &wire[..len]);
        let mut heard = 0;
        while heard < len {
            heard += host.receive(&wire[heard..len], 1);
            while let Some(e) = host.next_event() {
                println!("{e:?}");
            }
        }
        if let Some((ticket, slot)) = host.next_slot() {
            println!("{ticket:?} {slot:?}");
            host.result(ticket, Fate::Done, &[7; 12]).unwrap();
        }
        if sender.is_connected() {
            sender.publish(&job).unwrap();
        }
    }
    println!("{host:#?}");
}
