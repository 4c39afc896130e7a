// The power of one tone in a window of samples, by Goertzel's filter, and the power of it all. In
// integers, so that a microcontroller can check every bit.
//
// arg 0: samples in bits 0..8, the tone in 16..32: twice the cosine of its turn per sample, of 2^14
// arg 1..11: the samples, 16 bits with their sign, two in a word, the first in the lower half
// Observables 2 * slot, 2 * slot + 1: both results.

const WINDOW_TOO_LONG = 64u;
const MAX_SAMPLES = 22u;

fn tone(job: Job) -> u32 {
    let samples = arg(job, 0u) & 0xffu;
    if samples > MAX_SAMPLES {
        return fault(WINDOW_TOO_LONG);
    }
    let coefficient = bitcast<i32>(arg(job, 0u)) >> 16u;
    var last = 0;
    var before = 0;
    var energy = 0;
    for (var i = 0u; i < samples; i++) {
        let pair = bitcast<i32>(arg(job, 1u + i / 2u));
        let sample = extractBits(pair, 16u * (i % 2u), 16u);
        let next = sample + ((coefficient * last) >> 14u) - before;
        before = last;
        last = next;
        energy += sample * sample;
    }
    let power = last * last + before * before - ((coefficient * last) >> 14u) * before;
    observe(2u * job.slot, bitcast<u32>(power));
    observe(2u * job.slot + 1u, bitcast<u32>(energy));
    return HANDLER_OK;
}
