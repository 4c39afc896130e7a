//! The turn by vyre-driver-wgpu 0.6.1, with the program of vyre-runtime's megakernel that drains
//! once: the one that stays on ends by SHUTDOWN only, which a lane may see before its slot.
//!
//! Its dispatcher of work items is no peer: it fails from 11 jobs on (it wants a ring read back,
//! and reads control), and returns no observables. Its shaders are kept in `$VYRE_CACHE_DIR`, or in
//! `~/.cache/vyre`.

use super::{Beside, OBSERVABLES, Turn, items, run};
use std::mem::replace;
use std::sync::Arc;
use vyre_driver::{BackendError, DispatchConfig, OutputBuffers, VyreBackend, pipeline};
use vyre_driver_wgpu::WgpuBackend;
use vyre_foundation::ir::Program;
use vyre_runtime::megakernel::protocol::{control, debug};
use vyre_runtime::megakernel::{
    IO_SLOT_COUNT, Megakernel, MegakernelConfig, MegakernelLaunchGeometry, MegakernelWorkItem,
    build_program_sharded_once_slots_control_report_shared as reading_control,
    build_program_sharded_once_slots_shared as reading_all, io,
};

pub const NAME: &str = "vyre-driver-wgpu 0.6.1";

/// Its ways to read back: the control buffer alone; all four buffers, a submission each; all four
/// in the submission of the drain.
#[derive(Clone, Copy)]
enum Readback {
    Control,
    AllFour,
    AllAtOnce,
}

/// A side for each number of jobs and each readback; none where the peer refuses the machine, but
/// its reason on stderr.
pub fn sides(jobs: &[u32]) -> Vec<Beside> {
    open_all(jobs).unwrap_or_else(|reason| {
        eprintln!("dispatch: {NAME} is not measured: {reason}");
        Vec::new()
    })
}

fn open_all(jobs: &[u32]) -> Result<Vec<Beside>, BackendError> {
    let backend: Arc<dyn VyreBackend> = Arc::new(WgpuBackend::acquire()?);
    let side = |jobs, readback| {
        let (name, buffers) = match readback {
            Readback::Control => ("control", 1),
            Readback::AllFour => ("all four", 4),
            Readback::AllAtOnce => ("all at once", 4),
        };
        let mut vyre = Vyre::open(&backend, jobs, readback)?;
        vyre.check(jobs, buffers)?;
        Ok((jobs, name, run(jobs, vyre)))
    };
    let readbacks = [Readback::Control, Readback::AllFour, Readback::AllAtOnce];
    jobs.iter().flat_map(|&jobs| readbacks.map(|readback| side(jobs, readback))).collect()
}

/// Drains a ring's bytes.
type Drain = Box<dyn FnMut(&[u8], &mut OutputBuffers) -> Result<(), BackendError>>;

struct Vyre {
    items: Vec<MegakernelWorkItem>,
    slots: u32,
    ring: Vec<u32>,
    drain: Drain,
    /// What was read back: control, then ring, debug log and IO queue, which may be empty.
    outputs: OutputBuffers,
    /// What the device has counted so far.
    done: u32,
}

impl Vyre {
    fn open(
        backend: &Arc<dyn VyreBackend>,
        jobs: u32,
        readback: Readback,
    ) -> Result<Self, BackendError> {
        let workers = MegakernelConfig::default().worker_count;
        let lanes = backend.max_workgroup_size()[0];
        let geometry = MegakernelLaunchGeometry::from_item_count(jobs as usize, workers, lanes)?;
        let (lanes, slots) = (geometry.workgroup_size_x, geometry.slot_count);
        let program = match readback {
            Readback::Control => reading_control(lanes, slots, &[]),
            Readback::AllFour | Readback::AllAtOnce => reading_all(lanes, slots, &[]),
        };
        let program = with_observables(&program);
        let (backend, config) = (Arc::clone(backend), geometry.dispatch_config(None));
        let drain = match readback {
            Readback::AllAtOnce => at_once(backend, program, config),
            Readback::Control | Readback::AllFour => resident(backend, program, config, slots)?,
        };
        let items = items(jobs).into_iter().map(|item| MegakernelWorkItem {
            op_handle: item.opcode,
            input_handle: item.input,
            output_handle: item.output,
            param: item.param,
        });
        let (items, ring, outputs) = (items.collect(), Vec::new(), Vec::new());
        Ok(Self { items, slots, ring, drain, outputs, done: 0 })
    }

