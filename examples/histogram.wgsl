// A histogram, then its prefix sums: two segments, for the second needs the first whole.
//
// arg 0: the job's first word in the workspace    arg 1: its words    arg 2: the job's bin
// Observables 0..BINS are the histogram of the words' low bits, BINS..2 * BINS its prefix sums.

const BINS = 64u;
const JOB_WORDS = 1024u;

fn histogram(job: Job) -> u32 {
    if segment() == 0u {
        let words = min(arg(job, 1u), JOB_WORDS);
        for (var i = 0u; i < words; i++) {
            observe_add(workspace_load(arg(job, 0u) + i) % BINS, 1u);
        }
        return HANDLER_CONTINUES;
    }
    // Every job's words are counted by now.
    let bin = min(arg(job, 2u), BINS - 1u);
    var sum = 0u;
    for (var i = 0u; i <= bin; i++) {
        sum += observable(i);
    }
    observe(BINS + bin, sum);
    return HANDLER_OK;
}
