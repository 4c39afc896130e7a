//! What a driver says when its parts do not fit, or its device fails.

mod gpu;

use gpu::on_gpu;
use slipring_core::layout::{Buffer, Geometry, LayoutError};
use slipring_core::opcode;
use slipring_core::publisher::Outcome;
use slipring_core::ring::Job;
use slipring_core::twin::Call;
use slipring_driver::gpu::GpuError;
use slipring_driver::open::{MAX_WORKSPACE_WORDS, OpenError};
use slipring_driver::{
    BackendChoice, BackendError, Driver, DriverBuilder, DriverError, Handler, Kernel, Readback,
};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

fn kernel() -> Kernel {
    Kernel::builder().build().unwrap()
}

fn geometry(slots: u32) -> Geometry {
    Geometry::of_slots(slots, 8).unwrap()
}

#[test]
fn a_lost_device_is_said_on_every_call_and_nothing_is_forgotten() {
    on_gpu(Driver::builder(kernel(), geometry(4)), |driver| {
        if driver.backend().backend == "mapped" {
            return;
        }
        let ticket = driver.publish(&Job::new(opcode::NOP, &[])).unwrap();
        driver.gpu().unwrap().device().destroy();
        let lost = |error| matches!(error, DriverError::Backend(BackendError::Lost { .. }));
        assert!(lost(driver.dispatch(&Readback::none()).unwrap_err()));
        assert!(lost(driver.dispatch(&Readback::none()).unwrap_err()));
        assert!(lost(driver.write_workspace(0, &[1]).unwrap_err()));
        assert!(lost(driver.read_workspace(0, &mut [1]).unwrap_err()));
        assert_eq!(driver.outcome(ticket), Outcome::Pending);
    });
}

#[test]
fn the_mapped_backend_does_not_need_wgpus_device_but_its_users_are_told() {
    on_gpu(Driver::builder(kernel(), geometry(4)), |driver| {
        if driver.backend().backend != "mapped" {
            return;
        }
        driver.gpu().unwrap().device().destroy();
        driver.publish(&Job::new(opcode::STORE_U32, &[7, 160])).unwrap();
        assert_eq!(driver.dispatch(&Readback::all()).unwrap().done, 1);
        assert_eq!(driver.row().control.observable(0), Ok(7));
        let told = driver.gpu().unwrap().submit([]).unwrap_err();
        assert!(matches!(told, BackendError::Lost { .. }), "{told}");
        let told = driver.dispatch(&Readback::all()).unwrap_err();
        assert!(matches!(told, DriverError::Backend(BackendError::Lost { .. })), "{told}");
    });
}

/// A handler that makes as many rounds as its argument says, up to `rounds`.
fn spin(rounds: u32) -> Kernel {
    let source = "fn spin(job: Job) -> u32 {
        for (var i = 0u; i < arg(job, 0u); i++) { observe_add(0u, 1u); }
        return HANDLER_OK;
    }";
    let handler = Handler::wgsl(0x100, "spin", "spin.wgsl", source).iterations(rounds + 1);
    Kernel::builder().handler(handler).build().unwrap()
}

#[test]
fn a_drain_that_takes_too_long_is_a_loss_and_is_not_run_again() {
    on_gpu(gpu::long_work().timeout(Duration::from_millis(1)), |driver| {
        let publish = |_| driver.publish(&gpu::LONG_JOB).unwrap();
        let tickets: Vec<_> = (0..gpu::LONG_SLOTS).map(publish).collect();
        let error = driver.dispatch(&Readback::none()).unwrap_err();
        assert_eq!(error, DriverError::Backend(BackendError::Timeout { timeout_ms: 1 }));
        let error = driver.dispatch(&Readback::none()).unwrap_err();
        assert!(matches!(error, DriverError::Backend(BackendError::Lost { .. })), "{error}");
        // Where the row is the GPU's own, a job may be seen to end all the same.
        let is_mapped = driver.backend().backend == "mapped";
        let outcomes = tickets.iter().map(|&ticket| driver.outcome(ticket));
        let mut outcomes = outcomes.filter(|outcome| *outcome != Outcome::Pending);
        match is_mapped {
            true => assert!(outcomes.all(|outcome| outcome == Outcome::Done)),
            false => assert_eq!(outcomes.next(), None),
        }
    });
}

