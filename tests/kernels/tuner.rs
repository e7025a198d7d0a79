//! Workgroups that suit an adapter: tried once, kept, and only used where they were measured.

use std::fs;

use engine::gpu::tuner::{Tried, best, candidates, try_all, tuned_in};

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
    let measured = chosen();
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
        assert!(candidates(gpu).contains(&chosen()));
        let now: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap();
        assert_ne!(now[key], value);
    }
    fs::write(file.path(), &text[..text.len() / 2]).unwrap();
    let _ = chosen();
    assert!(serde_json::from_slice::<serde_json::Value>(&fs::read(file.path()).unwrap()).is_ok());
}
