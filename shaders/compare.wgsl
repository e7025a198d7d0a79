// colour(x, y) = map[level] of one picture, or of two: swipe, blend, signed difference; black around the picture
// ONE (0):         first
// SWIPE (1):       first left of the curtain, second right of it
// BLEND (2):       mix(first, second, share) where the second has something to show
// DIFFERENCE (3):  first - second: orange where the first is brighter, blue where the second is, black where equal
// Levels between the pixels of a picture are mixed of the four nearest ones.
// binding 0  look    uniform
// binding 1  first   [rows, columns]  rg8unorm: level, and 1 inside the volume   read
// binding 2  second  [rows, columns]  rg8unorm                                   read
// binding 3  maps    [maps, 256]      rgba8unorm                                 read
// target             the window
// Launcher: app/src/paint/compare.rs. One fragment a pixel of the viewport.

struct Look {
    // Column and row of the picture, as shares of its sides, from a place in the viewport: x * [0] + y * [1] + [2].
    across: vec4<f32>,
    along: vec4<f32>,
    mode: u32,
    share: f32,
    first_map: u32,
    second_map: u32,
    // 1 where the target holds light instead of levels.
    linear_target: u32,
    unused_a: u32,
    unused_b: u32,
    unused_c: u32,
}

@group(0) @binding(0) var<uniform> look: Look;
@group(0) @binding(1) var first: texture_2d<f32>;
@group(0) @binding(2) var second: texture_2d<f32>;
@group(0) @binding(3) var maps: texture_2d<f32>;

// NOTE: keep in sync with BRIGHTER and DARKER in app/src/paint/compare.rs.
const BRIGHTER: vec3<f32> = vec3<f32>(1.0, 0.6, 0.15);
const DARKER: vec3<f32> = vec3<f32>(0.2, 0.6, 1.0);

struct Corner {
    @builtin(position) position: vec4<f32>,
    // From the upper left corner of the viewport, as shares of its sides.
    @location(0) place: vec2<f32>,
}

@vertex
fn vertex(@builtin(vertex_index) index: u32) -> Corner {
    let corner = vec2<f32>(f32((index << 1u) & 2u), f32(index & 2u));
    var out: Corner;
    out.position = vec4<f32>(corner * 2.0 - 1.0, 0.0, 1.0);
    out.place = vec2<f32>(corner.x, 1.0 - corner.y);
    return out;
}

fn mixed(picture: texture_2d<f32>, share: vec2<f32>) -> vec2<f32> {
    let size = vec2<f32>(textureDimensions(picture));
    let place = clamp(share * size - 0.5, vec2<f32>(0.0), size - 1.0);
    let low = vec2<u32>(floor(place));
    let high = min(low + 1u, vec2<u32>(size) - 1u);
    let part = place - floor(place);
    let top = mix(textureLoad(picture, low, 0).rg, textureLoad(picture, vec2<u32>(high.x, low.y), 0).rg, part.x);
    let bottom = mix(textureLoad(picture, vec2<u32>(low.x, high.y), 0).rg, textureLoad(picture, high, 0).rg, part.x);
    return mix(top, bottom, part.y);
}

fn coloured(level: f32, map: u32) -> vec3<f32> {
    if map == 0u {
        return vec3<f32>(level); // grey
    }
    return textureLoad(maps, vec2<u32>(u32(clamp(level * 255.0 + 0.5, 0.0, 255.0)), map), 0).rgb;
}

fn to_light(level: vec3<f32>) -> vec3<f32> {
    let high = pow((level + 0.055) / 1.055, vec3<f32>(2.4));
    return select(high, level / 12.92, level <= vec3<f32>(0.04045));
}

@fragment
fn fragment(in: Corner) -> @location(0) vec4<f32> {
    let place = vec3<f32>(in.place, 1.0);
    let share = vec2<f32>(dot(look.across.xyz, place), dot(look.along.xyz, place));
    var colour = vec3<f32>(0.0);
    if all(share >= vec2<f32>(0.0)) && all(share <= vec2<f32>(1.0)) {
        let only_first = look.mode == 0u || (look.mode == 1u && in.place.x < look.share);
        let only_second = look.mode == 1u && in.place.x >= look.share;
        if only_first {
            let a = mixed(first, share);
            colour = coloured(a.x, look.first_map) * a.y;
        } else if only_second {
            let b = mixed(second, share);
            colour = coloured(b.x, look.second_map) * b.y;
        } else {
            let a = mixed(first, share);
            let b = mixed(second, share);
            if look.mode == 2u {
                let colour_a = coloured(a.x, look.first_map) * a.y;
                let colour_b = coloured(b.x, look.second_map) * b.y;
                colour = mix(colour_a, colour_b, look.share * b.y);
            } else {
                let difference = (a.x - b.x) * a.y * b.y;
                colour = select(DARKER * -difference, BRIGHTER * difference, difference > 0.0);
            }
        }
    }
    if look.linear_target != 0u {
        colour = to_light(colour);
    }
    return vec4<f32>(colour, 1.0);
}
