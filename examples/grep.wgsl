// How often a pattern of 1 to 64 bytes begins in one chunk of the arena: the shift-and search of
// Baeza-Yates and Gonnet, which takes one step a byte, whatever text and pattern are.
//
// arg 0: the chunk's first word    arg 1: its bytes    arg 2: those that are its own
// arg 3: the observable for the result    arg 7: the pattern's bytes
// Words 0..256 of the workspace say of each byte at which of the pattern's first 32 places it
// stands, a bit each; words 256..512 say so of the other 32.

const CHUNK_TOO_LONG = 64u;
const NO_OBSERVABLE = 65u;
const CHUNK_BYTES = 32768u;

struct Search {
    // Bit i: the last i + 1 bytes are the pattern's first ones.
    low: u32,
    high: u32,
    // The pattern's last place.
    last: u32,
    count: u32,
}

fn step(search: ptr<function, Search>, byte: u32) {
    let carry = (*search).low >> 31u;
    (*search).low = (((*search).low << 1u) | 1u) & workspace_load(byte);
    if (*search).last < 32u {
        (*search).count += ((*search).low >> (*search).last) & 1u;
        return;
    }
    (*search).high = (((*search).high << 1u) | carry) & workspace_load(256u + byte);
    (*search).count += ((*search).high >> ((*search).last - 32u)) & 1u;
}

fn grep(job: Job) -> u32 {
    let first = arg(job, 0u);
    let last = (arg(job, 7u) - 1u) % 64u;
    // What begins in the chunk's last own byte ends `last` bytes behind it.
    let bytes = min(arg(job, 1u), arg(job, 2u) + last);
    if bytes > CHUNK_BYTES {
        return fault(CHUNK_TOO_LONG);
    }
    var search = Search(0u, 0u, last, 0u);
    for (var word = 0u; word < bytes / 4u; word++) {
        let text = arena_load(first + word);
        step(&search, text & 0xffu);
        step(&search, (text >> 8u) & 0xffu);
        step(&search, (text >> 16u) & 0xffu);
        step(&search, text >> 24u);
    }
    let tail = arena_load(first + bytes / 4u);
    for (var byte = 0u; byte < bytes % 4u; byte++) {
        step(&search, (tail >> (8u * byte)) & 0xffu);
    }
    if !observe(arg(job, 3u), search.count) {
        return fault(NO_OBSERVABLE);
    }
    return HANDLER_OK;
}
