//! A process can be asked by its own machine whether it is ready, with nothing but its own kit.

use conclave_service::health::probe;
use conclave_service::lifecycle::ExitStatus;
use conclave_service::{Role, RoleTable, Server, ServerLimits, ServerTransport};
use tokio_util::sync::CancellationToken;

use crate::echo::{authority, kit};

#[tokio::test]
async fn a_probe_says_ready_not_ready_and_nobody_there() {
    let kit = kit(&authority(), Role::Aggregator, "a1");
    let folder = tempfile::tempdir().unwrap();
    kit.save(folder.path()).unwrap();
    let stop = CancellationToken::new();
    let server = Server::new(ServerTransport::Mutual(kit), RoleTable::new(&[]), ServerLimits::default());
    // Everywhere: it is asked over loopback all the same.
    let server = server.bind("0.0.0.0:0".parse().unwrap(), stop.clone()).await.unwrap();
    let address = server.address();

    let refusal = probe(address, Some(folder.path())).await.unwrap_err();
    assert_eq!(refusal.status, ExitStatus::Peer);
    assert!(refusal.message.contains("not ready yet"), "{refusal}");
    server.readiness().set(true).await;
    probe(address, Some(folder.path())).await.unwrap();
    stop.cancel();
    server.finished().await.unwrap();
    assert_eq!(probe(address, Some(folder.path())).await.unwrap_err().status, ExitStatus::Peer);
}
