//! The words in the corners of the picture: who and what is shown, what to know of it, and how to be rid of them.

use workbench::state::CompareMode;

use super::*;

/// The CT of a patient with an MR beside it.
fn overlaid(mode: CompareMode) -> Desk {
    let mut desk = ct_desk();
    desk.state
        .library
        .series
        .push(series("mr", "T1", Modality::Mr));
    desk.perform(Action::ShowBeside("mr".to_owned()));
    let loaded = Loaded::Volume(Arc::new(Volume {
        modality: Modality::Mr,
        lossy: true,
        ..ct_volume()
    }));
    let id = "mr".to_owned();
    desk.event(desk.last_job(), EventKind::SeriesLoaded { id, loaded });
    desk.perform(Action::CompareSeries(mode));
    desk
}

#[test]
fn who_is_shown_stands_above_what_is_shown() {
    let harness = harness(ct_desk());
    let painted = painted(&harness);
    let whole = "Test Phantom  P-1\nCT  Knee thin";
    assert!(says(&painted, whole), "{painted:?}");
}

#[test]
fn one_picture_of_two_says_whose_they_are_and_how_they_were_made() {
    for mode in [
        CompareMode::Swipe(0.5),
        CompareMode::Flicker,
        CompareMode::Blend(0.5),
        CompareMode::Difference,
    ] {
        let mut harness = harness(overlaid(mode));
        harness.run_steps(3);
        let painted = painted(&harness);
        for text in ["Test Phantom  P-1", "CT  Knee thin"] {
            assert!(says(&painted, text), "{mode:?}: {painted:?}");
        }
        let second = says(&painted, "MR  T1");
        assert!(second, "{mode:?}: {painted:?}");
    }
    // Of two patients both are named.
    let mut desk = overlaid(CompareMode::Blend(0.5));
    let other = desk.state.viewer.viewports[1].open_mut().unwrap();
    other.series.patient.name = "Another One".to_owned();
    let mut harness = harness(desk);
    harness.run_steps(3);
    let painted = painted(&harness);
    let both = "Test Phantom  P-1\nAnother One  P-1";
    assert!(says(&painted, both), "{painted:?}");
}

#[test]
fn what_is_to_be_known_of_the_second_is_said_and_covers_nothing() {
    let mut harness = harness(overlaid(CompareMode::Swipe(0.5)));
    harness.run_steps(3);
    let painted = painted(&harness);
    assert!(says(&painted, "MR  T1: Lossy source"), "{painted:?}");
    for (number, (a, text)) in painted.iter().enumerate() {
        for (b, other) in painted.iter().skip(number + 1) {
            assert!(!a.intersects(*b), "{text:?} lies over {other:?}");
        }
    }
}

#[test]
fn the_words_in_the_corners_can_be_hidden_but_warnings_stay() {
    let mut desk = ct_desk();
    let view = desk.state.viewer.volume_mut().unwrap();
    Arc::make_mut(&mut view.volume).lossy = true;
    let mut harness = harness(desk);
    harness.get_by_label("Display").click();
    harness.run_steps(3);
    harness.get_by_label("Corner text").click();
    harness.run_steps(3);
    let hidden = painted(&harness);
    for text in ["Test Phantom", "Knee thin", "Slice 11", "Zoom"] {
        assert!(!says(&hidden, text), "{text} in {hidden:?}");
    }
    for text in ["Lossy source", "L", " mm"] {
        assert!(says(&hidden, text), "no {text} in {hidden:?}");
    }
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    harness.key_press(Key::O);
    harness.run_steps(3);
    assert!(says(&painted(&harness), "Test Phantom"));
    // The choice is kept.
    harness.key_press(Key::O);
    harness.run_steps(3);
    let state = &mut harness.state_mut().state;
    state.remember_layout();
    let next = State::with_settings(state.settings.clone(), None);
    assert!(!next.viewer.corners_visible);
}

#[test]
fn an_overlay_without_corner_text_keeps_its_warnings() {
    let mut desk = overlaid(CompareMode::Swipe(0.5));
    desk.perform(Action::ToggleCorners);
    let mut harness = harness(desk);
    harness.run_steps(3);
    let painted = painted(&harness);
    assert!(!says(&painted, "Test Phantom"), "{painted:?}");
    for text in ["MR  T1: Lossy source", "No common frame of reference"] {
        assert!(says(&painted, text), "{painted:?}");
    }
}
