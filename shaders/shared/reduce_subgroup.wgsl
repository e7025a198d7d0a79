// reduce: sums and maxima over a workgroup, by subgroups of any size.
// put: every lane gives its value for a slot; then reduce_wait(); get: the result of a slot, on any lane.
// Subgroups are added in their order, so the result does not depend on timing. Put before kernels that reduce.
// team: lanes that agree on a sum or a maximum at once, without waiting; every team of a workgroup finds the same. Here a subgroup.

struct Invocation {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
    @builtin(num_subgroups) subgroups: u32,
    @builtin(subgroup_size) subgroup_size: u32,
}

override WG: u32 = 64u;
override PARTIALS: u32 = 512u; // slots * WG

var<workgroup> partial: array<f32, PARTIALS>; // [slots, WG], of which the first subgroups are used

fn reduce_wait() {
    workgroupBarrier();
}

fn reduce_put(at: Invocation, slot: u32, value: f32) {
    let sum = subgroupAdd(value);
    if (at.subgroup_lane == 0u) {
        partial[slot * WG + at.subgroup] = sum;
    }
}

fn reduce_get(at: Invocation, slot: u32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < at.subgroups; i++) {
        sum += partial[slot * WG + i];
    }
    return sum;
}

fn reduce_put_max(at: Invocation, slot: u32, value: f32) {
    let largest = subgroupMax(value);
    if (at.subgroup_lane == 0u) {
        partial[slot * WG + at.subgroup] = largest;
    }
}

fn reduce_get_max(at: Invocation, slot: u32) -> f32 {
    var largest = partial[slot * WG];
    for (var i = 1u; i < at.subgroups; i++) {
        largest = max(largest, partial[slot * WG + i]);
    }
    return largest;
}

fn team_lane(at: Invocation) -> u32 {
    return at.subgroup_lane;
}

fn team_size(at: Invocation) -> u32 {
    return at.subgroup_size;
}

fn team_sum(value: f32) -> f32 {
    return subgroupAdd(value);
}

fn team_max(value: f32) -> f32 {
    return subgroupMax(value);
}
