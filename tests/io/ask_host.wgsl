// Asks for what a job's arguments say: op, source, destination, offset low and high, bytes.
fn ask_host(job: Job) -> u32 {
    let offset = vec2<u32>(arg(job, 3u), arg(job, 4u));
    return request_io(
        job, arg(job, 0u), arg(job, 1u), arg(job, 2u), offset.x, offset.y, arg(job, 5u)
    );
}