#[test]
fn a_refused_workspace_write_says_so_at_once() {
    on_gpu(Driver::builder(kernel(), geometry(4)), |driver| {
        driver.workspace().unwrap().destroy();
        let written = driver.write_workspace(0, &[1]);
        let is_refused = matches!(written, Err(DriverError::Backend(BackendError::Refused { .. })));
        // A workspace that the host sees is no buffer of wgpu's: what a user does to theirs is
        // theirs.
        let is_seen = driver.backend().backend == "mapped" && driver.backend().is_cpu;
        assert_eq!(is_refused, !is_seen, "{written:?}");
    });
}

#[test]
fn a_buffer_that_a_user_has_destroyed_is_an_error_or_the_users_own_loss() {
    on_gpu(Driver::builder(kernel(), geometry(4)), |driver| {
        let ticket = driver.publish(&Job::new(opcode::NOP, &[])).unwrap();
        driver.buffer(Buffer::Ring).unwrap().destroy();
        let drained = driver.dispatch(&Readback::all());
        match driver.backend().backend {
            // Theirs was an import of memory that is the row's.
            "mapped" => assert_eq!(drained.unwrap().done, 1),
            _ => {
                let error = drained.unwrap_err();
                assert!(error.to_string().contains("destroyed"), "{error}");
                assert_eq!(driver.outcome(ticket), Outcome::Pending);
            }
        }
    });
}

#[test]
fn a_refused_dispatch_has_run_nothing_and_the_next_one_runs_it_once() {
    on_gpu(Driver::builder(kernel(), geometry(4)), |driver| {
        driver.publish(&Job::new(opcode::ATOMIC_ADD, &[1, 160])).unwrap();
        // A user's own call, which the device refuses: told by whichever call comes next.
        let _ = driver.gpu().unwrap().device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("too large"),
            size: 1 << 60,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let refused = driver.dispatch(&Readback::all()).unwrap_err();
        assert!(refused.to_string().contains("too large"), "{refused}");
        assert_eq!(driver.row().control.observable(0), Ok(0));
        for done in [1, 0] {
            assert_eq!(driver.dispatch(&Readback::all()).unwrap().done, done);
            assert_eq!(driver.row().control.observable(0), Ok(1));
        }
    });
}

