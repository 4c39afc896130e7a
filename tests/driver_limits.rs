//! What only a device can show: many lanes at one word, and loops up to the device's limit.

mod gpu;

use slipring_core::control::{MASK_ALL, word};
use slipring_core::debug_log::CURSOR_MAX;
use slipring_core::io_queue;
use slipring_core::layout::{Buffer, Geometry};
use slipring_core::opcode;
use slipring_core::packed::{Op, Payload};
use slipring_core::ring::{Job, Ring};
use slipring_driver::kernel::LLVMPIPE_ITERATIONS;
use slipring_driver::{BackendChoice, Driver, Handler, Kernel};

const OBSERVABLE: u32 = word::OBSERVABLES as u32;

/// A row in host memory, as the byte path takes it.
#[derive(Clone)]
struct Rows {
    geometry: Geometry,
    words: [Vec<u32>; 4],
}

impl Rows {
    fn new(geometry: Geometry) -> Self {
        let mut words = Buffer::ALL.map(|buffer| vec![0; geometry.words(buffer)]);
        words[0][word::TENANT_MASKS] = MASK_ALL;
        Self { geometry, words }
    }

    fn publish(&mut self, slot: u32, job: &Job<'_>) {
        Ring::new(&mut self.words[1][..]).unwrap().publish(slot, job).unwrap();
    }

    fn drain(&mut self, kernel: Kernel, choice: BackendChoice) {
        let mut driver = gpu::open(Driver::builder(kernel, self.geometry), choice);
        let before = self.words.clone();
        let inputs = before.each_ref().map(|words| bytemuck::cast_slice(words));
        let mut outputs = self.words.each_mut().map(|words| bytemuck::cast_slice_mut(words));
        driver.dispatch_bytes(&inputs, &mut outputs).unwrap();
    }

    fn observable(&self, index: usize) -> u32 {
        self.words[0][word::OBSERVABLES + index]
    }
}

#[test]
fn k5_the_debug_cursor_saturates_with_many_lanes() {
    if gpu::is_skipped() {
        return;
    }
    for choice in gpu::GPU {
        let mut row = Rows::new(Geometry::of_slots(128, 0).unwrap());
        row.words[2][0] = CURSOR_MAX - 4 * 100;
        for slot in 0..128 {
            row.publish(slot, &Job::new(opcode::PRINTF, &[1, 1, 1]));
        }
        row.drain(Kernel::builder().build().unwrap(), choice);
        assert_eq!(row.words[2][0], CURSOR_MAX);
        assert!(row.words[2][1..].iter().all(|word| *word == 0));
    }
}

/// A handler whose only loop makes `arg 0` rounds, and counts them in observable `arg 1`.
fn spin(opcode: u32, rounds: u32) -> Handler {
    let name = format!("spin{opcode}");
    let source = format!(
        "fn {name}(job: Job) -> u32 {{
            for (var i = 0u; i < arg(job, 0u); i++) {{ observe_add(arg(job, 1u), 1u); }}
            return HANDLER_OK;
        }}"
    );
    Handler::wgsl(opcode, name, "spin.wgsl", source).iterations(rounds + 1)
}

/// A handler that looks `rounds` times for a free IO slot, and counts in observable 3 when there is
/// none.
fn ask(opcode: u32, rounds: u32) -> Handler {
    let source = format!(
        "fn ask(job: Job) -> u32 {{
            for (var i = 0u; i < {rounds}u; i++) {{
                if request_io(job, IO_READ, 1u, 2u, 3u, 4u, 5u) == HANDLER_RETRIES {{
                    observe_add(3u, 1u);
                }}
            }}
            return HANDLER_OK;
        }}"
    );
    Handler::wgsl(opcode, "ask", "ask.wgsl", source).iterations(rounds + 1)
}

/// The lanes of each vector run the longest things there are, each something else, up to the
/// last iteration that llvmpipe has: nothing is cut short.
#[test]
fn a_kernel_that_just_fits_llvmpipe_loses_no_iteration() {
    if gpu::is_skipped() {
        return;
    }
    let build = |long| {
        let kernel = Kernel::builder().handler(spin(8, 2000)).handler(spin(9, 3000));
        kernel.handler(spin(0x100, long)).handler(ask(0x101, 50)).build().unwrap()
    };
    let fits = |long| build(long).dispatch_limits(LLVMPIPE_ITERATIONS, 64).is_ok();
    let rest = u64::from(LLVMPIPE_ITERATIONS) - build(0).iterations_per_look();
    let long = (0..=rest as u32).rev().find(|&long| fits(long)).unwrap();
    assert!(long > 20_000, "{long} rounds are too few to show anything");

    let mut row = Rows::new(Geometry::of_slots(64, 3 * 4096).unwrap());
    // A LOAD_MISS has to walk all 64 IO slots: only the last one is free.
    for io_slot in row.words[3].chunks_mut(io_queue::SLOT_WORDS).take(63) {
        io_slot[io_queue::word::STATUS] = io_queue::status::CLAIMED;
    }
    let copy: Op<'_> = (opcode::MEMCPY as u8, &[OBSERVABLE + 4096, OBSERVABLE + 8192, 4096]);
    let nothing: Op<'_> = (opcode::NOP as u8, &[]);
    let [two_thousand, three_thousand]: [Op<'_>; 2] = [(8, &[2000, 1]), (9, &[3000, 2])];
    for vector in (0..64).step_by(8) {
        let packed = [
            [copy, copy, copy, nothing],
            [nothing, copy, copy, copy],
            [two_thousand; 4],
            [three_thousand; 4],
        ];
        for (slot, ops) in (vector..).zip(packed) {
            row.publish(slot, &Payload::pack(&ops).unwrap().job());
        }
        row.publish(vector + 4, &Job::new(0x100, &[long, 0]));
        row.publish(vector + 5, &Job::new(opcode::LOAD_MISS, &[1]));
        row.publish(vector + 6, &Job::new(opcode::PRINTF, &[]));
        row.publish(vector + 7, &Job::new(0x101, &[]));
    }
    row.words[0][word::OBSERVABLES + 8191] = 5;
    for choice in gpu::GPU {
        let mut row = row.clone();
        row.drain(build(long), choice);
        assert_eq!([0, 1, 2].map(|index| row.observable(index)), [8 * long, 64_000, 96_000]);
        // All but one, which either a LOAD_MISS or one of these has got.
        assert!([399, 400].contains(&row.observable(3)), "{}", row.observable(3));
        assert_eq!(row.observable(3 * 4096 - 1), 5);
    }
}
