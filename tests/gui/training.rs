//! The training panel: a configuration is typed, steps arrive, a run pauses, goes on, ends and fails.

use std::path::PathBuf;

use super::*;
use engine::training::TrainError;
use engine::training::step::TrainStep;

fn step(step: u64, loss: f64) -> EventKind {
    EventKind::TrainStep(TrainStep {
        step,
        of: 10,
        loss,
        elapsed_secs: 60.0 * step as f64,
        ..TrainStep::default()
    })
}

fn click(harness: &mut Harness<'_, Desk>, name: &str) {
    harness.get_by_role_and_label(Role::Button, name).click();
    harness.run_steps(4);
}

#[test]
fn a_run_is_started_watched_paused_and_resumed() {
    let mut harness = harness(ct_desk());
    click(&mut harness, "Training…");
    assert!(shows(&harness, "No step done yet"));
    let field = harness.get_by_role_and_label(Role::TextInput, "Configuration of the run");
    field.focus();
    harness.run_steps(2);
    let field = harness.get_by_role_and_label(Role::TextInput, "Configuration of the run");
    field.type_text("runs/plug-in.toml");
    harness.run_steps(4);
    click(&mut harness, "Start");
    let sent = harness
        .state()
        .effects
        .iter()
        .rev()
        .find_map(|effect| match effect {
            Effect::Send {
                command: Command::Train { config },
                ..
            } => Some(config.clone()),
            _ => None,
        });
    assert_eq!(sent, Some(PathBuf::from("runs/plug-in.toml")));

    let job = harness.state().last_job();
    for (number, loss) in [(1, 4.0), (2, 3.0), (3, 2.5)] {
        harness.state_mut().event(job, step(number, loss));
    }
    let EventKind::TrainStep(mut validated) = step(4, 2.25) else {
        unreachable!("a step is a step");
    };
    let _ = validated.scores.insert("val ssim ct2mri".to_owned(), 41.5);
    harness
        .state_mut()
        .event(job, EventKind::TrainStep(validated));
    harness.state_mut().event(job, step(5, 2.125));
    harness.run_steps(4);
    assert!(shows(
        &harness,
        "Step 5 of 10, 5 min so far, about 5 min left"
    ));
    assert!(shows(&harness, "Loss curve, last loss 2.1250"));
    assert!(
        shows(&harness, "41.500"),
        "the last validation's score stays"
    );
    click(&mut harness, "Pause");
    assert!(matches!(harness.state().effects.last(), Some(Effect::Stop(id)) if *id == JobId(job)));
    let out = PathBuf::from("runs/out");
    let ended = EventKind::Trained {
        out: out.clone(),
        finished: false,
    };
    harness.state_mut().event(job, ended);
    harness.run_steps(4);
    assert!(shows(
        &harness,
        "Paused; log and checkpoint are in runs/out"
    ));

    click(&mut harness, "Resume");
    let job = harness.state().last_job();
    harness.state_mut().event(job, step(6, 2.0));
    assert_eq!(harness.state().state.training.losses.len(), 6);
    let ended = EventKind::Trained {
        out,
        finished: true,
    };
    harness.state_mut().event(job, ended);
    harness.run_steps(4);
    assert!(shows(&harness, "Finished; the result is in runs/out"));
}

#[test]
fn a_failed_run_says_why_and_can_be_started_again() {
    let mut harness = harness(ct_desk());
    harness.state_mut().state.training.config_draft = "run.toml".to_owned();
    click(&mut harness, "Training…");
    click(&mut harness, "Start");
    let job = harness.state().last_job();
    let error = Error::from(TrainError::NotANumber { step: 7 });
    harness
        .state_mut()
        .event(job, EventKind::Failed(Arc::new(error)));
    harness.run_steps(4);
    assert!(shows(
        &harness,
        "the loss is not a number at step 7; lower the learning rate and resume from the last checkpoint"
    ));
    assert!(
        harness
            .query_by_role_and_label(Role::Button, "Start")
            .is_some()
    );
}
