// y = silu(n), n = (x - mean_g) / sqrt(var_g + eps) * gamma[channel] + beta[channel]      over each group g of channels
// override SILU: false for the norm alone.
// binding 0  p      sizes                                             uniform
// binding 1  x      [channels, pixels]  f32                           read
// binding 2  gamma  [channels]          f32                           read
// binding 3  beta   [channels]          f32                           read
// binding 4  y      [channels, pixels]  f32                           read_write
// Launcher: engine/src/gpu/group_norm_silu.rs. One workgroup per group. The variance is the mean square of what is left when
// the mean is taken off, as torch has it: three passes over x, no cancellation.

struct Params {
    channels: u32,   // of a group
    pixels: u32,
    eps: f32,
}

override SILU: bool = true;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(at: Invocation) {
    let count = p.channels * p.pixels;
    let first = at.group.x * count;
    var sum = 0.0;
    for (var i = at.lane; i < count; i += WG) {
        sum += x[first + i];
    }
    reduce_put(at, 0u, sum);
    reduce_wait();
    let mean = reduce_get(at, 0u) / f32(count);
    var square = 0.0;
    for (var i = at.lane; i < count; i += WG) {
        let centred = x[first + i] - mean;
        square += centred * centred;
    }
    reduce_put(at, 1u, square);
    reduce_wait();
    let rstd = 1.0 / sqrt(reduce_get(at, 1u) / f32(count) + p.eps);
    for (var i = at.lane; i < count; i += WG) {
        let channel = at.group.x * p.channels + i / p.pixels;
        var n = (x[first + i] - mean) * rstd * gamma[channel] + beta[channel];
        if (SILU) {
            n = n / (1.0 + exp(-n));
        }
        y[first + i] = n;
    }
}
