//! Pictures of the window in small, compared with those in `tests/snapshots`: only where the picture is the point.
//!
//! `UPDATE_SNAPSHOTS=true cargo test --release` writes them anew; look at each before it is committed.

use egui_kittest::SnapshotResults;
use engine::imaging::{Axes, ColourMap, Direction, Note, Plane, Projection, Scale, Slab};
use workbench::offscreen::Offscreen;
use workbench::pictures::Drawn;
use workbench::state::{CompareMode, ViewTurn};

use super::*;
use crate::screen;

/// A head-like ellipsoid with an asymmetric inside, so that every flip and turn shows: bright at the patient's left,
/// a rod to the front, a ball at the top.
fn head() -> Volume {
    let size = [48, 56, 40];
    let mut voxels = Vec::new();
    for k in 0..40_i32 {
        for j in 0..56_i32 {
            for i in 0..48_i32 {
                let (x, y, z) = (f64::from(i - 24), f64::from(j - 28), f64::from(k - 20));
                let shell = (x / 20.0).powi(2) + (y / 25.0).powi(2) + (z / 18.0).powi(2);
                let left = (x - 9.0).powi(2) + y.powi(2) + z.powi(2) < 30.0;
                let front = x.abs() < 2.0 && z.abs() < 2.0 && y < -10.0;
                let top = x.powi(2) + y.powi(2) + (z - 11.0).powi(2) < 16.0;
                voxels.push(match shell {
                    s if s > 1.0 => -1000,
                    s if s > 0.85 => 900,
                    _ if left => 300,
                    _ if front => -300,
                    _ if top => 150,
                    _ => 40 + (i + j + k) as i16 % 5 * 6,
                });
            }
        }
    }
    let rows = [
        [1.0, 0.0, 0.0, -24.0],
        [0.0, 1.0, 0.0, -28.0],
        [0.0, 0.0, 1.5, -30.0],
    ];
    Volume {
        modality: Modality::Ct,
        ..Volume::new(size, Voxels::I16(voxels), Affine(rows))
    }
}

/// The window with the head open, no model and no words about one.
fn head_desk(volume: Volume) -> Desk {
    let mut desk = Desk::default();
    desk.perform(Action::OpenPaths(vec!["scans".into()]));
    let found = EventKind::ScanDone {
        series: vec![series("s1", "Head", Modality::Ct)],
        skipped: Vec::new(),
    };
    desk.event(1, found);
    let loaded = EventKind::SeriesLoaded {
        id: "s1".to_owned(),
        loaded: Loaded::Volume(Arc::new(volume)),
    };
    desk.event(2, loaded);
    desk.perform(Action::Preset(4));
    desk
}

/// The same head as an MR beside it.
fn with_mr(mut desk: Desk) -> Desk {
    desk.state
        .library
        .series
        .push(series("mr", "T1", Modality::Mr));
    desk.perform(Action::ShowBeside("mr".to_owned()));
    let job = desk.last_job();
    let head = head();
    let Voxels::I16(hu) = &head.voxels else {
        panic!("the head has 16 bits");
    };
    let signal = hu.iter().map(|hu| match *hu {
        -1000 => 0,
        900 => 20,
        300 => 400,
        other => 200 - other / 3,
    });
    let volume = Volume {
        modality: Modality::Mr,
        voxels: Voxels::I16(signal.collect()),
        ..head.clone()
    };
    let loaded = EventKind::SeriesLoaded {
        id: "mr".to_owned(),
        loaded: Loaded::Volume(Arc::new(volume)),
    };
    desk.event(job, loaded);
    desk
}

