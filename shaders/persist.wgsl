// The kernel that stays on: lanes look at their own slots over and over, until the host stops
// them or their time is over. What the host publishes meanwhile, they run.
//
// Each entry point is one size of workgroup: a vector of a CPU device is best alone.

// Loop iterations that the lane's job has made.
var<private> extra_iterations: u32;
// Loop iterations of the workgroup's jobs, beyond those that every look makes.
var<workgroup> spent: atomic<u32>;
// Set while some lane has found work, so that the others stop polling: lanes that go together run
// the code of a job together, and then none should wait for it in a loop of its own.
var<workgroup> some_work: atomic<u32>;

@compute @workgroup_size(LANES)
fn persist(
    @builtin(global_invocation_id) lane: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    stay(lane.x, groups.x * LANES);
}

@compute @workgroup_size(NARROW_LANES)
fn persist_narrow(
    @builtin(global_invocation_id) lane: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    stay(lane.x, groups.x * NARROW_LANES);
}

// Makes up to run.passes passes over the lane's share of the run's entries: one to poll an entry,
// and run.look_passes to look at one.
fn stay(lane: u32, lanes: u32) {
    if lane >= run.count {
        return;
    }
    // Where looks take the whole time, the next dispatch begins where this one may not have come.
    var i = lane + run.first % ((run.count + lanes - 1u) / lanes) * lanes;
    i = select(i, lane, i >= run.count);
    var passes = 0u;
    while passes < run.passes && !is_over() {
        var slot = 0u;
        var status = STATUS_EMPTY;
        var wants_look = false;
        while passes < run.passes {
            passes += 1u;
            slot = work_list[run.offset + i] & ENTRY_SLOT_MASK;
            if slot < arrayLength(&ring) {
                status = poll_status(slot);
                wants_look = has_work(status);
            }
            if wants_look {
                atomicStore(&some_work, 1u);
            }
            if wants_look || atomicLoad(&some_work) != 0u || (passes % LANES == 0u && is_over()) {
                break;
            }
            i = next_entry(i, lane, lanes);
        }
        passes += run.look_passes;
        if wants_look {
            // What the host wrote before this status is seen from here on.
            status = atomicLoad(&ring[slot].status);
            let level = work_list[run.offset + i] >> ENTRY_LEVEL_SHIFT;
            extra_iterations = 0u;
            if ring[slot].opcode == OPCODE_BATCH_FENCE {
                look_at_fence(slot, level, status);
            } else {
                look_at(slot, level, status);
            }
            atomicAdd(&spent, extra_iterations);
            // A lane that has found work meanwhile knows it itself.
            atomicStore(&some_work, 0u);
        }
        // Past a slot without work too: others may find some every time, while one starts anew.
        i = next_entry(i, lane, lanes);
    }
}

// The one load of a status that orders nothing: see driver/src/vulkan/spirv.rs.
fn poll_status(slot: u32) -> u32 {
    return atomicLoad(&ring[slot].status);
}

fn is_over() -> bool {
    return atomicLoad(&control[CONTROL_SHUTDOWN]) != 0u || atomicLoad(&spent) >= run.budget;
}

fn next_entry(i: u32, lane: u32, lanes: u32) -> u32 {
    return select(i + lanes, lane, i + lanes >= run.count);
}

// Whether a look at a slot of this status may find something to do.
fn has_work(status: u32) -> bool {
    let kind = status & STATUS_MASK;
    if kind != STATUS_WAIT_IO {
        return kind == STATUS_PUBLISHED;
    }
    let io_slot = (status >> STATUS_DETAIL_SHIFT) & STATUS_MASK;
    if io_slot >= arrayLength(&io_queue) {
        return true;
    }
    let io_status = atomicLoad(&io_queue[io_slot].status);
    return io_status == IO_OK || io_status == IO_ERROR;
}

// What the fence pass does, by one lane: it looks at the whole window itself.
fn look_at_fence(slot: u32, level: u32, status: u32) {
    let slots = due_window(slot, status);
    if slots == NO_WINDOW {
        return;
    }
    extra_iterations += slots;
    if !sees_busy_slot(slot, slots, 0u, 1u) {
        close_fence(slot, level, status);
    }
}
