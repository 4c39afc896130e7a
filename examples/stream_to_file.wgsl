// Turns a chunk's letters into capitals, in place, and has the host write it to a file.
//
// arg 0: the chunk's first word in the arena  arg 1: its bytes
// arg 3: which chunk                          arg 5, 6: where it starts in the stream
// arg 7: the file's handle                    arg 8: the handle of chunk 0 as a region

fn capitalize(job: Job) -> u32 {
    if is_resumed(job) {
        return select(fault(64u), HANDLER_OK, io_bytes(job) == arg(job, 1u));
    }
    let first = arg(job, 0u);
    for (var i = 0u; i < (arg(job, 1u) + 3u) / 4u; i++) {
        var bytes = unpack4xU8(arena_load(first + i));
        let is_letter = (bytes >= vec4<u32>(0x61u)) & (bytes <= vec4<u32>(0x7Au));
        bytes = select(bytes, bytes - 0x20u, is_letter);
        arena_store(first + i, pack4xU8(bytes));
    }
    return request_io(
        job, IO_WRITE, arg(job, 8u) + arg(job, 3u), arg(job, 7u), arg(job, 5u), arg(job, 6u),
        arg(job, 1u),
    );
}
