// The next token of each column: the largest of logits[c, i] / temperature + noise, the lowest index on a tie; it becomes the
// column's token, goes into the ring, and the column's position and step move on by one.
//   noise = 0 when greedy, else Gumbel -ln(-ln u): the choice then follows softmax(logits / temperature) (Gumbel-max)
//   u is a hash of (seed, step, slot, i), so that a seed repeats whatever the order of work
// Candidates are cut to the top_k largest and to the smallest set with probability top_p, as thresholds found by bisection on
// the value of a logit: no sorting. Logits that the cut cannot tell apart in f32 are kept together.
// binding 0  p        how to choose                            uniform
// binding 1  logits   [columns, stride]  f32                   read
// binding 2  columns  [columns]                                read_write
// binding 3  ring     [ring, columns]    tokens chosen         read_write
// Launcher: engine/src/gpu/sample.rs. One workgroup per column.

struct Params {
    count: u32,       // candidates
    stride: u32,
    first: u32,       // the token of logit 0
    ring: u32,        // steps that the ring holds
    top_k: u32,       // 0: all
    seed: u32,
    temperature: f32, // 0: greedy
    top_p: f32,       // 1: all
}

struct Column {
    token: u32,
    position: u32,
    slot: u32,
    step: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> columns: array<Column>;
@group(0) @binding(3) var<storage, read_write> ring: array<u32>;

var<workgroup> best: array<f32, WG>;
var<workgroup> best_index: array<u32, WG>;

// PCG (O'Neill 2014), as a hash of one word.
fn scramble(x: u32) -> u32 {
    let state = x * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

fn gumbel(i: u32, column: Column) -> f32 {
    let bits = scramble(i ^ scramble(column.step ^ scramble(column.slot ^ scramble(p.seed))));
    let u = (f32(bits >> 8u) + 0.5) / 16777216.0; // neither 0 nor 1
    return -log(-log(u));
}

// The mass (or, counting, the number) of the candidates at or above a threshold.
fn at_or_above(at: Invocation, base: u32, threshold: f32, top: f32, counting: bool) -> f32 {
    var sum = 0.0;
    for (var i = at.lane; i < p.count; i += WG) {
        let logit = logits[base + i];
        if (logit >= threshold) {
            sum += select(exp((logit - top) / p.temperature), 1.0, counting);
        }
    }
    reduce_wait();
    reduce_put(at, 0u, sum);
    reduce_wait();
    return reduce_get(at, 0u);
}

// The largest threshold (to one part in 2^24 of the range) whose candidates still reach `enough`.
fn bisect(at: Invocation, base: u32, low: f32, top: f32, enough: f32, counting: bool) -> f32 {
    var below = low;
    var above = top;
    for (var round = 0u; round < 24u; round++) {
        let middle = 0.5 * (below + above);
        if (at_or_above(at, base, middle, top, counting) >= enough) {
            below = middle;
        } else {
            above = middle;
        }
    }
    return below;
}

@compute @workgroup_size(WG)
fn main(at: Invocation) {
    let c = at.group.x;
    let column = columns[c];
    let base = c * p.stride;
    var threshold = -3.4e38;
    if (p.temperature > 0.0 && (p.top_k > 0u || p.top_p < 1.0)) {
        var largest = -3.4e38;
        var smallest = 3.4e38;
        for (var i = at.lane; i < p.count; i += WG) {
            largest = max(largest, logits[base + i]);
            smallest = min(smallest, logits[base + i]);
        }
        reduce_put_max(at, 0u, largest);
        reduce_put_max(at, 1u, -smallest);
        reduce_wait();
        let top = reduce_get_max(at, 0u);
        let bottom = -reduce_get_max(at, 1u);
        threshold = bottom;
        if (p.top_k > 0u && p.top_k < p.count) {
            // The largest itself may be the only one that is enough.
            threshold = bisect(at, base, bottom, top, f32(p.top_k), true);
            if (at_or_above(at, base, top, top, true) >= f32(p.top_k)) {
                threshold = top;
            }
        }
        if (p.top_p < 1.0) {
            let mass = p.top_p * at_or_above(at, base, threshold, top, false);
            let kept = bisect(at, base, threshold, top, mass, false);
            threshold = max(threshold, kept);
            if (at_or_above(at, base, top, top, false) >= mass) {
                threshold = top;
            }
        }
    }
    var value = -3.4e38;
    var index = 0u;
    for (var i = at.lane; i < p.count; i += WG) {
        let logit = logits[base + i];
        var candidate = logit;
        if (p.temperature > 0.0) {
            candidate = logit / p.temperature + gumbel(i, column);
        }
        if (logit >= threshold && candidate > value) {
            value = candidate;
            index = i;
        }
    }
    best[at.lane] = value;
    best_index[at.lane] = index;
    reduce_wait();
    if (at.lane == 0u) {
        for (var i = 1u; i < WG; i++) {
            if (best[i] > value || (best[i] == value && best_index[i] < index)) {
                value = best[i];
                index = best_index[i];
            }
        }
        let token = p.first + index;
        ring[(column.step % p.ring) * at.groups.x + c] = token;
        columns[c] = Column(token, column.position + 1u, column.slot, column.step + 1u);
    }
}
