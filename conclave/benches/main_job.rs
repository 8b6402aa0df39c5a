//! The main job as somebody meets it: `cargo bench -p conclave --bench main_job`.
//!
//! Runs `conclave simulate` with its defaults on five seeds, as processes, and prints how long each takes, how good its
//! student is, and how soon the first line of progress is there.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (mut slowest, mut worst) = (Duration::ZERO, 1.0_f64);
    for seed in SEEDS {
        let out = folder.path().join(seed.to_string());
        let began = Instant::now();
        let output = simulate(seed).args(["--format", "json", "--out"]).arg(&out).output()?;
        let time = began.elapsed();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stdout).into_owned().into());
        }
        let result: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let accuracy = result["student"]["test_accuracy"].as_f64().unwrap_or(0.0);
        let epsilon = result["privacy"]["epsilon"].as_f64().unwrap_or(f64::NAN);
        println!(
            "simulate --seed {seed}    {:>6.2} s    student {:>5.1} % of unseen digits at epsilon {epsilon}",
            time.as_secs_f64(),
            accuracy * 100.0
        );
        slowest = slowest.max(time);
        worst = worst.min(accuracy);
    }
    println!("slowest              {:>6.2} s    worst   {:>5.1} %", slowest.as_secs_f64(), worst * 100.0);
    println!("first line of progress {:>4} ms", first_line(&folder.path().join("line"))?.as_millis());
    Ok(())
}

fn first_line(out: &std::path::Path) -> Result<Duration, Box<dyn Error>> {
    let began = Instant::now();
    let mut child = simulate(1).arg("--out").arg(out).stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let stderr = child.stderr.take().ok_or("no stderr")?;
    BufReader::new(stderr).read_line(&mut String::new())?;
    let time = began.elapsed();
    child.kill()?;
    child.wait()?;
    Ok(time)
}

fn simulate(seed: u64) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
    command.args(["simulate", "--seed", &seed.to_string()]);
    command
}
