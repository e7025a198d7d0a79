//! Workgroups that suit an adapter: tried once, kept, and only used where they were measured.

use std::fs;

use engine::gpu::gemm_cooperative::Cooperative;
use engine::gpu::tuner::{
    Tried, TriedUnits, agree, best, best_units, candidates, try_all, try_units, tuned_in,
};

use super::*;

fn adapter() -> &'static Gpu {
    gpus().next().unwrap()
}

#[test]
fn every_candidate_fits_the_adapter_and_the_programs_own_choice_is_the_first() {
    let gpu = adapter();
    let all = candidates(gpu);
    assert_eq!(all[0], gpu.tuning);
    assert!(all.len() > 1, "there is something to choose from");
    for (i, tuning) in all.iter().enumerate() {
        assert!(!all[..i].contains(tuning), "{tuning:?} twice");
    }
    let tried = try_all(gpu).unwrap();
    assert_eq!(tried.len(), all.len());
    assert!(tried.iter().all(|one| one.seconds > 0.0));
}

#[test]
fn only_what_is_clearly_faster_takes_the_place_of_the_own_choice() {
    let own = adapter().tuning;
    let other = Tuning {
        groups: 3 - own.groups,
        ..own
    };
    let of = |seconds: [f64; 2]| {
        let tried = [own, other].into_iter().zip(seconds);
        let tried: Vec<Tried> = tried
            .map(|(tuning, seconds)| Tried { tuning, seconds })
            .collect();
        best(&tried)
    };
    assert_eq!(of([1.0, 0.99]), Some(own));
    assert_eq!(of([1.0, 0.8]), Some(other));
    assert_eq!(best(&[]), None);
}

#[test]
fn what_was_kept_is_used_for_this_adapter_and_nothing_else_is() {
    let gpu = adapter();
    let folder = tempfile::tempdir().unwrap();
    let other = candidates(gpu)[1];
    let chosen = || {
        tuned_in(gpu.tuned(gpu.tuning), folder.path())
            .unwrap()
            .tuning
    };
    let measured = Tuning {
        cooperative: None,
        ..chosen()
    };
    assert!(candidates(gpu).contains(&measured));
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
    let [file] = &files[..] else {
        panic!("{files:?}");
    };
    let text = fs::read_to_string(file.path()).unwrap();
    let mut kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    kept["lanes"] = other.lanes.into();
    kept["span"] = other.span.into();
    kept["groups"] = other.groups.into();
    assert!(kept["units"].is_null() || !gpu.cooperative.is_empty());
    kept["units"] = serde_json::Value::Null;
    let write = |kept: &serde_json::Value| fs::write(file.path(), kept.to_string()).unwrap();
    write(&kept);
    assert_eq!(chosen(), other, "not measured again");
    // Another driver, workgroups that this adapter cannot have, half a file: measured anew, and written.
    for (key, value) in [
        ("driver", serde_json::json!("of last year")),
        ("lanes", serde_json::json!(100_000)),
    ] {
        let mut strange = kept.clone();
        strange[key] = value.clone();
        write(&strange);
        let again = Tuning {
            cooperative: None,
            ..chosen()
        };
        assert!(candidates(gpu).contains(&again));
        let now: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap();
        assert_ne!(now[key], value);
    }
    fs::write(file.path(), &text[..text.len() / 2]).unwrap();
    let _ = chosen();
    assert!(serde_json::from_slice::<serde_json::Value>(&fs::read(file.path()).unwrap()).is_ok());
}

/// What this adapter has of them agrees; on most software adapters that is nothing, and the plain kernel stands alone.
#[test]
fn matrix_units_are_tried_beside_the_plain_kernel_and_agree_with_it() {
    let gpu = adapter();
    let tried = try_units(gpu).unwrap();
    assert_eq!(tried.len(), 1 + gpu.cooperative.len());
    assert_eq!(tried[0].units, None);
    for one in &tried {
        assert!(one.agrees && one.seconds > 0.0, "{one:?}");
    }
    assert_eq!(gpu.tuning.cooperative, None, "never unless they were tried");
}

#[test]
fn matrix_units_that_give_other_numbers_are_not_used_however_fast() {
    let plain: Vec<f32> = (0..64).map(|i| (i as f32 - 20.0) * 0.1).collect();
    let off = |by: f32| plain.iter().map(|x| x * (1.0 + by)).collect::<Vec<_>>();
    assert!(agree(&plain, &plain, false));
    assert!(agree(&plain, &off(1e-3), true), "the rounding of f16");
    assert!(!agree(&plain, &off(1e-3), false), "but not of f32");
    assert!(!agree(&plain, &off(1e-2), true));
    let turned: Vec<f32> = plain.iter().rev().copied().collect();
    assert!(!agree(&plain, &turned, true), "another layout");
    let mut one_wrong = plain.clone();
    one_wrong[9] = f32::NAN;
    assert!(!agree(&plain, &one_wrong, true));
    assert!(!agree(&plain, &plain[..60], true));
    assert!(!agree(&plain, &[], true), "refused by the driver");

    let shape = |side| {
        Some(Cooperative {
            side,
            half: true,
            lanes: 64,
        })
    };
    let of = |units: [(f64, bool); 2]| {
        let own = TriedUnits {
            units: None,
            seconds: 1.0,
            agrees: true,
        };
        let shapes = [shape(16), shape(8)].into_iter().zip(units);
        let shapes = shapes.map(|(units, (seconds, agrees))| TriedUnits {
            units,
            seconds,
            agrees,
        });
        best_units(&std::iter::once(own).chain(shapes).collect::<Vec<_>>())
    };
    assert_eq!(of([(0.5, true), (0.6, true)]), shape(16));
    assert_eq!(of([(0.5, false), (0.6, true)]), shape(8));
    assert_eq!(of([(0.5, false), (0.99, true)]), None, "not clearly faster");
    assert_eq!(best_units(&[]), None);
}
