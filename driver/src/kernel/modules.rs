//! The WGSL that a kernel is put together from.

use super::{abi, handler::Handler, source::Source};
use slipring_core::opcode;
use std::fmt::Write;

/// A module's name and text.
pub(super) type Module = (&'static str, &'static str);

/// The module that handlers may use.
pub(super) const HANDLER_API: &str = "slipring/handler_api.wgsl";

/// The modules of every kernel.
pub(super) const COMMON: &[Module] = &[
    ("slipring/bindings.wgsl", include_str!("../../shaders/bindings.wgsl")),
    (HANDLER_API, include_str!("../../shaders/handler_api.wgsl")),
    ("slipring/debug_log.wgsl", include_str!("../../shaders/debug_log.wgsl")),
    ("slipring/slot.wgsl", include_str!("../../shaders/slot.wgsl")),
    ("slipring/io.wgsl", include_str!("../../shaders/io.wgsl")),
    ("slipring/drain.wgsl", include_str!("../../shaders/drain.wgsl")),
    ("slipring/fence.wgsl", include_str!("../../shaders/fence.wgsl")),
    ("slipring/persist.wgsl", include_str!("../../shaders/persist.wgsl")),
];
/// What runs a slot in the ordinary kernel: any opcode, packed or not.
pub(super) const INTERPRETER: &[Module] = &[
    ("slipring/load_miss.wgsl", include_str!("../../shaders/load_miss.wgsl")),
    ("slipring/opcodes.wgsl", include_str!("../../shaders/opcodes.wgsl")),
    ("slipring/packed.wgsl", include_str!("../../shaders/packed.wgsl")),
];
/// And in a fused one.
pub(super) const FUSED: &[Module] =
    &[("slipring/fused.wgsl", include_str!("../../shaders/fused.wgsl"))];

/// Everything but the users' files.
pub(super) fn kernel_source(handlers: &[Handler], is_fused: bool) -> Source {
    let mut source = Source::default();
    source.push_kernel("slipring/abi.wgsl", &abi::prelude(segments(handlers)));
    for (file, text) in COMMON.iter().chain(if is_fused { FUSED } else { INTERPRETER }) {
        source.push_kernel(file, text);
    }
    source.push_kernel("slipring/run_user.wgsl", &run_user(handlers));
    source
}

/// Segments of a kernel of these handlers.
pub(super) fn segments(handlers: &[Handler]) -> u32 {
    handlers.iter().map(Handler::max_segments).max().unwrap_or(1)
}

/// The switch over user opcodes.
fn run_user(handlers: &[Handler]) -> String {
    if handlers.is_empty() {
        return "fn run_user(job: Job) -> u32 {\n    return fault_status(FAULT_OPCODE);\n}\n"
            .to_owned();
    }
    let mut text = String::from(
        "fn run_user(job: Job) -> u32 {\n    var code = HANDLER_OK;\n    \
         var is_packable = false;\n    io_answer = HANDLER_OK;\n    switch job.opcode {\n",
    );
    for handler in handlers {
        let (opcode, function) = (handler.opcode(), handler.function());
        let iterations = handler.max_iterations();
        let is_packable = opcode::is_packable(opcode);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "        case {opcode}u: {{ extra_iterations += {iterations}u; \
             is_packable = {is_packable}; code = {function}(job); }}"
        );
    }
    text.push_str("        default: { return fault_status(FAULT_OPCODE); }\n    }\n");
    text.push_str("    return handler_status(code, is_packable);\n}\n");
    text
}
