//! A process is stopped by signals in an orderly way, and its exit status tells how it ended. Each scene runs in a
//! process of its own: this very test binary, asked for the one ignored test that plays the scene.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests, also outside of test functions")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use conclave_service::lifecycle::{self, ExitStatus, Failure};
use conclave_service::telemetry;
use tokio_util::sync::CancellationToken;

const SCENE: &str = "CONCLAVE_TEST_SCENE";

#[test]
#[ignore = "a scene, played in a process of its own by the tests below"]
fn scene() {
    let Some(scene) = std::env::var_os(SCENE).and_then(|scene| scene.into_string().ok()) else { return };
    let code = lifecycle::run("scene", |shutdown| play(scene, shutdown));
    let status = (0..=u8::MAX).find(|status| ExitCode::from(*status) == code).unwrap();
    std::process::exit(i32::from(status));
}

async fn play(scene: String, shutdown: CancellationToken) -> Result<(), Failure> {
    println!("\nready");
    match scene.as_str() {
        "ends" => Ok(()),
        "refused" => Err(Failure::new(ExitStatus::Budget, "epsilon 3.1 is above the cap 3.0; ask for less")),
        "drains" => {
            shutdown.cancelled().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            println!("drained");
            Ok(())
        }
        "is cut short" => {
            shutdown.cancelled().await;
            Err(Failure::interrupted("run it again to resume"))
        }
        "hangs" => {
            shutdown.cancelled().await;
            println!("stopping");
            std::future::pending().await
        }
        "logs" => {
            telemetry::start(Some("warn"))?;
            tracing::info!("below the level");
            tracing::warn!(node = "t1", "above the level");
            assert!(telemetry::start(None).is_err(), "logging starts once");
            Ok(())
        }
        "logs nonsense" => Ok(telemetry::start(Some("conclave=shout"))?),
        "computes" => loop {
            std::thread::sleep(Duration::from_millis(10));
        },
        other => panic!("no scene {other}"),
    }
}

struct Play {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Play {
    fn start(scene: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "scene", "--nocapture"])
            .env(SCENE, scene)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut play = Self { child, lines };
        play.wait_for("ready");
        play
    }

    fn wait_for(&mut self, line: &str) {
        assert!(self.lines.by_ref().any(|read| read.unwrap() == line), "{line} was not printed");
    }

    fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success()
        );
    }

    fn end(self) -> (i32, String) {
        let output = self.child.wait_with_output().unwrap();
        (output.status.code().expect("ended by itself"), String::from_utf8(output.stderr).unwrap())
    }
}

#[test]
fn a_body_that_ends_by_itself_exits_0() {
    assert_eq!(Play::start("ends").end().0, 0);
}

#[test]
fn a_failure_exits_with_its_status_and_words() {
    let (status, words) = Play::start("refused").end();
    assert_eq!(status, 3);
    assert!(words.contains("scene: epsilon 3.1 is above the cap 3.0"), "{words}");
}

#[test]
fn either_signal_lets_a_service_drain_and_exit_0() {
    for signal in ["-TERM", "-INT"] {
        let mut play = Play::start("drains");
        play.signal(signal);
        play.wait_for("drained");
        assert_eq!(play.end().0, 0, "{signal}");
    }
}

#[test]
fn an_interrupted_task_exits_1_and_says_how_to_resume() {
    let play = Play::start("is cut short");
    play.signal("-INT");
    let (status, words) = play.end();
    assert_eq!(status, 1);
    assert!(words.contains("interrupted; run it again to resume"), "{words}");
}

#[test]
fn a_body_that_computes_without_pause_can_be_stopped_too() {
    let play = Play::start("computes");
    play.signal("-TERM");
    // Two signals at the same instant are one.
    std::thread::sleep(Duration::from_millis(200));
    play.signal("-TERM");
    let (status, words) = play.end();
    assert_eq!(status, 1);
    assert!(words.contains("second signal"), "{words}");
}

#[test]
fn logs_on_a_pipe_are_json_lines_on_stderr_from_the_level_on() {
    let (status, words) = Play::start("logs").end();
    assert_eq!(status, 0, "{words}");
    let lines: Vec<&str> = words.lines().collect();
    let [line] = lines[..] else { panic!("{words}") };
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    for part in ["\"level\":\"WARN\"", "\"message\":\"above the level\"", "\"node\":\"t1\""] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_malformed_log_filter_is_bad_input_with_value_and_fix() {
    let (status, words) = Play::start("logs nonsense").end();
    assert_eq!(status, 2);
    assert!(words.contains("conclave=shout") && words.contains("write a level"), "{words}");
}

#[test]
fn a_second_signal_ends_a_process_that_hangs_at_once() {
    let mut play = Play::start("hangs");
    play.signal("-TERM");
    play.wait_for("stopping");
    let started = Instant::now();
    play.signal("-INT");
    let (status, words) = play.end();
    assert_eq!(status, 1);
    assert!(words.contains("second signal"), "{words}");
    assert!(started.elapsed() < lifecycle::DRAIN_GRACE / 2);
}
