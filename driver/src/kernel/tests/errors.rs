//! Every way a kernel can be refused, and where it says so.

use crate::kernel::{Declaration, Handler, Kernel, KernelError, OpcodeClass, Place};
use slipring_core::opcode;

const GOOD: &str = "fn good(job: Job) -> u32 {\n    return HANDLER_OK;\n}\n";

fn good() -> Handler {
    Handler::wgsl(0x100, "good", "good.wgsl", GOOD)
}

fn refuse(source: impl Into<String>) -> KernelError {
    let bad = Handler::wgsl(0x101, "bad", "bad.wgsl", source.into());
    Kernel::builder().handler(good()).handler(bad).build().unwrap_err()
}

fn at(file: &str, line: u32, column: u32) -> Place {
    Place { file: file.to_owned(), line, column }
}

#[test]
fn built_in_and_reserved_opcodes_are_refused() {
    for (opcode, class) in [
        (opcode::NOP, OpcodeClass::BuiltIn),
        (opcode::BATCH_FENCE, OpcodeClass::BuiltIn),
        (opcode::SHUTDOWN, OpcodeClass::BuiltIn),
        (0xFFF0, OpcodeClass::Reserved),
        (0x8000_0000, OpcodeClass::Reserved),
    ] {
        let handler = Handler::wgsl(opcode, "good", "good.wgsl", GOOD);
        let error = Kernel::builder().handler(handler).build().unwrap_err();
        let function = "good".to_owned();
        assert_eq!(error, KernelError::NotUserOpcode { opcode, function, class });
    }
}

#[test]
fn two_handlers_for_one_opcode_are_refused() {
    let error = Kernel::builder().handler(good()).handler(good()).build().unwrap_err();
    assert_eq!(error.to_string(), "opcode 0x100 has two handlers, `good` and `good`");
}

#[test]
fn a_missing_function_is_named() {
    let error = refuse("fn worse(job: Job) -> u32 { return HANDLER_OK; }");
    let (file, function) = ("bad.wgsl".to_owned(), "bad".to_owned());
    assert_eq!(error, KernelError::MissingFunction { file, function });
}

#[test]
fn a_function_of_the_kernel_is_no_handler() {
    let handler = Handler::wgsl(0x100, "store_u32", "good.wgsl", GOOD);
    let error = Kernel::builder().handler(handler).build().unwrap_err();
    assert!(matches!(error, KernelError::MissingFunction { .. }), "{error}");
}

#[test]
fn a_wrong_signature_is_shown() {
    for (source, found) in [
        ("\nfn bad(job: Job) {\n}", "fn bad(job: Job)"),
        ("\nfn bad(\n  job: Job) -> i32 { return 0; }", "fn bad( job: Job) -> i32"),
        ("\nfn bad(i: u32) -> u32 { return i; }", "fn bad(i: u32) -> u32"),
    ] {
        let (place, function) = (at("bad.wgsl", 2, 1), "bad".to_owned());
        let found = found.to_owned();
        assert_eq!(refuse(source), KernelError::WrongSignature { place, function, found });
    }
}

#[test]
fn errors_of_a_fused_handler_are_in_its_file_too() {
    let refuse = |opcode, source: &'static str| {
        Kernel::fused(Handler::wgsl(opcode, "bad", "bad.wgsl", source)).unwrap_err()
    };
    let place = at("bad.wgsl", 2, 10);
    let error = refuse(0x101, "fn bad(job: Job) -> u32 {\n  return nothing;\n}");
    assert!(matches!(&error, KernelError::Wgsl { place: at, .. } if *at == place), "{error}");
    let error = refuse(0x101, "fn bad(job: Job) -> u32 {\n  finish(job.slot, 3u); return 0u;\n}");
    let (place, name) = (at("bad.wgsl", 2, 3), "finish".to_owned());
    assert_eq!(error, KernelError::NotForHandlers { place, name });
    let error = refuse(opcode::STORE_U32, "fn bad(job: Job) -> u32 { return 0u; }");
    assert!(matches!(error, KernelError::NotUserOpcode { opcode: opcode::STORE_U32, .. }));
}

