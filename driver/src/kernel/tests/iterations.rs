//! The accounting of loop iterations.

use crate::kernel::check::visit;
use crate::kernel::iterations::ROUNDS;
use crate::kernel::{Handler, IterationError, Kernel, LLVMPIPE_ITERATIONS};
use naga::{Function, Statement};

fn looping(opcode: u32, iterations: u32) -> Handler {
    let name = format!("f{opcode}");
    let source = format!(
        "fn {name}(job: Job) -> u32 {{\n\
             for (var i = 0u; i < arg(job, 0u); i++) {{ observe_add(0u, 1u); }}\n\
             return HANDLER_OK;\n}}"
    );
    Handler::wgsl(opcode, name, format!("f{opcode}.wgsl"), source).iterations(iterations)
}

fn per_look(handlers: &[Handler]) -> u64 {
    let builder =
        handlers.iter().cloned().fold(Kernel::builder(), |kernel, handler| kernel.handler(handler));
    builder.build().unwrap().iterations_per_look()
}

#[test]
fn every_loop_of_the_kernel_is_accounted_for() {
    let kernel = Kernel::builder().build().unwrap();
    let looping = ROUNDS.iter().map(|(name, _)| *name).chain(["sees_busy_slot", "stay"]);
    assert_loops(&kernel, looping.collect());
    // Those of a fused kernel only guard, or are counted where a handler prints or asks for I/O.
    let handler = Handler::wgsl(8, "f", "f.wgsl", "fn f(job: Job) -> u32 { return 0u; }");
    let kernel = Kernel::fused(handler).unwrap();
    let own = ["claim", "reserve_io_slot", "sees_busy_slot", "stay", "take_record"];
    assert_loops(&kernel, own.to_vec());
}

fn assert_loops(kernel: &Kernel, mut known: Vec<&str>) {
    let module = naga::front::wgsl::parse_str(kernel.source()).unwrap();
    let has_loop = |function: &&Function| {
        let mut found = false;
        visit(&function.body, &mut |statement, _| {
            found |= matches!(statement, Statement::Loop { .. });
        });
        found
    };
    let functions = module.functions.iter().map(|(_, function)| function).filter(has_loop);
    let mut found: Vec<_> = functions.filter_map(|function| function.name.as_deref()).collect();
    found.sort_unstable();
    known.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn a_look_counts_four_full_copies_and_a_scan() {
    let iterations = per_look(&[]);
    assert!((4 * 4096 + 64..4 * 4096 + 64 + 128).contains(&iterations), "{iterations}");
}

#[test]
fn a_packable_handler_counts_four_times() {
    assert_eq!(per_look(&[looping(8, 1001)]) - per_look(&[looping(8, 1)]), 4 * 1000);
}

#[test]
fn another_handler_counts_once_but_its_loops_are_passed_by_each_packed_operation() {
    assert_eq!(per_look(&[looping(0x100, 1001)]) - per_look(&[looping(0x100, 1)]), 1000);
    assert_eq!(per_look(&[looping(0x100, 1)]) - per_look(&[]), 4);
}

#[test]
fn a_request_counts_a_scan_and_one_in_a_loop_a_scan_each_time() {
    let asking = |rounds: u32| {
        let ask = "request_io(job, IO_READ, 0u, 0u, 0u, 0u, 0u)";
        let source = match rounds {
            0 => format!("fn f(job: Job) -> u32 {{ return {ask}; }}"),
            _ => format!(
                "fn f(job: Job) -> u32 {{ for (var i = 0u; i < 9u; i++) {{ {ask}; }} return 0u; }}"
            ),
        };
        Handler::wgsl(0x100, "f", "f.wgsl", source).iterations(rounds)
    };
    let counted = |rounds| per_look(&[asking(rounds)]) - per_look(&[]);
    // Each of four packed operations passes the loops; only one job goes round in them.
    assert_eq!(counted(0), 4 + 64);
    assert_eq!(counted(1000), 4 * 2 + 999 + 64 + 1000 * (64 + 8));
    assert!(Kernel::builder().handler(asking(0)).build().unwrap().requests_io());
    assert!(!Kernel::builder().handler(looping(8, 1)).build().unwrap().requests_io());
}

#[test]
fn a_fused_kernel_counts_its_handlers_loops_alone() {
    let per_look = |rounds| Kernel::fused(looping(8, rounds)).unwrap().iterations_per_look();
    // And the two places of the loop that claims.
    assert_eq!([per_look(1), per_look(1001)], [1 + 2, 1001 + 2]);
}

#[test]
fn handlers_add_up() {
    let (a, b) = (looping(0x100, 500), looping(9, 70));
    let both = per_look(&[a.clone(), b.clone()]) - per_look(&[]);
    assert_eq!(both, (per_look(&[a]) - per_look(&[])) + (per_look(&[b]) - per_look(&[])));
}

#[test]
fn limits_fit_and_one_more_does_not() {
    let kernel = Kernel::builder().build().unwrap();
    let limits = kernel.dispatch_limits(LLVMPIPE_ITERATIONS, 1024).unwrap();
    assert_eq!(limits.serial_slots, 3);
    assert!(limits.fences > 1024, "{limits:?}");
    let wide = kernel.dispatch_limits(LLVMPIPE_ITERATIONS, 1 << 20).unwrap();
    assert_eq!(wide.fences, 3);
}

#[test]
fn a_kernel_that_cannot_run_says_so_with_the_numbers() {
    let kernel = Kernel::builder().handler(looping(8, 20_000)).build().unwrap();
    let iterations = kernel.iterations_per_look();
    assert_eq!(
        kernel.dispatch_limits(LLVMPIPE_ITERATIONS, 64),
        Err(IterationError::Look {
            iterations,
            kernel: per_look(&[]) + 4,
            limit: LLVMPIPE_ITERATIONS
        })
    );
    let kernel = Kernel::builder().build().unwrap();
    let error = kernel.dispatch_limits(LLVMPIPE_ITERATIONS, 1 << 27).unwrap_err();
    assert!(matches!(error, IterationError::Fence { ring_slots: 0x800_0000, .. }), "{error}");
}