    /// One turn, of which every result is looked at.
    fn check(&mut self, jobs: u32, buffers: usize) -> Result<(), BackendError> {
        assert_eq!(self.drain()?, jobs, "every job is done");
        assert_eq!(self.outputs.iter().filter(|output| !output.is_empty()).count(), buffers);
        for observable in 0..OBSERVABLES {
            let word = control::OBSERVABLE_BASE + observable;
            let added = self.items.iter().filter(|item| item.output_handle == word);
            let sum: u32 = added.map(|item| item.input_handle).sum();
            let found = Megakernel::try_read_observable(&self.outputs[0], observable).unwrap();
            assert_eq!(found, sum, "observable {observable}");
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<u32, BackendError> {
        let Self { items, slots, ring, drain, outputs, done } = self;
        Megakernel::encode_work_items_ring_words_into(*slots, 0, items, ring).unwrap();
        drain(bytemuck::cast_slice(ring), outputs)?;
        if outputs[1].is_empty() {
            let all = Megakernel::try_read_done_count(&outputs[0]).unwrap();
            return Ok(all.wrapping_sub(replace(done, all)));
        }
        Ok(Megakernel::try_count_done_ring_slots(&outputs[1], items.len()).unwrap() as u32)
    }
}

impl Turn for Vyre {
    fn turn(&mut self) -> u32 {
        self.drain().expect("a drain")
    }
}

/// Its programs have a control buffer that ends where observables begin.
fn with_observables(program: &Program) -> Program {
    let buffers = program.buffers().iter().cloned().map(|buffer| match buffer.name() {
        "control" => buffer.with_count(control::OBSERVABLE_BASE + OBSERVABLES),
        _ => buffer,
    });
    program.with_rewritten_buffers(buffers.collect())
}

/// Control, debug log and IO queue at the start.
fn fresh() -> [Vec<u8>; 3] {
    [
        Megakernel::try_encode_control(false, 1, OBSERVABLES).unwrap(),
        Megakernel::try_encode_empty_debug_log(debug::RECORD_CAPACITY).unwrap(),
        io::try_encode_empty_io_queue(IO_SLOT_COUNT).unwrap(),
    ]
}

/// Buffers that stay on the device, of which a turn writes the ring.
fn resident(
    backend: Arc<dyn VyreBackend>,
    program: Program,
    config: DispatchConfig,
    slots: u32,
) -> Result<Drain, BackendError> {
    let pipeline = pipeline::compile_shared(Arc::clone(&backend), Arc::new(program), &config)?;
    let [control, debug_log, io_queue] = fresh();
    let ring = Megakernel::try_encode_empty_ring(slots).unwrap();
    let mut row = Vec::new();
    for bytes in [control, ring, debug_log, io_queue] {
        let buffer = backend.allocate_resident(bytes.len())?;
        backend.upload_resident(&buffer, &bytes)?;
        row.push(buffer);
    }
    Ok(Box::new(move |ring, outputs| {
        backend.upload_resident(&row[1], ring)?;
        pipeline.dispatch_persistent_handles_into(&row, &config, outputs)
    }))
}

/// Every buffer goes up each turn.
fn at_once(backend: Arc<dyn VyreBackend>, program: Program, config: DispatchConfig) -> Drain {
    let [control, debug_log, io_queue] = fresh();
    Box::new(move |ring, outputs| {
        let inputs = [&control, ring, &debug_log, &io_queue];
        backend.dispatch_borrowed_into(&program, &inputs, &config, outputs)
    })
}