#[test]
fn shared_variables_entry_points_and_overrides_are_refused() {
    for (source, place, declaration, name) in [
        (
            "// mine\n@group(0) @binding(9) var<storage> mine: array<u32>;",
            at("bad.wgsl", 2, 23),
            Declaration::Variable,
            "mine",
        ),
        ("var<workgroup> mine: u32;", at("bad.wgsl", 1, 1), Declaration::Variable, "mine"),
        (
            "// fn mine()\nfn mine_too() {}\n@compute @workgroup_size(1) fn mine() {}",
            at("bad.wgsl", 3, 32),
            Declaration::EntryPoint,
            "mine",
        ),
        ("override mine: u32 = 1u;", at("bad.wgsl", 1, 1), Declaration::Override, "mine"),
    ] {
        let name = name.to_owned();
        assert_eq!(refuse(source), KernelError::Declares { place, declaration, name });
    }
}

#[test]
fn private_variables_and_shared_functions_of_a_file_are_allowed() {
    let source = "var<private> sum: u32;\n\
         fn add(x: u32) -> u32 { sum += x; return sum; }\n\
         fn one(job: Job) -> u32 { observe(0u, add(1u)); return HANDLER_OK; }\n\
         fn two(job: Job) -> u32 { observe(0u, add(2u)); return fault(70u); }\n";
    let one = Handler::wgsl(0x100, "one", "both.wgsl", source);
    let two = Handler::wgsl(0x101, "two", "both.wgsl", source);
    let kernel = Kernel::builder().handler(one).handler(two).build().unwrap();
    assert_eq!(kernel.source().matches("fn add(").count(), 1);
}

#[test]
fn a_barrier_is_refused() {
    let error = refuse("fn bad(job: Job) -> u32 {\n    storageBarrier();\n    return 0u;\n}");
    assert_eq!(error, KernelError::Barrier { place: at("bad.wgsl", 2, 5) });
}

#[test]
fn what_is_not_in_the_handler_api_is_refused() {
    for (source, column, name) in [
        ("fn bad(job: Job) -> u32 {\n  workspace[0] = 1u; return 0u;\n}", 3, "workspace"),
        ("fn bad(job: Job) -> u32 {\n  finish(job.slot, 3u); return 0u;\n}", 3, "finish"),
    ] {
        let (place, name) = (at("bad.wgsl", 2, column), name.to_owned());
        assert_eq!(refuse(source), KernelError::NotForHandlers { place, name });
    }
}

#[test]
fn a_name_of_the_kernel_is_taken() {
    let error = refuse("const x = 1;\nfn claim() {}\n");
    let KernelError::NameTaken { place, name, taken_by } = error else { panic!("{error}") };
    assert_eq!((place, name.as_str()), (at("bad.wgsl", 2, 4), "claim"));
    assert_eq!(taken_by.file, "slipring/slot.wgsl");
}

#[test]
fn a_name_of_another_handler_is_taken() {
    let error =
        refuse("fn bad(job: Job) -> u32 { return good(); }\nfn good() -> u32 { return 0u; }");
    let (place, taken_by) = (at("bad.wgsl", 2, 4), at("good.wgsl", 1, 4));
    assert_eq!(error, KernelError::NameTaken { place, name: "good".to_owned(), taken_by });
}

#[test]
fn a_file_does_not_change_what_a_name_means_in_another() {
    // `good.wgsl` and `user.wgsl` stand by themselves; `max` of the one would be the other's.
    for declaration in [
        "fn max(a: u32, b: u32) -> u32 { return a + b; }",
        "/* max */ alias\nmax = u32;",
        "var<private> max: u32;",
    ] {
        let source = format!("{declaration}\nfn bad(job: Job) -> u32 {{ return 0u; }}");
        let user = Handler::wgsl(
            0x102,
            "user",
            "user.wgsl",
            "// max\nfn user(job: Job) -> u32 {\n    return max(arg(job, 0u), 64u);\n}",
        );
        let bad = Handler::wgsl(0x101, "bad", "bad.wgsl", source);
        let error = Kernel::builder().handler(bad).handler(user).build().unwrap_err();
        let KernelError::NameTaken { place, name, taken_by } = error else { panic!("{error}") };
        assert_eq!((place, name.as_str()), (at("user.wgsl", 3, 12), "max"));
        assert_eq!(taken_by.file, "bad.wgsl");
    }
}

