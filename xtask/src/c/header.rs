//! `include/slipring.h`: core's constants, and what the static library exports.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use cbindgen::{Builder, Config, DocumentationStyle, Language, SortKey, Style};
use slipring_core::slot::{self, Priority, fault, status, word};
use slipring_core::{control, debug_log, io_queue, layout, opcode};

use crate::command::root;

const HEAD: &str = "/* slipring for C firmware: the layout of a row, publishing in a ring, and the
 * microcontroller's side of a link.
 *
 * Made by `cargo xtask c --write` from slipring-core; `cargo xtask check` compares the two. */";

/// The committed header.
pub fn path() -> PathBuf {
    root().join("include/slipring.h")
}

/// The header as it has to be.
pub fn make() -> Result<String, String> {
    let mut config = Config {
        language: Language::C,
        style: Style::Tag,
        header: Some(HEAD.to_owned()),
        include_guard: Some("SLIPRING_H".to_owned()),
        sys_includes: ["stdbool.h", "stddef.h", "stdint.h"].map(str::to_owned).to_vec(),
        no_includes: true,
        after_includes: Some(constants()),
        cpp_compat: true,
        usize_is_size_t: true,
        documentation_style: DocumentationStyle::C,
        line_length: 100,
        ..Config::default()
    };
    config.function.sort_by = Some(SortKey::None);
    config.constant.sort_by = Some(SortKey::None);
    let library = root().join("c");
    let bindings = Builder::new()
        .with_config(config)
        .with_crate(&library)
        .generate()
        .map_err(|error| format!("{}: {error}", library.display()))?;
    let mut header = Vec::new();
    bindings.write(&mut header);
    let header = String::from_utf8(header).map_err(|error| error.to_string())?;
    // Rust's word for what a caller has to see to.
    Ok(join_short_comments(&header.replace("# Safety", "The caller sees to it that:")))
}

/// Comments of one line, on one line.
fn join_short_comments(header: &str) -> String {
    let lines: Vec<&str> = header.lines().collect();
    let (mut joined, mut at) = (String::new(), 0);
    while at < lines.len() {
        let is_short =
            lines[at].trim() == "/*" && lines.get(at + 2).is_some_and(|line| line.trim() == "*/");
        let (line, taken) = match is_short {
            true => (format!("{} {} */", lines[at], lines[at + 1].trim()), 3),
            false => (lines[at].to_owned(), 1),
        };
        let _ = writeln!(joined, "{line}");
        at += taken;
    }
    joined
}

/// Compares the committed header, or writes it.
pub fn check(writes: bool) -> Result<(), String> {
    let (path, header) = (path(), make()?);
    if writes {
        return fs::write(&path, header).map_err(|error| format!("{}: {error}", path.display()));
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if committed != header {
        return Err(format!(
            "{} is not what the library is; write it with: cargo xtask c --write",
            path.display()
        ));
    }
    Ok(())
}

/// Core's constants as macros, in groups.
fn constants() -> String {
    let mut text = String::new();
    let mut group = |about: &str, constants: &[(&str, u64)]| {
        let _ = writeln!(text, "\n/* {about} */");
        for (name, value) in constants {
            let _ = writeln!(text, "#define SLIPRING_{name} {value}u");
        }
    };
    group(
        "A slot of the ring, in words of 32 bits: where each is.",
        &[
            ("SLOT_WORDS", slot::WORDS as u64),
            ("SLOT_STATUS", word::STATUS as u64),
            ("SLOT_OPCODE", word::OPCODE as u64),
            ("SLOT_TENANT", word::TENANT as u64),
            ("SLOT_PRIORITY", word::PRIORITY as u64),
            ("SLOT_FIRST_ARG", word::ARGS as u64),
            ("SLOT_ARGS", slot::ARGS as u64),
        ],
    );
    group(
        "What a status word says in its low byte; a detail is in the next one.",
        &[
            ("STATUS_EMPTY", status::EMPTY.into()),
            ("STATUS_PUBLISHED", status::PUBLISHED.into()),
            ("STATUS_CLAIMED", status::CLAIMED.into()),
            ("STATUS_DONE", status::DONE.into()),
            ("STATUS_WAIT_IO", status::WAIT_IO.into()),
            ("STATUS_FAULT", status::FAULT.into()),
            ("STATUS_MASK", status::MASK.into()),
            ("STATUS_DETAIL_SHIFT", status::DETAIL_SHIFT.into()),
        ],
    );
    group(
        "Fault codes.",
        &[
            ("FAULT_OPCODE", fault::OPCODE.into()),
            ("FAULT_TENANT", fault::TENANT.into()),
            ("FAULT_PROTECTED", fault::PROTECTED.into()),
            ("FAULT_RANGE", fault::RANGE.into()),
            ("FAULT_PACKED", fault::PACKED.into()),
            ("FAULT_IO", fault::IO.into()),
            ("FAULT_LIMIT", fault::LIMIT.into()),
            ("FAULT_USER_MIN", fault::USER_MIN.into()),
            ("FAULT_USER_MAX", fault::USER_MAX.into()),
        ],
    );
    group(
        "Opcodes that are built in; handlers have others.",
        &[
            ("OPCODE_NOP", opcode::NOP.into()),
            ("OPCODE_STORE_U32", opcode::STORE_U32.into()),
            ("OPCODE_ATOMIC_ADD", opcode::ATOMIC_ADD.into()),
            ("OPCODE_LOAD_U32", opcode::LOAD_U32.into()),
            ("OPCODE_COMPARE_SWAP", opcode::COMPARE_SWAP.into()),
            ("OPCODE_MEMCPY", opcode::MEMCPY.into()),
            ("OPCODE_DFA_STEP", opcode::DFA_STEP.into()),
            ("OPCODE_BATCH_FENCE", opcode::BATCH_FENCE.into()),
            ("OPCODE_LOAD_MISS", opcode::LOAD_MISS.into()),
            ("OPCODE_PRINTF", opcode::PRINTF.into()),
            ("OPCODE_PACKED_SLOT", opcode::PACKED_SLOT.into()),
            ("OPCODE_SHUTDOWN", opcode::SHUTDOWN.into()),
        ],
    );
    let level = |priority: Priority| u64::from(priority.level());
    group(
        "Priorities.",
        &[
            ("PRIORITY_CRITICAL", level(Priority::Critical)),
            ("PRIORITY_HIGH", level(Priority::High)),
            ("PRIORITY_NORMAL", level(Priority::Normal)),
            ("PRIORITY_LOW", level(Priority::Low)),
            ("PRIORITY_IDLE", level(Priority::Idle)),
        ],
    );
    group(
        "The other buffers, in words: the control buffer without observables, then one each.",
        &[
            ("CONTROL_WORDS", control::word::OBSERVABLES as u64),
            ("CONTROL_OBSERVABLES", control::word::OBSERVABLES as u64),
            ("DEBUG_LOG_HEAD_WORDS", debug_log::word::RECORDS as u64),
            ("DEBUG_RECORD_WORDS", debug_log::RECORD_WORDS as u64),
            ("IO_SLOT_WORDS", io_queue::SLOT_WORDS as u64),
        ],
    );
    group(
        "Limits, and what a host has that says nothing else.",
        &[
            ("TENANTS", control::TENANTS.into()),
            ("MAX_SLOTS", layout::MAX_SLOTS.into()),
            ("MAX_IO_SLOTS", layout::MAX_IO_SLOTS.into()),
            ("DEFAULT_DEBUG_RECORDS", layout::DEFAULT_DEBUG_RECORDS.into()),
        ],
    );
    text
}
