//! What a Prometheus would read: the admin page of an aggregator, over plain HTTP.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{free_port, pause};

/// Lets the process that a settings file describes show its figures; where.
pub(crate) fn watch(config: &Path) -> SocketAddr {
    let address = free_port();
    let mut file = OpenOptions::new().append(true).open(config).unwrap();
    write!(file, "[admin]\nlisten = '{address}'\n").unwrap();
    address
}

/// One page, as it was sent.
pub(crate) struct Page(pub(crate) String);

impl Page {
    /// Reads the page. A process that is ready for its callers has figures a moment later.
    pub(crate) async fn of(address: SocketAddr) -> Self {
        for _ in 0..250 {
            let page = Self::read(address).await;
            if !page.starts_with("HTTP/1.1 503") {
                assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
                return Self(page);
            }
            pause(20).await;
        }
        panic!("no figures within five seconds");
    }

    async fn read(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        page
    }

    /// The value of the series that is written exactly so.
    pub(crate) fn value(&self, series: &str) -> f64 {
        let value = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{series} is not in\n{}", self.0)).parse().unwrap()
    }
}
