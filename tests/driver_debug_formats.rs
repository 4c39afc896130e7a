//! What kernels print comes as lines of the host's log.

mod gpu;
mod listening;

use gpu::everywhere;
use listening::events_of;
use slipring_core::debug_log::PartialRecord;
use slipring_core::layout::Geometry;
use slipring_core::opcode::PRINTF;
use slipring_core::ring::Job;
use slipring_core::twin::HANDLER_OK;
use slipring_driver::debug_formats::DebugFormats;
use slipring_driver::{BackendChoice, Driver, Handler, Kernel, Readback, debug_formats};

const FORMATS: DebugFormats = debug_formats! {
    1 => "sensor {} reads {:f32}",
    2 => "{:i32} of {:x}, no more",
    0xFFFF_FFFF => "no arguments",
    4 => "one {}, and the other is left out",
};

const RECORDS: u32 = 70;

fn builder() -> slipring_driver::DriverBuilder {
    builder_of(RECORDS)
}

/// A driver whose log holds so many records.
fn builder_of(records: u32) -> slipring_driver::DriverBuilder {
    let source = "fn say(job: Job) -> u32 {
        debug_print(job, 1u, arg(job, 0u), bitcast<u32>(-0.25));
        return HANDLER_OK;
    }";
    let say = Handler::wgsl(0x100, "say", "say.wgsl", source).on_cpu(|call| {
        call.debug_print(1, call.arg(0), (-0.25f32).to_bits());
        HANDLER_OK
    });
    let kernel = Kernel::builder().handler(say).build().unwrap();
    Driver::builder(kernel, Geometry::new(128, 1, records, 1).unwrap())
}

fn log(driver: &mut Driver) -> (u32, Vec<String>) {
    driver.dispatch(&Readback::none().with_debug_log()).unwrap();
    events_of("slipring::printf", || driver.log_debug_records(&FORMATS).unwrap())
}

#[test]
fn records_come_as_lines_once_with_their_slot_and_arguments() {
    everywhere(builder(), |driver| {
        let jobs = [
            (0x100, [7, 0, 0], "sensor 7 reads -0.25"),
            (PRINTF, [2, u32::MAX, 255], "-1 of 0xff, no more"),
            (PRINTF, [u32::MAX, 1, 2], "no arguments"),
            (PRINTF, [4, 5, 6], "one 5, and the other is left out"),
            (PRINTF, [9, 5, 6], "format 9: 5 6"),
        ];
        for (opcode, args, text) in jobs {
            let ticket = driver.publish(&Job::new(opcode, &args)).unwrap();
            let line = format!("INFO message=slot {}: {text}", ticket.slot);
            assert_eq!(log(driver), (1, vec![line]));
        }
        assert_eq!(log(driver), (0, vec![]));
    });
}

#[test]
fn what_did_not_fit_is_counted_in_a_line() {
    everywhere(builder(), |driver| {
        for round in 0..3 {
            for i in 0..RECORDS + round {
                driver.publish(&Job::new(PRINTF, &[4, i])).unwrap();
            }
            let (records, mut lines) = log(driver);
            assert_eq!(records, RECORDS);
            if round > 0 {
                let lost = format!("WARN message={round} more were lost: the debug log holds 70");
                assert_eq!(lines.pop(), Some(lost));
            }
            assert_eq!(lines.len(), RECORDS as usize);
        }
    });
}

#[test]
fn a_log_without_room_counts_what_it_lost_since_it_was_last_asked() {
    everywhere(builder_of(0), |driver| {
        for lost in 1..3 {
            for _ in 0..lost {
                driver.publish(&Job::new(PRINTF, &[4])).unwrap();
            }
            let line = format!("WARN message={lost} more were lost: the debug log holds 0");
            assert_eq!(log(driver), (0, vec![line]));
        }
        assert_eq!(log(driver), (0, vec![]));
    });
}

#[test]
fn a_log_that_is_off_is_an_error() {
    let mut driver = builder().backend(BackendChoice::Twin).open().unwrap();
    let geometry = driver.row().geometry();
    let mut buffers =
        slipring_core::layout::Buffer::ALL.map(|buffer| vec![0u32; geometry.words(buffer)]);
    driver
        .row()
        .words(slipring_core::layout::Buffer::Control)
        .iter()
        .zip(&mut buffers[0])
        .for_each(|(word, copy)| *copy = word.load(std::sync::atomic::Ordering::Relaxed));
    buffers[2][0] = 5;
    driver.adopt(&buffers.each_ref().map(|words| bytemuck::cast_slice(words))).unwrap();
    assert_eq!(driver.log_debug_records(&FORMATS), Err(PartialRecord { cursor: 5 }));
}
