// level = round(255 * window(sample)): the picture of a slice, DICOM PS3.3 C.11.2.1, as engine/src/imaging/window.rs
// LINEAR (0):       ((x - (c - 0.5)) / (w - 1) + 0.5) between its edges, 0 below, 1 above
// LINEAR_EXACT (1): ((x - c) / w + 0.5) between its edges
// SIGMOID (2):      1 / (1 + exp(-4 (x - c) / w))
// TABLE (3):        the entry nearest to x
// Where pixels are no squares the levels of the two nearest samples are mixed, as engine/src/imaging/render.rs does.
// binding 0  look     uniform
// binding 1  samples  [rows, columns]   f32, not a number as NOTHING          read
// binding 2  table    [entries]         unorm8, 256 a row                     read
// target              [rows, columns]   rg8unorm: level, and 1 inside the volume
// Launcher: app/src/paint/window_level.rs. One fragment a pixel of the picture.

struct Look {
    center: f32,
    width: f32,
    kind: u32,
    invert: u32,
    slice: vec2<u32>,
    picture: vec2<u32>,
    table_first: f32,
    table_entries: u32,
    unused: vec2<u32>,
}

@group(0) @binding(0) var<uniform> look: Look;
@group(0) @binding(1) var samples: texture_2d<f32>;
@group(0) @binding(2) var table: texture_2d<f32>;

// NOTE: keep in sync with NOTHING in app/src/paint/window_level.rs. Shaders may assume that nothing is NaN.
const NOTHING: f32 = -3.0e38;

@vertex
fn vertex(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    // One triangle over the whole target: (-1, -1), (3, -1), (-1, 3).
    let corner = vec2<f32>(f32((index << 1u) & 2u), f32(index & 2u));
    return vec4<f32>(corner * 2.0 - 1.0, 0.0, 1.0);
}

fn windowed(x: f32, center: f32, width: f32) -> f32 {
    if x <= center - width / 2.0 {
        return 0.0;
    }
    if x > center + width / 2.0 {
        return 255.0;
    }
    return clamp(floor(((x - center) / width + 0.5) * 255.0 + 0.5), 0.0, 255.0);
}

fn looked_up(x: f32) -> f32 {
    let last = f32(max(look.table_entries, 1u) - 1u);
    // Half away from zero, as Rust rounds.
    let offset = x - look.table_first;
    let entry = u32(clamp(sign(offset) * floor(abs(offset) + 0.5), 0.0, last));
    return floor(textureLoad(table, vec2<u32>(entry % 256u, entry / 256u), 0).r * 255.0 + 0.5);
}

// Grey level 0..255, and whether there is one.
fn level_at(at: vec2<u32>) -> vec2<f32> {
    let x = textureLoad(samples, min(at, look.slice - 1u), 0).r;
    if x <= NOTHING {
        return vec2<f32>(0.0, 0.0);
    }
    var level = 0.0;
    if look.kind == 0u {
        level = windowed(x, look.center - 0.5, max(look.width - 1.0, 0.0));
    } else if look.kind == 1u {
        level = windowed(x, look.center, max(look.width, 0.0));
    } else if look.kind == 2u {
        let width = max(look.width, 1.1754944e-38);
        level = clamp(floor(255.0 / (1.0 + exp(-4.0 * (x - look.center) / width)) + 0.5), 0.0, 255.0);
    } else {
        level = looked_up(x);
    }
    if look.invert != 0u {
        level = 255.0 - level;
    }
    return vec2<f32>(level, 1.0);
}

@fragment
fn fragment(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let pixel = vec2<u32>(floor(position.xy));
    if all(look.slice == look.picture) {
        let level = level_at(pixel);
        return vec4<f32>(level.x / 255.0, level.y, 0.0, 1.0);
    }
    let last = vec2<f32>(look.slice - 1u);
    let stretched = (vec2<f32>(pixel) + 0.5) * vec2<f32>(look.slice) / vec2<f32>(look.picture) - 0.5;
    let place = clamp(stretched, vec2<f32>(0.0), last);
    // Pixels are stretched along one axis only: along the other every pixel is a sample.
    let along_x = look.slice.x != look.picture.x;
    let low = select(vec2<u32>(pixel.x, u32(place.y)), vec2<u32>(u32(place.x), pixel.y), along_x);
    let step = select(vec2<u32>(0u, 1u), vec2<u32>(1u, 0u), along_x);
    let share = select(fract(place.y), fract(place.x), along_x);
    let mixed = mix(level_at(low), level_at(low + step), share);
    return vec4<f32>(floor(mixed.x + 0.5) / 255.0, mixed.y, 0.0, 1.0);
}