/// Draws only the viewports and their tools, at 720 x 560, and compares.
fn check(results: &mut SnapshotResults, name: &str, desk: Desk) {
    let mut harness = Harness::builder()
        .with_size(vec2(720.0, 560.0))
        .with_max_steps(16)
        .with_context_setup(workbench::theme::install)
        .renderer(screen::renderer())
        .build_ui_state(
            |ui, desk: &mut Desk| {
                desk.pictures.sync(ui.ctx(), &desk.state);
                let bar = egui::Frame::new().inner_margin(egui::Margin::symmetric(10, 5));
                let wanted = workbench::view::stage_ui(
                    ui,
                    &desk.state.viewer,
                    (&desk.state.measurements, &desk.state.keymap),
                    &desk.pictures,
                    bar,
                );
                for action in wanted {
                    desk.perform(action);
                }
            },
            desk,
        );
    harness.run_steps(4);
    results.add(harness.try_snapshot_options(name, &screen::snapshot_options()));
}

fn check_after(results: &mut SnapshotResults, name: &str, actions: &[Action]) {
    let mut desk = head_desk(head());
    for action in actions {
        desk.perform(action.clone());
    }
    check(results, name, desk);
}

#[test]
fn each_plane_with_its_letters() {
    let mut results = SnapshotResults::new();
    for plane in Plane::ALL {
        check_after(
            &mut results,
            &format!("plane_{}", plane.name()),
            &[Action::SetPlane(plane)],
        );
    }
}

#[test]
fn turned_and_flipped() {
    let mut results = SnapshotResults::new();
    for (name, turn) in [
        ("flip_h", ViewTurn::FlipHorizontally),
        ("flip_v", ViewTurn::FlipVertically),
        ("rotate_right", ViewTurn::RotateRight),
        ("rotate_left", ViewTurn::RotateLeft),
    ] {
        check_after(&mut results, &format!("turn_{name}"), &[Action::Turn(turn)]);
    }
}

#[test]
fn windows_and_colours() {
    let mut results = SnapshotResults::new();
    check_after(&mut results, "window_lung", &[Action::Preset(7)]);
    check_after(&mut results, "window_inverted", &[Action::ToggleInvert]);
    for colours in [ColourMap::Viridis, ColourMap::Cividis, ColourMap::Inferno] {
        let name = format!("colours_{}", colours.name().to_lowercase());
        check_after(&mut results, &name, &[Action::SetColours(colours)]);
    }
}

#[test]
fn zoomed_and_panned() {
    let mut results = SnapshotResults::new();
    let zoom = Action::Zoom {
        factor: 3.0,
        about: [60.0, 20.0],
    };
    check_after(&mut results, "zoomed", &[zoom, Action::Pan([-25.0, 10.0])]);
}

#[test]
fn slabs() {
    let mut results = SnapshotResults::new();
    for (name, projection) in [
        ("slab_mip", Projection::Maximum),
        ("slab_minip", Projection::Minimum),
        ("slab_mean", Projection::Mean),
    ] {
        let slab = Slab {
            projection,
            mm: 20.0,
        };
        let coronal = Action::SetPlane(Plane::Coronal);
        check_after(&mut results, name, &[coronal, Action::SetSlab(Some(slab))]);
    }
}

#[test]
fn two_three_and_four_viewports() {
    let mut results = SnapshotResults::new();
    check_after(&mut results, "two_viewports", &[Action::SetViewports(2)]);
    let place = Action::SetCrosshair([9.0, 0.0, 0.0]);
    check_after(&mut results, "planes", &[Action::ShowPlanes, place.clone()]);
    check_after(
        &mut results,
        "four_viewports",
        &[Action::ShowPlanes, Action::SetViewports(4), place],
    );
}

#[test]
fn an_oblique_head_along_its_voxels_and_along_the_patient() {
    let mut results = SnapshotResults::new();
    let (sin, cos) = 20_f64.to_radians().sin_cos();
    let rows = [
        [cos, -sin, 0.0, -13.0],
        [sin, cos, 0.0, -34.0],
        [0.0, 0.0, 1.5, -30.0],
    ];
    let volume = Volume {
        patient_from_voxel: Affine(rows),
        ..head()
    };
    check(&mut results, "oblique_acquired", head_desk(volume.clone()));
    let mut desk = head_desk(volume);
    desk.perform(Action::SetAxes(Axes::Patient));
    check(&mut results, "oblique_patient", desk);
}

