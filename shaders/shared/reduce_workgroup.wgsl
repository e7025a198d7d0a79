// reduce: sums and maxima over a workgroup through shared memory, for adapters without subgroups.
// put: every lane gives its value for a slot; then reduce_wait(); get: the result of a slot, on any lane.
// Lanes are added in their order, so the result does not depend on timing. Put before kernels that reduce.
// team: lanes that agree on a sum or a maximum at once, without waiting; every team of a workgroup finds the same. Here one lane.

struct Invocation {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
}

override WG: u32 = 64u;
override PARTIALS: u32 = 512u; // slots * WG

var<workgroup> partial: array<f32, PARTIALS>; // [slots, WG]

fn reduce_wait() {
    workgroupBarrier();
}

fn reduce_put(at: Invocation, slot: u32, value: f32) {
    partial[slot * WG + at.lane] = value;
}

fn reduce_get(at: Invocation, slot: u32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < WG; i++) {
        sum += partial[slot * WG + i];
    }
    return sum;
}

fn reduce_put_max(at: Invocation, slot: u32, value: f32) {
    partial[slot * WG + at.lane] = value;
}

fn reduce_get_max(at: Invocation, slot: u32) -> f32 {
    var largest = partial[slot * WG];
    for (var i = 1u; i < WG; i++) {
        largest = max(largest, partial[slot * WG + i]);
    }
    return largest;
}

fn team_lane(at: Invocation) -> u32 {
    return 0u;
}

fn team_size(at: Invocation) -> u32 {
    return 1u;
}

fn team_sum(value: f32) -> f32 {
    return value;
}

fn team_max(value: f32) -> f32 {
    return value;
}
