// The buffers and their layout. Constants come from slipring-core, written before this text;
// a test compares these structs with its word offsets.

struct Slot {
    status: atomic<u32>,
    opcode: u32,
    tenant: u32,
    priority: u32,
    args: array<u32, SLOT_ARGS>,
}

struct IoSlot {
    op: atomic<u32>,
    source: atomic<u32>,
    destination: atomic<u32>,
    offset_low: atomic<u32>,
    offset_high: atomic<u32>,
    byte_count: atomic<u32>,
    status: atomic<u32>,
    tag: atomic<u32>,
}

// Which entries of the work list this dispatch takes, and in which segment. If it stays: how many
// passes of loops a lane makes, as how many of them a look counts, how many more its jobs may make,
// and with which of its entries it begins.
struct Run {
    offset: u32,
    count: u32,
    passes: u32,
    look_passes: u32,
    budget: u32,
    segment: u32,
    first: u32,
    unused: u32,
}

@group(0) @binding(0) var<storage, read_write> control: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read_write> ring: array<Slot>;
@group(0) @binding(2) var<storage, read_write> debug_log: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read_write> io_queue: array<IoSlot>;
@group(0) @binding(4) var<storage, read_write> workspace: array<u32>;
@group(0) @binding(5) var<storage, read_write> arena: array<u32>;
@group(0) @binding(6) var<storage, read> work_list: array<u32>;
@group(0) @binding(7) var<uniform> run: Run;
