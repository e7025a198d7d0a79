//! Compiled pipelines from one run to the next.

use std::fs;

use eframe::wgpu;
use engine::gpu::kept::KeptPipelines;

use super::*;

/// A pipeline of its own for each number.
fn compile(gpu: &Gpu, kept: &KeptPipelines, number: u32) {
    let text = format!(
        "@group(0) @binding(0) var<storage, read_write> out: array<u32>;
         @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) id: vec3<u32>) {{ out[id.x] = id.x * {number}u; }}"
    );
    let module = gpu
        .device
        .create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
    let _ = gpu
        .device
        .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: Some(kept.for_new()),
        });
}

#[test]
fn pipelines_are_written_once_and_a_damaged_file_counts_as_none() {
    let gpu = gpus().next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let open = || KeptPipelines::in_folder(&gpu.device, &gpu.info, folder.path());
    let kept = open().expect("lavapipe gives its pipelines out");
    assert_eq!(kept.write().unwrap(), 0, "nothing was compiled");
    compile(gpu, &kept, 3);
    let first = kept.write().unwrap();
    assert!(first > 32, "{first} bytes");
    assert_eq!(kept.write().unwrap(), 0, "nothing is new");
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    let [Ok(file)] = &files[..] else {
        panic!("{files:?}");
    };
    assert_eq!(fs::metadata(file.path()).unwrap().len() as usize, first);
    // The next run begins with it. Other drivers have more to tell then; lavapipe gives out a header and no pipeline.
    let next = open().unwrap();
    compile(gpu, &next, 3);
    compile(gpu, &next, 5);
    let grown = next.write().unwrap();
    assert!(grown == 0 || grown > first, "{grown} bytes after {first}");
    let mut bytes = fs::read(file.path()).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(file.path(), &bytes).unwrap();
    let fresh = open().unwrap();
    compile(gpu, &fresh, 3);
    assert_eq!(
        fresh.write().unwrap(),
        first,
        "what was damaged is not used"
    );
    fs::write(file.path(), b"short").unwrap();
    compile(gpu, &open().unwrap(), 7);
}