#[test]
fn a_gpu_that_does_not_fit_says_why() {
    if gpu::is_skipped() {
        return;
    }
    let words = MAX_WORKSPACE_WORDS;
    let builder = Driver::builder(kernel(), geometry(4)).workspace_words(words);
    match builder.backend(BackendChoice::Portable).open() {
        Err(OpenError::Gpu(error @ GpuError::NoneFits { .. })) => {
            let bytes = (4 * words as u64).to_string();
            assert!(error.to_string().contains(&bytes), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn where_no_gpu_runs_the_kernel_its_twin_does_and_says_why() {
    let handler = |call: &Call<'_, AtomicU32>| u32::from(!call.observe(0, 7));
    let source = "fn spin(job: Job) -> u32 {
        for (var i = 0u; i < arg(job, 0u); i++) { observe_add(0u, 1u); }
        return HANDLER_OK;
    }";
    let spin = Handler::wgsl(0x100, "spin", "spin.wgsl", source).iterations(60_000);
    let kernel = Kernel::builder().handler(spin.on_cpu(handler)).build().unwrap();
    let mut driver = Driver::builder(kernel, geometry(4)).open().unwrap();
    let info = driver.backend().clone();
    if info.backend == "twin" {
        // No Vulkan at all, or llvmpipe, whose loops end too early.
        let reasons = ["no Vulkan device", "65535"];
        assert!(reasons.iter().any(|reason| info.reason.contains(reason)), "{}", info.reason);
        let ticket = driver.publish(&Job::new(0x100, &[])).unwrap();
        driver.dispatch(&Readback::observables(0..1)).unwrap();
        assert_eq!(driver.outcome(ticket), Outcome::Done);
    }
}

#[test]
fn a_driver_says_what_is_wrong_with_its_parts() {
    let open =
        |builder: DriverBuilder| builder.backend(BackendChoice::Twin).open().map(drop).unwrap_err();
    let none = Geometry::new(0, 0, 1, 1).unwrap();
    assert_eq!(open(Driver::builder(kernel(), none)), OpenError::NoSlots);
    let hasty = Driver::builder(kernel(), geometry(4)).timeout(Duration::ZERO);
    assert_eq!(open(hasty), OpenError::NoTimeout);
    let huge = geometry((1 << 20) + 1);
    let too_many = LayoutError::TooMany { buffer: Buffer::Ring, count: 1_048_577, max: 1 << 20 };
    assert_eq!(open(Driver::builder(kernel(), huge)), OpenError::Layout(too_many));
    let source = "fn work(job: Job) -> u32 { return HANDLER_OK; }";
    let handler = Handler::wgsl(0x100, "work", "work.wgsl", source);
    let gpu_only = Kernel::builder().handler(handler).build().unwrap();
    let (function, reason) = ("work".to_owned(), "it was chosen".to_owned());
    let error = OpenError::NoCpuTwin { function, reason };
    assert_eq!(open(Driver::builder(gpu_only, geometry(4))), error);
}

#[test]
fn a_kernel_whose_loops_llvmpipe_would_cut_short_is_refused_with_both_numbers() {
    let kernel = spin(60_000);
    let iterations = kernel.iterations_per_look();
    let builder = Driver::builder(kernel, geometry(4)).backend(BackendChoice::Portable);
    match builder.open() {
        Err(OpenError::Iterations(error)) => {
            let message = error.to_string();
            assert!(message.contains(&iterations.to_string()), "{message}");
            assert!(message.contains("65535"), "{message}");
        }
        Err(OpenError::Gpu(error)) => assert!(gpu::is_skipped(), "{error}"),
        Err(error) => panic!("{error}"),
        Ok(driver) => assert_ne!(
            driver.gpu().unwrap().info().device_type,
            wgpu::DeviceType::Cpu,
            "llvmpipe must refuse it"
        ),
    }
}

#[test]
fn a_workspace_whose_words_a_u32_cannot_count_is_refused() {
    let builder = Driver::builder(kernel(), geometry(4)).workspace_words(MAX_WORKSPACE_WORDS + 1);
    let words = MAX_WORKSPACE_WORDS + 1;
    let error = builder.backend(BackendChoice::Twin).open().map(drop).unwrap_err();
    assert_eq!(error, OpenError::Workspace { words });
}

/// A kernel is compiled when its driver is opened: the first drain takes no longer than others.
#[test]
fn a_drain_is_not_charged_for_compiling() {
    let handler = |opcode| {
        let name = format!("work{opcode}");
        let source = format!("fn {name}(job: Job) -> u32 {{ return HANDLER_OK; }}");
        Handler::wgsl(opcode, name, format!("{opcode}.wgsl"), source)
    };
    let many =
        (0x100..0x140).fold(Kernel::builder(), |kernel, opcode| kernel.handler(handler(opcode)));
    // llvmpipe, whose cache does not know it, takes longer than that to compile it.
    let builder =
        Driver::builder(many.build().unwrap(), geometry(4)).timeout(Duration::from_secs(2));
    on_gpu(builder, |driver| {
        driver.publish(&Job::new(0x100, &[])).unwrap();
        assert_eq!(driver.dispatch(&Readback::none()).unwrap().done, 1);
    });
}
