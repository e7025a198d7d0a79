//! Attention over a cache, by shares of keys and by blocks of queries.

use engine::gpu::Gpu;
use engine::gpu::attention_combine::Combine;
use engine::gpu::attention_decode::{self, Attention};
use engine::gpu::attention_prefill::AttentionPrefill;
use engine::gpu::cache::{Cache, KvFormat};
use engine::gpu::hlora_expand::Sequence;
use engine::gpu::rope_kv;
use engine::model::random::Random;

use super::{assert_close, gpus, normal};

/// Sizes of one case: heads, kv heads, head_dim, keys, queries (the last ones), window.
type Case = ([usize; 3], usize, usize, Option<u32>);

const CASES: [Case; 5] = [
    ([4, 2, 16], 1, 1, None),
    ([2, 2, 96], 45, 3, None),
    ([8, 2, 64], 100, 9, Some(20)),
    ([3, 1, 128], 70, 17, None),
    ([1, 1, 8], 33, 33, Some(0)),
];

fn words(columns: &[[u32; 4]]) -> Vec<u32> {
    columns.iter().flatten().copied().collect()
}

/// Appends random rows to a cache at slot 1 without turning them, and returns queries, keys and values
/// `[position, head, head_dim]`.
fn fill(
    gpu: &Gpu,
    random: &mut Random,
    cache: &Cache,
    heads: usize,
    keys: usize,
    kv: &wgpu::Buffer,
    q: &wgpu::Buffer,
) -> Vec<f32> {
    let head_dim = cache.head_dim as usize;
    let width = (heads + 2 * cache.kv_heads as usize) * head_dim;
    let qkv = normal(random, keys * width);
    let half_turns: Vec<f32> = (0..keys * head_dim / 2).flat_map(|_| [1.0, 0.0]).collect();
    let rope = gpu.floats("rope", &half_turns).unwrap();
    let columns: Vec<[u32; 4]> = (0..keys as u32).map(|i| [0, i, 1, 0]).collect();
    let columns = gpu.words("columns", &words(&columns)).unwrap();
    let on_gpu = gpu.floats("qkv", &qkv).unwrap();
    let sequence = Sequence {
        columns: &columns,
        rope: &rope,
        kv,
    };
    let sizes = [heads as u32, (heads * head_dim) as u32, keys as u32];
    let dispatch = rope_kv::dispatch(gpu, cache, sizes, &on_gpu, sequence, q).unwrap();
    let _ = gpu.submit(&[dispatch]);
    qkv
}

/// What the last `queries` positions should give: `[query, head, head_dim]`.
fn want(
    qkv: &[f32],
    [heads, kv_heads, head_dim]: [usize; 3],
    keys: usize,
    queries: usize,
    window: Option<u32>,
) -> Vec<f64> {
    let width = (heads + 2 * kv_heads) * head_dim;
    let head = |position: usize, head: usize| {
        let from = position * width + head * head_dim;
        &qkv[from..from + head_dim]
    };
    let mut all = Vec::new();
    for position in keys - queries..keys {
        let first = window.map_or(0, |window| position.saturating_sub(window as usize));
        for h in 0..heads {
            let shared = heads + h / (heads / kv_heads);
            let gather = |head_index: usize| {
                (first..=position)
                    .flat_map(|key| head(key, head_index).to_vec())
                    .collect::<Vec<f32>>()
            };
            all.extend(attention_decode::reference(
                head(position, h),
                &gather(shared),
                &gather(shared + kv_heads),
            ));
        }
    }
    all
}

fn run(format: KvFormat, bound: f64) {
    let mut random = Random(6);
    for (gpu, (sizes, keys, queries, window)) in gpus().zip(CASES) {
        let [heads, kv_heads, head_dim] = sizes;
        let cache = Cache {
            kv_heads: kv_heads as u32,
            head_dim: head_dim as u32,
            capacity: keys as u32 + 3,
            slots: 2,
            format,
        };
        let kv = gpu.zeros("kv", cache.bytes()).unwrap();
        let width = heads * head_dim;
        let q = gpu.zeros("q", 4 * (keys * width) as u64).unwrap();
        let qkv = fill(gpu, &mut random, &cache, heads, keys, &kv, &q);
        let want = want(&qkv, sizes, keys, queries, window);
        let bounds = vec![bound / 1e-5; want.len()];
        let place = format!("{sizes:?}, {keys} keys, {queries} queries, window {window:?}");

        // The queries that count, in front.
        let all = gpu.read_floats(&q, keys * width).unwrap();
        let last = gpu.floats("q", &all[(keys - queries) * width..]).unwrap();
        let columns: Vec<[u32; 4]> = (keys - queries..keys)
            .map(|i| [0, i as u32, 1, 0])
            .collect();
        let columns = gpu.words("columns", &words(&columns)).unwrap();
        let (y, blocks) = (
            gpu.zeros("y", 4 * (queries * width) as u64).unwrap(),
            gpu.zeros("y", 4 * (queries * width) as u64).unwrap(),
        );
        let splits = 3;
        let part = gpu
            .zeros(
                "part",
                4 * (queries * heads * splits * (head_dim + 2)) as u64,
            )
            .unwrap();
        let decode = Attention {
            cache: &cache,
            heads: heads as u32,
            window,
            splits: splits as u32,
            columns: queries as u32,
        };
        let combine = Combine {
            head_dim: head_dim as u32,
            heads: heads as u32,
            splits: splits as u32,
            y_stride: width as u32,
            columns: queries as u32,
        };
        let prefill = AttentionPrefill {
            cache: &cache,
            heads: heads as u32,
            window,
            y_stride: width as u32,
            columns: queries as u32,
        };
        let _ = gpu.submit(&[
            decode.dispatch(gpu, &last, &kv, &columns, &part).unwrap(),
            combine.dispatch(gpu, &part, &y).unwrap(),
            prefill
                .dispatch(gpu, &last, &kv, &columns, &blocks)
                .unwrap(),
        ]);
        for (name, buffer) in [("decode", &y), ("prefill", &blocks)] {
            let got = gpu.read_floats(buffer, queries * width).unwrap();
            assert_close(&got, &want, &bounds, &format!("{name} {format:?} {place}"));
        }
    }
}

#[test]
fn attention_with_exact_keys_and_values_is_the_softmax_over_what_is_visible() {
    run(KvFormat::F32, 2e-5);
}

/// Keys are off by 2^-11 of themselves, so scores (of order 4) by up to 2e-3 and with them every weight.
#[test]
fn attention_over_an_f16_cache_is_within_its_rounding() {
    run(KvFormat::F16, 6e-3);
}

/// A level is the row's largest magnitude (about 3) / 127, half of which is lost in each of up to 128 products: 0.1 in a
/// score, and as much in a weight.
#[test]
fn attention_over_a_q8_cache_is_within_its_rounding() {
    run(KvFormat::Q8, 0.15);
}