#[test]
fn a_name_bound_in_a_function_is_its_own() {
    let first = "fn sum(a: u32) -> u32 { return a; }\nfn one(job: Job) -> u32 { return sum(0u); }";
    let second = "struct Pair { sum: u32 }\nfn two(job: Job) -> u32 {\n\
         let pair = Pair(0u); let sum = pair.sum; return sum;\n}";
    let [first, second] = [(0x101, "one", first), (0x102, "two", second)]
        .map(|(opcode, name, source)| Handler::wgsl(opcode, name, format!("{name}.wgsl"), source));
    assert!(Kernel::builder().handler(first).handler(second).build().is_ok());
}

#[test]
fn what_belongs_to_other_stages_is_refused_where_it_stands() {
    for (statement, what) in [("discard;", "`discard`"), ("let x = dpdx(1.0);", "a derivative")] {
        let source = format!("fn bad(job: Job) -> u32 {{\n    {statement}\n    return 0u;\n}}");
        let error = refuse(source);
        let KernelError::WrongStage { place, what: told } = error else { panic!("{error}") };
        assert_eq!((place.file.as_str(), place.line, told), ("bad.wgsl", 2, what));
    }
}

#[test]
fn the_first_of_several_problems_is_told() {
    let error = refuse("fn bad(job: Job) -> u32 {\n    storageBarrier();\n    discard;\n}");
    assert_eq!(error, KernelError::Barrier { place: at("bad.wgsl", 2, 5) });
}

#[test]
fn functions_that_call_each_other_over_and_over_are_counted_once() {
    let mut source = "fn f0() { for (var i = 0u; i < 2u; i++) {} }\n".to_owned();
    for n in 1..64 {
        let callee = n - 1;
        source.push_str(&format!("fn f{n}() {{ f{callee}(); f{callee}(); }}\n"));
    }
    source.push_str("fn bad(job: Job) -> u32 { f63(); return 0u; }");
    let error = refuse(source);
    assert!(matches!(error, KernelError::IterationsUnknown { loops: 0x8000_0000_0000_0000, .. }));
}

#[test]
fn a_name_of_wgsl_that_the_kernel_uses_is_not_hidden() {
    for source in [
        "fn min(a: u32, b: u32) -> u32 { return a; }\nfn bad(job: Job) -> u32 { return 0u; }",
        "fn select(x: f32) {}\nfn bad(job: Job) -> u32 { return 0u; }",
        "alias u32 = i32;\nfn bad(job: Job) -> u32 { return 0u; }",
        "fn atomicAdd(a: u32) {}\nfn bad(job: Job) -> u32 { return 0u; }",
    ] {
        let error = refuse(source);
        let KernelError::HidesBuiltin { place, name } = &error else { panic!("{error}") };
        assert_eq!((place.file.as_str(), place.line), ("bad.wgsl", 1));
        assert!(source.contains(name.as_str()) && place.column > 3, "{error}");
    }
}

#[test]
fn a_variable_too_large_for_a_lane_is_refused_with_both_numbers() {
    for (source, name, bytes) in [
        ("fn bad(job: Job) -> u32 { var h: array<u32, 257>; return h[0]; }", "h", 1028),
        (
            "var<private> t: array<u32, 100000000>;\nfn bad(job: Job) -> u32 { return t[0]; }",
            "t",
            400_000_000,
        ),
    ] {
        let KernelError::TooLarge { place, name: told, bytes: had } = refuse(source) else {
            panic!("{}", refuse(source))
        };
        assert_eq!((place.file.as_str(), told.as_str(), had), ("bad.wgsl", name, bytes));
        assert!(refuse(source).to_string().contains("1024"));
    }
    let source = "fn bad(job: Job) -> u32 { var h: array<u32, 256>; return h[0]; }";
    let fits = Handler::wgsl(0x101, "bad", "bad.wgsl", source);
    assert!(Kernel::builder().handler(fits).build().is_ok());
}

