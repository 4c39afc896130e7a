//! Sensor boards, each with a row of its own, all drained in one submission a tick; a board joins
//! and another leaves while the rest go on.
//!
//! ```text
//!   motor ─ samples ─▶ row (in a static) ─┐
//!   pump  ─ samples ─▶ row               ─┼─▶ one submission a tick ─▶ energy of each sensor
//!   door  ─ samples ─▶ row               ─┘
//! ```

use slipring_core::layout::Geometry;
use slipring_core::ring::Job;
use slipring_core::tenant::{Tenant, TenantTable};
use slipring_core::twin::{Call, HANDLER_OK};
use slipring_driver::storage::{Pages, words_for};
use slipring_driver::{
    Driver, DriverBuilder, Kernel, Readback, RowResults, dispatch_rows, handler,
};
use std::error::Error;
use std::sync::atomic::AtomicU32;

const ENERGY: u32 = 0x100;
const SAMPLES: u32 = 12;
const TICKS: u32 = 8;
/// The most sensors of a board.
const SENSORS: u32 = 8;
/// Jobs of a sensor in a tick; its quota keeps it from more.
const JOBS: u32 = 4;

const MOTOR: Geometry = match Geometry::of_slots(64, SENSORS) {
    Ok(geometry) => geometry,
    Err(_) => panic!("64 slots are few enough"),
};
/// Memory that is the motor's whatever happens to the GPU.
static MOTOR_ROW: Pages<{ words_for(MOTOR) }> = Pages::new();

struct Board {
    name: &'static str,
    row: Driver,
    /// What each sensor has measured up to now, as the CPU has it.
    energies: Vec<u32>,
}

impl Board {
    /// Opens a board's row, in which every sensor is a tenant.
    fn open(name: &'static str, row: DriverBuilder, sensors: u32) -> Result<Self, Box<dyn Error>> {
        let tenant =
            Tenant { quota: JOBS, first_opcode: ENERGY, last_opcode: ENERGY, ..Tenant::OPEN };
        let mut tenants = TenantTable::open(0);
        for sensor in 0..sensors {
            tenants.set(sensor, tenant)?;
        }
        let row = row.tenants(tenants).open()?;
        Ok(Self { name, row, energies: vec![0; sensors as usize] })
    }

    /// Publishes a tick's samples; returns the number of jobs.
    fn measure(&mut self, tick: u32) -> Result<u32, Box<dyn Error>> {
        let Self { row, energies, .. } = self;
        for (sensor, energy) in (0..).zip(&mut *energies) {
            for job in 0..JOBS {
                let samples: [u32; SAMPLES as usize] = std::array::from_fn(|i| {
                    (tick * 31 + sensor * 17 + job * 5 + i as u32 * 7) % 97
                });
                *energy += samples.iter().map(|sample| sample * sample).sum::<u32>();
                row.publish(&Job::new(ENERGY, &samples).tenant(sensor))?;
            }
        }
        Ok(energies.len() as u32 * JOBS)
    }

    /// Compares the GPU's sums with the CPU's.
    fn check(&self) -> Result<(), Box<dyn Error>> {
        for (sensor, expected) in (0..).zip(&self.energies) {
            let energy = self.row.row().control.observable(sensor)?;
            if energy != *expected {
                let name = self.name;
                return Err(format!("{name} {sensor}: {energy} instead of {expected}").into());
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let handler = handler!(ENERGY, "energy", "rows.wgsl").iterations(SAMPLES + 1).on_cpu(on_cpu);
    let kernel = Kernel::builder().handler(handler).build()?;
    // The first row chooses the device, and so whether the GPU works on the static itself.
    let motor = Driver::builder(kernel, MOTOR).storage(MOTOR_ROW.words());
    let mut boards = vec![Board::open("motor", motor, 8)?];
    for (name, slots, sensors) in [("pump", 16, 2), ("door", 4, 1), ("roof", 32, 6)] {
        let row = boards[0].row.another_row(Geometry::of_slots(slots, SENSORS)?);
        boards.push(Board::open(name, row, sensors)?);
    }
    println!("gpu      {}", boards[0].row.backend().adapter);

    let mut results = RowResults::with_capacity(boards.len() + 1);
    for tick in 1..=TICKS {
        if tick == 4 {
            let row = boards[0].row.another_row(Geometry::of_slots(256, SENSORS)?);
            boards.push(Board::open("gate", row, 3)?);
        }
        if tick == 6 {
            // Dropped: its slots and buffers go, and nobody waits.
            boards.remove(1);
        }
        let mut jobs = Vec::new();
        for board in &mut boards {
            jobs.push(board.measure(tick)?);
        }
        let mut rows: Vec<_> = boards.iter_mut().map(|board| &mut board.row).collect();
        dispatch_rows(&mut rows, &Readback::observables(0..SENSORS), &mut results)?;

        print!("tick {tick}   jobs:");
        for ((board, drained), jobs) in boards.iter().zip(results.rows()).zip(jobs) {
            if drained.done != jobs {
                return Err(format!("{}: {} of {jobs} jobs", board.name, drained.done).into());
            }
            board.check()?;
            print!(" {} {jobs},", board.name);
        }
        let total = results.total();
        println!(" in {} submission, {:?}", total.sync_points, total.latency);
    }
    println!("every sensor's energy equals the CPU's");
    Ok(())
}

/// The twin of `rows.wgsl`.
fn on_cpu(call: &Call<'_, AtomicU32>) -> u32 {
    let square = |i| call.arg(i).wrapping_mul(call.arg(i));
    let sum = (0..SAMPLES).fold(0u32, |sum, i| sum.wrapping_add(square(i)));
    if call.observe_add(call.tenant(), sum) { HANDLER_OK } else { call.fault(64) }
}
