//! What there is to replay: the table of tests/golden, op by op.

use super::case::Case;
use super::{
    Outcome, constants, control, debug_log, encode, io_queue, layout, packed, publish, readback,
};

pub struct File {
    name: &'static str,
    ops: &'static [Op],
}

pub struct Op {
    name: &'static str,
    /// The fields of a case; "?" marks those that may be absent.
    pub inputs: &'static str,
    /// The fields of an expectation, beside ok, err, detail, pipeline_err and lenient.
    pub expects: &'static str,
    pub replay: Replay,
}

pub enum Replay {
    /// A call of core's.
    Host(fn(&Case<'_>) -> Outcome),
    /// A drain, on every runner.
    Device,
    /// Not replayed, for this reason.
    Not(&'static str),
}

/// The file of this name.
pub fn file(name: &str) -> Result<&'static File, String> {
    let file = FILES.iter().find(|file| file.name == name);
    file.ok_or_else(|| "no file of this name is known".to_owned())
}

impl File {
    pub fn op(&self, name: &str) -> Option<&'static Op> {
        self.ops.iter().find(|op| op.name == name)
    }
}

type Call = fn(&Case<'_>) -> Outcome;

const fn host(name: &'static str, inputs: &'static str, call: Call) -> Op {
    after(name, inputs, "", call)
}

const fn after(name: &'static str, inputs: &'static str, expects: &'static str, call: Call) -> Op {
    Op { name, inputs, expects, replay: Replay::Host(call) }
}

const fn not(
    name: &'static str,
    inputs: &'static str,
    expects: &'static str,
    reason: &'static str,
) -> Op {
    Op { name, inputs, expects, replay: Replay::Not(reason) }
}

const PASS: &str = "kernel slots passes note? lane_order_matters? control ring debug_log io_queue";

const DESCRIPTORS: &str = "item 17: descriptors are not ours, and leave half of themselves behind";
const TELEMETRY: &str = "telemetry, later";
const SCHEDULER: &str = "item 6: the reference's scheduler";
const INGEST: &str = "item 13: ingest does not use the IO queue";
const LOAD_MISS: &str = "item 11: LOAD_MISS is published like any opcode, without an encoder";
const REGISTRY: &str = "item 5: the reference's registry; our tenant table has its own tests";

const FILES: &[File] = &[
    File {
        name: "batch_publish",
        ops: &[
            after("batch_publish", "ring start tenant items tag", "ring_after", publish::batch),
            not("batch_descriptor_publish", "ring start items", "ring_after", DESCRIPTORS),
            not(
                "window_descriptor_publish",
                "ring start tenant opcode ticket required lookahead",
                "ring_after",
                DESCRIPTORS,
            ),
            host("builtin_opcode_wire", "builtin", layout::builtin_wire),
        ],
    },
    File {
        name: "byte_len",
        ops: &[
            host("control_byte_len", "n", layout::control_byte_len),
            host("ring_byte_len", "n", layout::ring_byte_len),
            host("debug_log_byte_len", "n", layout::debug_log_byte_len),
        ],
    },
    File { name: "constants", ops: &[host("const", "", constants::constant)] },
    File {
        name: "control_read",
        ops: &[
            host("read_done_count", "control", control::done_count),
            host("read_epoch", "control", control::epoch),
            host("read_metrics", "control", control::metrics),
            after("try_read_metrics_into", "control out", "out_after", control::metrics_into),
            host("read_observable", "control index", control::observable),
            not("control_snapshot", "control", "", TELEMETRY),
        ],
    },
    File {
        name: "debug_log",
        ops: &[after("read_debug_log", "debug_log", "out_after", debug_log::read)],
    },
    File {
        name: "empty_buffers",
        ops: &[
            host("encode_empty_ring", "slots", encode::empty_ring),
            host("encode_empty_debug_log", "records", encode::empty_debug_log),
            host("encode_empty_io_queue", "slots", encode::empty_io_queue),
            host("io_queue_new", "slots", encode::io_queue_new),
            after("encode_empty_ring_into", "slots dst", "dst_after", encode::empty_ring_into),
            after(
                "encode_empty_debug_log_into",
                "records dst",
                "dst_after",
                encode::empty_debug_log_into,
            ),
            after(
                "encode_empty_io_queue_into",
                "slots dst",
                "dst_after",
                encode::empty_io_queue_into,
            ),
            host("validate_io_queue_bytes", "len", io_queue::validate),
        ],
    },
    File {
        name: "encode_control",
        ops: &[host(
            "encode_control",
            "shutdown tenant_count observable_slots",
            layout::encode_control,
        )],
    },
    File {
        name: "gpu_direct",
        ops: &[Op { name: "gpu_pass", inputs: PASS, expects: "", replay: Replay::Device }],
    },
    File {
        name: "gpu_load_miss",
        ops: &[not("gpu_pass", PASS, "", "item 11: another kernel, whose order is not ours")],
    },
    File {
        name: "gpu_priority",
        ops: &[not("gpu_pass", PASS, "", "item 6: another kernel, whose order is not ours")],
    },
    File {
        name: "io_completion",
        ops: &[
            not("io_publish_slot", "io_queue slot mapped_slot byte_count tag", "io_after", INGEST),
            not("io_submit_dma_read", "io_queue slot src dst byte_count tag", "io_after", INGEST),
            not("io_completion", "io_queue slot", "", INGEST),
            not("poll_io_requests", "io_queue", "", INGEST),
            not("ingest_driver", "io_queue driver_slots slot_bytes rounds", "io_after", INGEST),
        ],
    },
    File {
        name: "io_queue",
        ops: &[
            host("poll_io_requests", "io_queue", io_queue::poll),
            after("claim_io_requests", "io_queue", "io_after", io_queue::claim),
            after(
                "complete_io_requests_batch",
                "io_queue completions",
                "io_after",
                io_queue::complete,
            ),
        ],
    },
    File {
        name: "load_miss",
        ops: &[
            not("encode_load_miss", "resource_id prefetch", "", LOAD_MISS),
            not("decode_load_miss", "ring slot", "", LOAD_MISS),
            after("publish_slot", "ring slot tenant opcode args", "ring_after", publish::slot),
            not("host_ring_publish", "ring slot encoded", "ring_after done_count_after", LOAD_MISS),
        ],
    },
    File { name: "opcode", ops: &[host("classify_opcode", "opcode", layout::classify_opcode)] },
    File {
        name: "packed_slot",
        ops: &[after("publish_packed_slot", "ring slot tenant ops", "ring_after", packed::slot)],
    },
    File {
        name: "priority",
        ops: &[
            host("default_priority_offsets", "total_slots", control::default_partitions),
            after(
                "write_default_priority_offsets",
                "control total_slots",
                "control_after",
                control::write_partitions,
            ),
            not("priority_partition_probes", "partition_slots worker_width", "", SCHEDULER),
            not("worker_groups_for_geometry", "slot_count workgroup_size_x", "", SCHEDULER),
        ],
    },
    File {
        name: "publish_slot",
        ops: &[after("publish_slot", "ring slot tenant opcode args", "ring_after", publish::slot)],
    },
    File {
        name: "readback",
        ops: &[
            host("readback_from_outputs", "lens slot_count", readback::from_outputs),
            host("readback_slot_count", "ring_len", readback::slot_count),
            host("resident_new", "slots tenants observables", readback::new_row),
            host("resident_from_parts", "lens slot_count", readback::from_parts),
        ],
    },
    File {
        name: "ring_count",
        ops: &[
            host("count_done_ring_slots", "ring item_count", readback::done_slots),
            not("ring_occupancy", "control ring", "", TELEMETRY),
        ],
    },
    File {
        name: "tenant",
        ops: &[
            not("tenant_register", "nth", "", REGISTRY),
            not(
                "tenant_publish_slot",
                "tenant_id max_outstanding ring slot local_opcode args",
                "ring_after published_count",
                REGISTRY,
            ),
        ],
    },
    File {
        name: "work_items",
        ops: &[
            after(
                "publish_work_items",
                "ring start tenant items",
                "ring_after",
                publish::work_items,
            ),
            after(
                "encode_work_items_ring_into",
                "ring slots tenant items",
                "ring_after",
                encode::work_items,
            ),
            after(
                "encode_work_items_ring_words_into",
                "ring slots tenant items",
                "ring_after",
                encode::work_items_words,
            ),
        ],
    },
];
