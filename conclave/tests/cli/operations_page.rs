//! What `docs/operations.md` tells people to type, typed.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::binary::Scratch;

#[test]
fn the_trial_cluster_of_processes_comes_up_as_the_page_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let page = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let section = page.split("## A trial cluster of processes\n").nth(1).expect("the section");
    let typed = section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let settings = "settings=../deploy/compose";
    assert!(typed.contains(settings), "the page says where the settings come from");

    // As it stands but for its ports, which may be taken here.
    let ports = free_ports();
    let moved = |text: &str| text.replace(":74", &format!(":{ports}"));
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("settings")).unwrap();
    for file in ["teacher", "teacher-dial-out", "aggregator", "student"] {
        let text = fs::read_to_string(root.join(format!("deploy/compose/{file}.toml"))).unwrap();
        scratch.file(&format!("settings/{file}.toml"), moved(&text).as_bytes());
    }
    let typed = moved(typed).replace(settings, "settings=settings");
    let binaries = Path::new(env!("CARGO_BIN_EXE_conclave")).parent().expect("a folder").display();
    let before = format!("PATH='{binaries}':$PATH\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n");
    let script = scratch.file("typed.sh", (before + &typed).as_bytes());

    let output = |name: &str| Stdio::from(fs::File::create(scratch.path(name)).unwrap());
    let mut shell = Command::new("bash")
        .args(["-eu", &script])
        .current_dir(scratch.path("."))
        .env_remove("CONCLAVE_LOG")
        .stdin(Stdio::null())
        .stdout(output("stdout"))
        .stderr(output("stderr"))
        .process_group(0)
        .spawn()
        .expect("bash runs");
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = shell.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            let group = format!("-{}", shell.id());
            Command::new("kill").args(["-KILL", "--", &group]).status().expect("a process can be signalled");
            shell.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let read = |name: &str| fs::read_to_string(scratch.path(name)).unwrap_or_default();
    let told = read("stdout");
    assert!(status.is_some_and(|status| status.success()), "{status:?}\n{told}\n{}", read("stderr"));
    assert_eq!(read("labels.csv").matches(",label,").count(), 200, "{told}");
    assert!(told.contains("Campaign digits-1 (gnmax)"), "no certificate: {told}");
}

/// Two digits with which a block of ports begins that are all free.
fn free_ports() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut blocks = 11..32;
    blocks.find(|block| (1..16).all(|port| free(block * 100 + port))).expect("a block of free ports")
}

/// In an ordinary build it takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(90);
