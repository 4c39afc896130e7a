// Looks a key up in an index on disk, one block at a time: the slot waits while the host reads the
// block that comes next.
//
// arg 0: the key              arg 1: the first word of its region of the arena
// arg 2: the region's handle  arg 3: the index's handle
// arg 4: the observable for the value, and the workspace word that counts blocks
//
// A block: word 0 is how many entries it has, word 1 is 0 in a leaf. From word 2 on come keys,
// ascending; from word 514 on the values, which are the blocks below, but for those of a leaf.

const BLOCK_BYTES = 4096u;
const MOST_ENTRIES = 64u;
const KEYS = 2u;
const VALUES = 514u;
const MOST_BLOCKS = 8u;

const NO_BLOCK = 64u;
const NOT_FOUND = 65u;
const TOO_DEEP = 66u;

fn walk(job: Job) -> u32 {
    let key = arg(job, 0u);
    let first = arg(job, 1u);
    var block = 0u;
    var blocks = 0u;
    if is_resumed(job) {
        let entries = min(arena_load(first), MOST_ENTRIES);
        if io_bytes(job) != BLOCK_BYTES || entries == 0u {
            return fault(NO_BLOCK);
        }
        // The last entry whose key is not beyond the one that is looked for.
        var entry = 0u;
        for (var i = 1u; i < entries; i++) {
            if arena_load(first + KEYS + i) <= key {
                entry = i;
            }
        }
        let value = arena_load(first + VALUES + entry);
        if arena_load(first + 1u) == 0u {
            if arena_load(first + KEYS + entry) != key {
                return fault(NOT_FOUND);
            }
            observe(arg(job, 4u), value);
            return HANDLER_OK;
        }
        block = value;
        blocks = workspace_load(arg(job, 4u));
    }
    if blocks == MOST_BLOCKS {
        return fault(TOO_DEEP);
    }
    workspace_store(arg(job, 4u), blocks + 1u);
    // Bytes of a block, as 64 bits.
    return request_io(
        job, IO_READ, arg(job, 3u), arg(job, 2u), block << 12u, block >> 20u, BLOCK_BYTES,
    );
}
