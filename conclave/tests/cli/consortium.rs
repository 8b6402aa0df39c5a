//! A small consortium of processes: kits, tables of a few rows, settings files, and the roles run by the built binary.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::binary::{Running, Scratch, conclave};

/// Everything that the roles of two silos and a hub need; nobody runs yet.
pub(crate) struct Consortium {
    pub(crate) scratch: Scratch,
    pub(crate) silos: Vec<SocketAddr>,
    pub(crate) aggregator: SocketAddr,
}

pub(crate) const SILOS: usize = 2;
/// Teachers of each silo.
pub(crate) const TEACHERS: usize = 2;
/// Public examples.
pub(crate) const POOL_ROWS: usize = 40;

impl Consortium {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        let kits = scratch.path("kits");
        conclave(&["provision", "--consortium", "north", "--silos", &SILOS.to_string(), "--out", &kits]);
        scratch.file("pool.csv", table(0, POOL_ROWS).as_bytes());
        let pool = scratch.path("pool.csv");
        let manifest = scratch.path("pool.manifest");
        conclave(&["data", "manifest", &pool, "--out", &manifest]);
        let silos: Vec<_> = (0..SILOS).map(|_| free_port()).collect();
        let consortium = Self { scratch, silos, aggregator: free_port() };
        for number in 1..=SILOS {
            let rows = table(number * 1_000, 60);
            consortium.scratch.file(&format!("private-{number}.csv"), rows.as_bytes());
            consortium.scratch.file(&format!("teacher-{number}.toml"), consortium.teacher(number).as_bytes());
        }
        consortium.scratch.file("aggregator.toml", consortium.aggregator("").as_bytes());
        consortium.scratch.file("student.toml", consortium.student().as_bytes());
        consortium
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.scratch.path(name)
    }

    pub(crate) fn kit(&self, name: &str) -> String {
        self.path(&format!("kits/{name}"))
    }

    /// Starts every silo's node and waits until each listens.
    pub(crate) fn run_silos(&self) -> Vec<Running> {
        let start =
            |number| Running::start("teacher", &self.path(&format!("teacher-{number}.toml")), "listening");
        (1..=SILOS).map(start).collect()
    }

    pub(crate) fn run_aggregator(&self) -> Running {
        Running::start("aggregator", &self.path("aggregator.toml"), "listening")
    }

    /// Settings of a silo's node, counted from 1.
    pub(crate) fn teacher(&self, number: usize) -> String {
        let source = |file: &str| {
            format!(
                "kind = 'csv'\npath = '{}'\nlabel = 'state'\nclasses = ['ill', 'well']\n",
                self.path(file)
            )
        };
        format!(
            "listen = '{}'\nkit = '{}'\nstate_dir = '{}'\nteachers = {TEACHERS}\n\
             [data.source]\n{}[pool.source]\n{}[pool.features]\nkind = 'standardised'\n[protects]\nunit = 'record'\n\
             [limits]\nepsilon_max = 8.0\ndelta_max = 1e-5\nnoise_min_votes = 2.0\nqueries_max = 1000\n",
            self.silos[number - 1],
            self.kit(&format!("teacher-silo-{number}-node")),
            self.path(&format!("state-{number}")),
            source(&format!("private-{number}.csv")),
            source("pool.csv"),
        )
    }

    /// Settings of the aggregator, with `more` before its sections.
    pub(crate) fn aggregator(&self, more: &str) -> String {
        let nodes = self.silos.iter().enumerate().map(|(index, address)| {
            format!("[[nodes]]\norganisation = 'silo-{}'\nnode = 'node'\naddress = '{address}'\n", index + 1)
        });
        format!(
            "listen = '{}'\nkit = '{}'\nledger = '{}'\npool = '{}'\n{more}\
             [campaign]\nid = 'wards'\nmechanism = {{ kind = 'gnmax', sigma = 4.0 }}\nunit = 'record'\nepsilon = 8.0\n\
             delta = 1e-5\nteachers_quorum_min = 4\nqueries_max = 30\n[accounts]\nepsilon = 8.0\n\
             [flow]\nretry_ms = 100\nenrolment_wait_ms = 3000\n{}",
            self.aggregator,
            self.kit("aggregator-hub-aggregator"),
            self.path("state/ledger.db"),
            self.path("pool.manifest"),
            nodes.collect::<String>(),
        )
    }

    fn student(&self) -> String {
        format!(
            "listen = '127.0.0.1:0'\nkit = '{}'\ncampaign = 'wards'\nmodel_path = '{}'\n\
             [aggregator]\naddress = '{}'\nidentity = 'conclave://north/aggregator/hub/aggregator'\n\
             [pool.source]\nkind = 'csv'\npath = '{}'\nlabel = 'state'\nclasses = ['ill', 'well']\n\
             [pool.features]\nkind = 'standardised'\n",
            self.kit("student-hub-student"),
            self.path("state/student.model"),
            self.aggregator,
            self.path("pool.csv"),
        )
    }

    /// Replaces `from` by `to` in one of the settings files.
    pub(crate) fn change(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(file)).expect("it was written above");
        assert!(text.contains(from), "{from} is not in {file}");
        self.scratch.file(file, text.replacen(from, to, 1).as_bytes());
    }
}

/// Rows of two clouds that are told apart by their first column; `start` makes rows differ between tables.
fn table(start: usize, rows: usize) -> String {
    let row = |index: usize| {
        let number = start + index;
        let ill = index.is_multiple_of(2);
        let centre = if ill { 40 } else { 60 };
        let spread = |step: usize, width: usize| number * step % width;
        format!(
            "{}.{},{},{}\n",
            centre + spread(7, 9),
            number,
            spread(13, 50),
            if ill { "ill" } else { "well" }
        )
    };
    "age,weight,state\n".to_owned() + &(0..rows).map(row).collect::<String>()
}

pub(crate) fn free_port() -> SocketAddr {
    // Below the ports that systems give to whoever dials out: one that is free now is not taken by the next call of another
    // test. Processes begin at different ones.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(211).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 12_000 + u16::try_from(number % 20_000).expect("below 20,000");
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().expect("a bound port has an address");
        }
    }
}
