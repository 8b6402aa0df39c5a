//! The built binary, run as a person or a script would.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub(crate) fn conclave(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
    command.args(args).stdin(Stdio::null());
    // What the tests run in must not steer what they run.
    for variable in ["CONCLAVE_LOG", "COLUMNS", "NO_COLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command.output().expect("the binary runs")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("results are UTF-8")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are UTF-8")
}

/// Stdout as exactly one JSON object.
pub(crate) fn json(output: &Output) -> Value {
    let text = stdout(output);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{}", stderr(output)))
}

/// A directory that goes away with the test.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a scratch directory can be written");
        path
    }
}

/// A role as a process of its own; killed when dropped.
#[cfg(unix)]
pub(crate) struct Running {
    process: Child,
    pub(crate) address: String,
}

#[cfg(unix)]
impl Running {
    /// Starts it and waits until a line of its log begins with `ready` and says where it listens. Then nobody reads the
    /// log any more, which must not keep the process from working or from being stopped.
    pub(crate) fn start(role: &str, config: &str, ready: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_conclave"))
            .args([role, "run", "--config", config, "--log", "info"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let log = BufReader::new(process.stderr.take().expect("stderr is piped"));
        let mut told = String::new();
        let address = log.lines().map_while(Result::ok).find_map(|line| {
            told += &line;
            let line: Value = serde_json::from_str(&line).ok()?;
            let ready = line["message"].as_str()?.starts_with(ready);
            ready.then(|| line["address"].as_str().map(str::to_owned))?
        });
        let address = address.unwrap_or_else(|| panic!("never ready: {told}"));
        Self { process, address }
    }

    /// Asks it to stop, and tells its exit status.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("a process can be signalled");
        self.process.wait().expect("it was started here").code()
    }
}

#[cfg(unix)]
impl Drop for Running {
    fn drop(&mut self) {
        // Already gone, unless the test failed before it stopped the process.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
