// CRC-32 (IEEE 802.3, reflected) of one chunk of the arena, four bytes at a time.
//
// arg 0: the chunk's first word    arg 1: its bytes    arg 3: the observable for the result
// Words 0..1024 of the workspace are the four tables of slicing-by-4.

const CHUNK_TOO_LONG = 64u;
const NO_OBSERVABLE = 65u;
const CHUNK_BYTES = 16384u;

fn crc32(job: Job) -> u32 {
    let first = arg(job, 0u);
    let bytes = arg(job, 1u);
    if bytes > CHUNK_BYTES {
        return fault(CHUNK_TOO_LONG);
    }
    var crc = 0xffffffffu;
    for (var word = 0u; word < bytes / 4u; word++) {
        let x = crc ^ arena_load(first + word);
        crc = workspace_load(768u + (x & 0xffu))
            ^ workspace_load(512u + ((x >> 8u) & 0xffu))
            ^ workspace_load(256u + ((x >> 16u) & 0xffu))
            ^ workspace_load(x >> 24u);
    }
    let tail = arena_load(first + bytes / 4u);
    for (var byte = 0u; byte < bytes % 4u; byte++) {
        crc = workspace_load((crc ^ (tail >> (8u * byte))) & 0xffu) ^ (crc >> 8u);
    }
    if !observe(arg(job, 3u), ~crc) {
        return fault(NO_OBSERVABLE);
    }
    return HANDLER_OK;
}
