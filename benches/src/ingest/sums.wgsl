// The sum of a chunk's words, and the sum of each word times its odd place in the chunk.

@group(0) @binding(0) var<storage, read> chunk: array<u32>;
@group(0) @binding(1) var<storage, read_write> sums: array<atomic<u32>, 2>;

const WORDS: u32 = 32u;

@compute @workgroup_size(64)
fn add(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var plain = 0u;
    var placed = 0u;
    for (var i = 0u; i < WORDS; i++) {
        let place = (group.x * WORDS + i) * 64u + lane;
        plain += chunk[place];
        placed += chunk[place] * (2u * place + 1u);
    }
    atomicAdd(&sums[0], plain);
    atomicAdd(&sums[1], placed);
}