#[test]
fn two_series_side_by_side_and_as_one_picture() {
    let mut results = SnapshotResults::new();
    check(
        &mut results,
        "pair_side_by_side",
        with_mr(head_desk(head())),
    );
    for (name, mode) in [
        ("pair_swipe", CompareMode::Swipe(0.5)),
        ("pair_blend", CompareMode::Blend(0.5)),
        ("pair_difference", CompareMode::Difference),
    ] {
        let mut desk = with_mr(head_desk(head()));
        desk.perform(Action::CompareSeries(mode));
        check(&mut results, name, desk);
    }
    let mut desk = with_mr(head_desk(head()));
    desk.perform(Action::CompareSeries(CompareMode::Blend(0.6)));
    desk.perform(Action::Activate(1));
    desk.perform(Action::SetColours(ColourMap::Inferno));
    check(&mut results, "pair_blend_in_colour", desk);
}

#[test]
fn what_cannot_be_shown_says_why() {
    let mut results = SnapshotResults::new();
    check(&mut results, "empty", Desk::default());
    let mut desk = head_desk(head());
    let view = desk.state.viewer.volume_mut().unwrap();
    view.volume = Arc::new(Volume {
        lossy: true,
        notes: vec![Note::Uneven {
            low_mm: 1.5,
            high_mm: 3.0,
        }],
        ..head()
    });
    check(&mut results, "notes", desk);
    let mut desk = head_desk(head());
    let view = desk.state.viewer.volume_mut().unwrap();
    view.volume = Arc::new(Volume {
        calibrated: false,
        scale: Scale::Unknown,
        ..head()
    });
    check(&mut results, "uncalibrated", desk);
    let mut desk = head_desk(head());
    let view = desk.state.viewer.volume_mut().unwrap();
    view.volume = Arc::new(Volume {
        calibrated: false,
        scale: Scale::Detector,
        sides: Some([Direction([1.0, 0.0, 0.0]), Direction([0.0, 0.0, -1.0])]),
        ..head()
    });
    check(&mut results, "on_a_detector", desk);
}

/// A thick slab along turned axes, cut by the processor and by the card (lavapipe, made to): the same pixels on screen.
#[test]
fn a_slab_from_the_card_is_the_processors() {
    let turned = [
        [0.95, 0.3, 0.0, -24.0],
        [-0.3, 0.95, 0.1, -28.0],
        [0.0, -0.1, 1.5, -30.0],
    ];
    let volume = Volume {
        patient_from_voxel: Affine(turned),
        ..head()
    };
    let mut screen = Offscreen::new([480, 480], true).unwrap();
    workbench::theme::install(&screen.ctx);
    let mut pictures = [false, true].map(|card| {
        let volumes = card.then(|| screen.volumes());
        Pictures::new(Some(screen.format())).on_card(volumes)
    });
    for projection in [Projection::Maximum, Projection::Mean] {
        let mut desk = head_desk(volume.clone());
        desk.perform(Action::SetAxes(Axes::Patient));
        desk.perform(Action::SetSlab(Some(Slab {
            projection,
            mm: 12.0,
        })));
        let drawn = pictures.each_mut().map(|pictures| {
            for _ in 0..4 {
                let frame = screen.frame(Vec::new(), |ui| {
                    pictures.sync(ui.ctx(), &desk.state);
                    let _ = workbench::view::stage_ui(
                        ui,
                        &desk.state.viewer,
                        (&desk.state.measurements, &desk.state.keymap),
                        pictures,
                        egui::Frame::new(),
                    );
                });
                frame.unwrap();
            }
            let cut = pictures.slice(0).unwrap().unwrap();
            (
                matches!(cut, Drawn::Slice(_, Some(_))),
                screen.image().unwrap(),
            )
        });
        let [(false, processor), (true, card)] = drawn else {
            panic!("not cut where it should be");
        };
        let apart = processor
            .pixels()
            .zip(card.pixels())
            .filter(|(a, b)| a != b);
        let bright = card.pixels().filter(|pixel| pixel.0[0] > 60).count();
        // A sample between two grey levels may be rounded the other way.
        assert!(apart.count() < 30 && bright > 10_000, "{bright} bright");
    }
}
