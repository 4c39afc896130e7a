// The energy of a sensor's samples: the sum of their squares, added to what was there.
//
// The job's tenant is the sensor, and its observable; all twelve arguments are samples.

fn energy(job: Job) -> u32 {
    var sum = 0u;
    for (var i = 0u; i < 12u; i++) {
        sum += arg(job, i) * arg(job, i);
    }
    if !observe_add(job.tenant, sum) {
        return fault(64u);
    }
    return HANDLER_OK;
}