#[test]
fn k6_a_syntax_error_is_reported_in_the_users_file() {
    let error = refuse("fn bad(job: Job) -> u32 {\n    return 1u +;\n}\n");
    let KernelError::Wgsl { place, message } = &error else { panic!("{error}") };
    assert_eq!(*place, at("bad.wgsl", 2, 16));
    assert!(message.contains("expected"), "{message}");
}

#[test]
fn k6_a_type_error_is_reported_in_the_users_file() {
    let error = refuse(
        "fn bad(job: Job) -> u32 {\n    let é = 1u; let x: i32 = arg(job, 0u);\n    return 0u;\n}\n",
    );
    let KernelError::Wgsl { place, message } = &error else { panic!("{error}") };
    assert_eq!((place.file.as_str(), place.line), ("bad.wgsl", 2), "{error}");
    assert!(message.contains("i32"), "{message}");
}

#[test]
fn k6_a_validation_error_is_reported_in_the_users_file() {
    let error = refuse(
        "fn bad(job: Job) -> u32 {\n    if job.count == 1u {\n        return 0u;\n    }\n}\n",
    );
    let KernelError::Wgsl { place, message } = &error else { panic!("{error}") };
    assert_eq!(place.file, "bad.wgsl", "{error}");
    assert!(message.contains("return"), "{message}");
}

#[test]
fn k6_an_unknown_name_is_reported_in_the_users_file() {
    let error = refuse("fn bad(job: Job) -> u32 {\n    return missing(job);\n}\n");
    assert_eq!(
        error.to_string(),
        "bad.wgsl:2:12: no definition in scope for identifier: `missing`; unknown identifier"
    );
}

#[test]
fn an_unclosed_brace_is_reported_at_the_end_of_its_file() {
    let handlers = [
        Handler::wgsl(0x101, "bad", "bad.wgsl", "fn bad(job: Job) -> u32 {\n    return 0u;\n"),
        good(),
    ];
    for handlers in [handlers.clone(), [handlers[1].clone(), handlers[0].clone()]] {
        let [first, second] = handlers;
        let error = Kernel::builder().handler(first).handler(second).build().unwrap_err();
        let KernelError::Wgsl { place, .. } = &error else { panic!("{error}") };
        assert_eq!(*place, at("bad.wgsl", 3, 1), "{error}");
    }
}

#[test]
fn an_unclosed_comment_is_reported_in_its_file() {
    let error = refuse("fn bad(job: Job) -> u32 { return 0u; }\n/* more");
    let KernelError::Wgsl { place, .. } = &error else { panic!("{error}") };
    assert_eq!((place.file.as_str(), place.line), ("bad.wgsl", 2), "{error}");
}

#[test]
fn a_comment_without_a_line_end_stays_in_its_file() {
    let first = Handler::wgsl(0x101, "a", "a.wgsl", "fn a(job: Job) -> u32 { return 0u; } // end");
    assert!(Kernel::builder().handler(first).handler(good()).build().is_ok());
}

#[test]
fn loops_must_be_declared() {
    let source = "fn helper() { for (var i = 0u; i < 4u; i++) {} }\n\
         fn bad(job: Job) -> u32 { helper(); loop { break; } return 0u; }";
    let (place, function) = (at("bad.wgsl", 2, 1), "bad".to_owned());
    assert_eq!(
        refuse(source),
        KernelError::IterationsUnknown { place, function, loops: 2, iterations: 0 }
    );
    let told = Handler::wgsl(0x101, "bad", "bad.wgsl", source).iterations(6);
    assert!(Kernel::builder().handler(told).build().is_ok());
}
