// samples = what lies at the pixels of a slice: voxels, mixes of the eight nearest, or a projection of several slices
//   at = origin + x * right + y * down + s * along            in voxels, s = 0 .. slices - 1
//   sample(at) = sum over 8 corners of weight * (stored * slope + intercept), as engine/src/imaging/reslice.rs
// Each step is given as two numbers: `high` has 12 bits, so that its products with counts below 4096 are exact, `low` is
// the rest. Whole and broken voxels are kept apart: a place between 2000 voxels is as exact as one between two.
// binding 0  cut     uniform
// binding 1  voxels  [k, j, i]         i8, i16 or i32 as stored; real numbers as their bits     read
// target             [rows, columns]   r32float, nothing as NOTHING
// Launcher: app/src/paint/reslice.rs. One fragment a sample.

struct Cut {
    whole: vec3<i32>,        // of the origin
    slices: u32,
    part: vec3<f32>,         // of the origin, 0 .. 1
    projection: u32,         // 0 largest, 1 smallest, 2 mean
    right_high: vec3<f32>,
    kind: u32,               // 0 signed, 1 bytes, 2 unsigned 16 bit, 3 real
    right_low: vec3<f32>,
    slope: f32,
    down_high: vec3<f32>,
    intercept: f32,
    down_low: vec3<f32>,
    padding_low: f32,        // stored values between these two stand for no image
    along_high: vec3<f32>,
    padding_high: f32,
    along_low: vec3<f32>,
    unused: u32,
}

@group(0) @binding(0) var<uniform> cut: Cut;
@group(0) @binding(1) var voxels: texture_3d<i32>;

// NOTE: keep in sync with NOTHING in app/src/paint/window_level.rs. Shaders may assume that nothing is NaN.
const NOTHING: f32 = -3.2e38;
// Rounding must not put the outermost half of a voxel outside, nor a voxel's neighbour into it.
const EDGE: f32 = 0.500001;
// In place of what is infinite, which shaders may assume not to be there either.
const LARGE: f32 = 2.9e38;
const NO_WEIGHT: f32 = 1e-6;

struct Place {
    whole: vec3<i32>,
    part: vec3<f32>,
}

@vertex
fn vertex(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    // One triangle over the whole target: (-1, -1), (3, -1), (-1, 3).
    let corner = vec2<f32>(f32((index << 1u) & 2u), f32(index & 2u));
    return vec4<f32>(corner * 2.0 - 1.0, 0.0, 1.0);
}

// So many steps from a place.
fn stepped(place: Place, count: f32, high: vec3<f32>, low: vec3<f32>) -> Place {
    let exact = count * high;
    let floors = floor(exact);
    let part = place.part + (exact - floors) + count * low;
    let carried = floor(part);
    return Place(place.whole + vec3<i32>(floors) + vec3<i32>(carried), part - carried);
}

// The sample of a voxel: nothing where it is padding.
fn sample_of(at: vec3<i32>) -> f32 {
    let bits = textureLoad(voxels, at, 0).r;
    var stored = f32(bits);
    if cut.kind == 1u {
        stored = f32(bits & 0xff);
    } else if cut.kind == 2u {
        stored = f32(bits & 0xffff);
    } else if cut.kind == 3u {
        let size = bits & 0x7fffffff;
        if size > 0x7f800000 {
            return NOTHING; // not a number
        }
        stored = select(bitcast<f32>(bits), select(LARGE, -LARGE, bits < 0), size == 0x7f800000);
    }
    if stored >= cut.padding_low && stored <= cut.padding_high {
        return NOTHING;
    }
    return stored * cut.slope + cut.intercept;
}

// The sample between voxels: nothing further than half a voxel outside, or beside what is nothing.
fn between(place: Place) -> f32 {
    let last = vec3<i32>(textureDimensions(voxels)) - 1;
    let from_first = vec3<f32>(place.whole) + place.part;
    let from_last = vec3<f32>(place.whole - last) + place.part;
    if any(from_first < vec3<f32>(-EDGE)) || any(from_last > vec3<f32>(EDGE)) {
        return NOTHING;
    }
    let inside = (place.whole >= vec3<i32>(0)) & (place.whole < last);
    let low = clamp(place.whole, vec3<i32>(0), last);
    let share = select(vec3<f32>(0.0), place.part, inside);
    var sum = 0.0;
    for (var corner = 0; corner < 8; corner++) {
        let upper = vec3<i32>(corner, corner >> 1u, corner >> 2u) & vec3<i32>(1);
        let weights = select(1.0 - share, share, upper == vec3<i32>(1));
        let weight = weights.x * weights.y * weights.z;
        if weight > NO_WEIGHT {
            let sample = sample_of(low + upper);
            if sample <= NOTHING {
                return NOTHING;
            }
            sum += weight * sample;
        }
    }
    return sum;
}

@fragment
fn fragment(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let pixel = floor(position.xy);
    var first = Place(cut.whole, cut.part);
    first = stepped(first, pixel.x, cut.right_high, cut.right_low);
    first = stepped(first, pixel.y, cut.down_high, cut.down_low);
    var projected = NOTHING;
    var count = 0.0;
    for (var slice = 0u; slice < cut.slices; slice++) {
        let sample = between(stepped(first, f32(slice), cut.along_high, cut.along_low));
        if sample > NOTHING {
            if count == 0.0 {
                projected = sample;
            } else if cut.projection == 0u {
                projected = max(projected, sample);
            } else if cut.projection == 1u {
                projected = min(projected, sample);
            } else {
                projected += sample;
            }
            count += 1.0;
        }
    }
    if cut.projection == 2u && count > 1.0 {
        projected /= count;
    }
    return vec4<f32>(projected, 0.0, 0.0, 1.0);
}
