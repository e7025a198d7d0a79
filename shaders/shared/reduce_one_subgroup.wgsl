// reduce: sums and maxima over a workgroup that is one subgroup of a software adapter. There a barrier of the workgroup makes the
// shader a coroutine, and what is alive across it lies in memory: loops around or after one take up to twice the time.
// Not for a GPU: subgroupBarrier does not order the workgroup's memory; here one thread runs all lanes step by step.
// put: every lane gives its value for a slot; then reduce_wait(); get: the result of a slot, on any lane. Put before kernels that reduce.
// team: lanes that agree on a sum or a maximum at once, without waiting; every team of a workgroup finds the same. Here all of them.

struct Invocation {
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
}

override WG: u32 = 64u;
override PARTIALS: u32 = 512u; // slots * WG

var<workgroup> partial: array<f32, PARTIALS>; // [slots], the rest unused

fn reduce_wait() {
    subgroupBarrier();
}

fn reduce_put(at: Invocation, slot: u32, value: f32) {
    let sum = subgroupAdd(value);
    if (at.lane == 0u) {
        partial[slot] = sum;
    }
}

fn reduce_get(at: Invocation, slot: u32) -> f32 {
    return partial[slot];
}

fn reduce_put_max(at: Invocation, slot: u32, value: f32) {
    let largest = subgroupMax(value);
    if (at.lane == 0u) {
        partial[slot] = largest;
    }
}

fn reduce_get_max(at: Invocation, slot: u32) -> f32 {
    return partial[slot];
}

fn team_lane(at: Invocation) -> u32 {
    return at.lane;
}

fn team_size(at: Invocation) -> u32 {
    return WG;
}

fn team_sum(value: f32) -> f32 {
    return subgroupAdd(value);
}

fn team_max(value: f32) -> f32 {
    return subgroupMax(value);
}
