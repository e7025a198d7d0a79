//! Every compute shader in every variant: it parses, validates, says what it is, and declares what its launcher binds.

use engine::gpu::Format;
use engine::gpu::kernel::{Access, Reduction, Shader, shaders};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, StorageAccess};

/// Every text that is compiled: the reductions and formats that a shader knows.
fn variants(shader: &Shader) -> Vec<(Reduction, Format)> {
    let formats = if shader.weights {
        Format::ALL.to_vec()
    } else {
        vec![Format::F16]
    };
    let reductions = if shader.reduces {
        Reduction::ALL.to_vec()
    } else {
        vec![Reduction::Workgroup]
    };
    reductions
        .into_iter()
        .flat_map(|reduction| formats.iter().map(move |format| (reduction, *format)))
        .collect()
}

#[test]
fn every_shader_validates_with_each_reduction_and_weight_format() {
    for shader in shaders() {
        for (reduction, format) in variants(shader) {
            let text = shader.text(reduction, format);
            let place = format!("{} {reduction:?} {}", shader.stem, format.name());
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{place}: {}", error.emit_to_string(&text)));
            // Without subgroups nothing beyond the core is asked of an adapter.
            let halves = Capabilities::SHADER_FLOAT16_IN_FLOAT32; // unpack2x16float
            let asks = match reduction {
                Reduction::Subgroup => halves | Capabilities::SUBGROUP,
                Reduction::OneSubgroup => {
                    halves | Capabilities::SUBGROUP | Capabilities::SUBGROUP_BARRIER
                }
                Reduction::Workgroup if !shader.first.is_empty() => {
                    halves
                        | Capabilities::SUBGROUP
                        | Capabilities::SHADER_FLOAT16
                        | Capabilities::COOPERATIVE_MATRIX
                }
                Reduction::Workgroup => halves,
            };
            let info = Validator::new(ValidationFlags::all(), asks)
                .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
                .subgroup_operations(naga::valid::SubgroupOperationSet::all())
                .validate(&module)
                .unwrap_or_else(|error| panic!("{place}: {}", error.emit_to_string(&text)));
            assert_eq!(module.entry_points.len(), 1, "{place}");
            let entry = info.get_entry_point(0);

            let mut declared = Vec::new();
            for (handle, variable) in module.global_variables.iter() {
                let Some(binding) = variable.binding else {
                    continue;
                };
                assert!(
                    !entry[handle].is_empty(),
                    "{place}: binding {} is not used",
                    binding.binding
                );
                let access = match variable.space {
                    AddressSpace::Uniform => Access::Uniform,
                    AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                        Access::Write
                    }
                    _ => Access::Read,
                };
                declared.push((binding.binding, access));
            }
            declared.sort_by_key(|(number, _)| *number);
            assert_eq!(declared, shader.layout(format), "{place}");
        }
    }
}

#[test]
fn every_shader_says_what_it_computes_names_its_bindings_and_its_launcher() {
    for shader in shaders() {
        let header: Vec<&str> = shader
            .source
            .lines()
            .take_while(|line| line.starts_with("//"))
            .collect();
        let header = header.join("\n");
        for (number, _) in shader.bindings {
            assert!(
                header.contains(&format!("// binding {number} ")),
                "{} does not name binding {number}",
                shader.stem
            );
        }
        let launcher = format!("engine/src/gpu/{}.rs", shader.stem);
        assert!(header.contains(&launcher), "{}", shader.stem);
        assert!(crate::support::repo(&launcher).is_file(), "{launcher}");
    }
}

/// Mesa's software adapter puts the value of a uniform into the shader where that lets it unroll a loop, for each dispatch: milliseconds
/// and megabytes that are never given back.
#[test]
fn no_shader_loops_from_a_constant_to_a_uniform() {
    for shader in shaders() {
        for line in shader.source.lines() {
            let Some((_, head)) = line.split_once("for (var ") else {
                continue;
            };
            let parts: Vec<&str> = head.split(';').collect();
            let [start, end, _] = parts.as_slice() else {
                panic!("{}: {line}", shader.stem);
            };
            let (_, start) = start.split_once('=').unwrap();
            let constant = start.trim().trim_end_matches('u').parse::<u32>().is_ok();
            assert!(
                !(constant && end.contains("p.")),
                "{}: {}; make the size an override",
                shader.stem,
                line.trim()
            );
        }
    }
}

/// What the window draws with: stem and text.
const DISPLAY: [(&str, &str); 3] = [
    ("reslice", workbench::paint::reslice::SOURCE),
    ("window_level", workbench::paint::window_level::SOURCE),
    ("compare", workbench::paint::compare::SOURCE),
];

#[test]
fn the_display_shaders_validate_without_anything_beyond_the_core() {
    for (stem, text) in DISPLAY {
        let module = naga::front::wgsl::parse_str(text)
            .unwrap_or_else(|error| panic!("{stem}: {}", error.emit_to_string(text)));
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module);
        let _ = info.unwrap_or_else(|error| panic!("{stem}: {}", error.emit_to_string(text)));
    }
}

#[test]
fn every_file_in_the_shader_folder_is_used() {
    let mut known: Vec<&str> = shaders().iter().map(|shader| shader.stem).collect();
    known.extend(DISPLAY.map(|(stem, _)| stem));
    for entry in std::fs::read_dir(crate::support::repo("shaders")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(path.is_dir() || known.contains(&stem.as_str()), "{stem}");
    }
}
