//! `workbench verify`: a model against the reference numbers beside it, stage by stage.

use engine::Error;
use engine::device::choose;
use engine::model::verify::{Stage, verify};
use serde_json::json;

use super::args::{Global, VerifyArgs};
use super::console::Console;
use super::failure::Failure;
use super::worker;

/// Prints every stage in the order of the pipeline, then the largest difference of each run. Result: did all pass?
///
/// # Errors
/// The model cannot be loaded, or nothing is there to compare with.
pub fn run(args: &VerifyArgs, global: &Global, console: &mut Console<'_>) -> Result<bool, Failure> {
    let (dir, choice) = (args.model_dir.clone(), global.device);
    let (device, stages) = worker::run("comparing", console, move |_| {
        let (device, info) = choose(choice).map_err(Error::NoAdapter)?;
        Ok((info, verify(&dir, &device)?))
    })?;
    console.say(&format!("device: {}: {}", device.name, device.reason));
    let failed = stages.iter().filter(|stage| !stage.passed()).count();
    let passed = failed == 0 && !stages.is_empty();

    let width = stages
        .iter()
        .map(|stage| stage.stage.chars().count())
        .max()
        .unwrap_or(0);
    console.print(&format!(
        "{:<9}  {:<width$}  {:>10}  {:>9}\n",
        "run", "stage", "difference", "tolerance"
    ))?;
    for stage in &stages {
        console.print(&row(stage, width))?;
    }
    console.print("\nlargest difference of each run\n")?;
    for stage in worst(&stages) {
        console.print(&row(stage, width))?;
    }
    console.print(&match failed {
        _ if stages.is_empty() => "nothing was compared\n".to_owned(),
        0 => format!("all {} stages are within tolerance\n", stages.len()),
        _ => format!("{failed} of {} stages are past tolerance\n", stages.len()),
    })?;

    let rows: Vec<_> = stages
        .iter()
        .map(|stage| {
            let mut value = json!(stage);
            value["passed"] = json!(stage.passed());
            value
        })
        .collect();
    console.print_json(&json!({
        "passed": passed,
        "stages": rows,
        "past_tolerance": failed,
        "device": device,
        "model_dir": args.model_dir,
    }))?;
    Ok(passed)
}

/// The stage of each run that comes closest to its tolerance, or is farthest past it.
fn worst(stages: &[Stage]) -> Vec<&Stage> {
    let share = |stage: &Stage| {
        // Exact stages have no tolerance to share: any difference is past it.
        let share = if stage.tolerance > 0.0 {
            stage.difference / stage.tolerance
        } else {
            stage.difference * f64::MAX
        };
        if share.is_nan() && stage.difference.is_nan() {
            f64::INFINITY
        } else {
            share
        }
    };
    let mut worst: Vec<&Stage> = Vec::new();
    for stage in stages {
        match worst.iter_mut().find(|other| other.run == stage.run) {
            Some(other) if share(stage) > share(other) => *other = stage,
            Some(_) => {}
            None => worst.push(stage),
        }
    }
    worst
}

fn row(stage: &Stage, width: usize) -> String {
    let exact = stage.tolerance == 0.0;
    let (difference, tolerance) = if exact {
        (format!("{} differ", stage.difference), "exact".to_owned())
    } else {
        (
            format!("{:.2e}", stage.difference),
            format!("{:.0e}", stage.tolerance),
        )
    };
    let mark = if stage.passed() {
        ""
    } else {
        "  past tolerance"
    };
    format!(
        "{:<9}  {:<width$}  {difference:>10}  {tolerance:>9}{mark}\n",
        stage.run, stage.stage
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(run: &'static str, difference: f64, tolerance: f64) -> Stage {
        Stage {
            run,
            stage: format!("{difference}"),
            difference,
            tolerance,
        }
    }

    #[test]
    fn the_worst_stage_is_measured_against_its_own_tolerance() {
        let stages = [
            stage("com", 5e-5, 1e-4),
            stage("com", 9e-6, 1e-5),
            stage("gen", 0.0, 0.0),
            stage("gen", 1.0, 1.0),
            stage("vq", f64::NAN, 1e-4),
            stage("vq", 1.0, 0.0),
        ];
        let names: Vec<&str> = worst(&stages)
            .iter()
            .map(|stage| stage.stage.as_str())
            .collect();
        assert_eq!(names, ["0.000009", "1", "NaN"]);
    }

    #[test]
    fn a_row_says_when_it_is_past_tolerance() {
        assert!(row(&stage("com", 2e-4, 1e-4), 5).ends_with("past tolerance\n"));
        assert!(row(&stage("com", 3.0, 0.0), 5).contains("3 differ      exact  past"));
        assert!(!row(&stage("com", 1e-4, 1e-4), 5).contains("past"));
    }
}
