// The sums of a chunk, as `sums.wgsl` has them, into observables 2 c and 2 c + 1 of chunk c.

fn add_up(job: Job) -> u32 {
    let first = arg(job, 0u);
    var plain = vec4(0u);
    var placed = vec4(0u);
    for (var i = 0u; i < arg(job, 1u) / 4u; i += 4u) {
        let word = first + i;
        let words = vec4(
            arena_load(word),
            arena_load(word + 1u),
            arena_load(word + 2u),
            arena_load(word + 3u),
        );
        plain += words;
        placed += words * (2u * (vec4(i) + vec4(0u, 1u, 2u, 3u)) + 1u);
    }
    observe(2u * arg(job, 3u), plain.x + plain.y + plain.z + plain.w);
    observe(2u * arg(job, 3u) + 1u, placed.x + placed.y + placed.z + placed.w);
    return HANDLER_OK;
}
