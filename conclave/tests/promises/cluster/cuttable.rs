//! A stretch of network that a test can cut and heal: a TCP proxy on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The stretch before `target`; it begins whole.
pub(crate) struct Cuttable {
    address: SocketAddr,
    whole: watch::Sender<bool>,
    connections: Arc<AtomicUsize>,
}

impl Cuttable {
    pub(crate) async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (whole, connections) = (watch::Sender::new(true), Arc::new(AtomicUsize::new(0)));
        let (mut state, counted) = (whole.subscribe(), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if !*state.borrow_and_update() {
                    continue;
                }
                let Ok(mut far) = TcpStream::connect(target).await else { continue };
                counted.fetch_add(1, Ordering::Relaxed);
                let mut state = state.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.wait_for(|whole| !whole) => {}
                    }
                });
            }
        });
        Self { address, whole, connections }
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every connection breaks, and new ones break at once.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// New connections go through again.
    pub(crate) fn heal(&self) {
        self.whole.send_replace(true);
    }

    /// How many have gone through so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}
