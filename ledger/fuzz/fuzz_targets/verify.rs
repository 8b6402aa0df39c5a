//! A sound ledger with bytes changed at will: verification never panics, and an unchanged copy is valid.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use conclave_ledger::{
    AccountTerms, Book, CampaignKey, CampaignTerms, DataKey, Digest, Genesis, LedgerId, Predecessor,
    QueryKey, verify,
};
use conclave_privacy::counts::ClassIndex;
use conclave_privacy::mechanism::{GnMax, Outcome};
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|changes: Vec<(u16, u8)>| {
    let mut bytes = sound().to_vec();
    let changed = changes.iter().any(|(_, bits)| *bits != 0);
    for (place, bits) in changes {
        let place = usize::from(place) % bytes.len();
        bytes[place] ^= bits;
    }
    let changed = changed && bytes != sound();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    std::fs::write(&path, bytes).expect("room");
    let found = verify(&path);
    if !changed {
        assert!(found.expect("a ledger").valid);
    }
});

/// The bytes of a small ledger: one silo, one campaign, three answers.
fn sound() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.db");
        write(&path).expect("a sound ledger");
        std::fs::read(&path).expect("written")
    })
}

fn write(path: &Path) -> conclave_ledger::Result<()> {
    let (campaign, silo) = (CampaignKey::new("digits")?, DataKey::new("ward")?);
    let (epsilon, delta) = (Epsilon::new(3.0)?, Delta::new(1e-5)?);
    let mut book = Book::create(path, Genesis { ledger_id: LedgerId::new([1; 16]), simulated: false }, 1)?;
    let account = AccountTerms {
        data: silo.clone(),
        organisation: "hospital".to_owned(),
        partition: Digest::new([2; 32]),
        epsilon,
        delta,
        filter_order: FilterOrder::DEFAULT,
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        max_silos_per_subject: 1,
        predecessor: Predecessor::None,
    };
    let terms = CampaignTerms {
        key: campaign.clone(),
        contract_digest: Digest::new([3; 32]),
        contract: Vec::new(),
        mechanism: GnMax::new(NoiseScale::from_votes(40.0, Lattice::DEFAULT)?).into(),
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        scheme: VotingScheme::Ensemble,
        epsilon,
        delta,
        filter_order: FilterOrder::DEFAULT,
        queries_max: 10,
        classes: vec!["a".to_owned(), "b".to_owned()],
        members: vec![silo.clone()],
        simulated: false,
    };
    book.transact(2, |now| now.open_account(account))??;
    book.transact(2, |now| now.open_campaign(terms))??;
    let queries = [1, 2, 3].map(|byte| QueryKey::new([byte; 32]));
    let reserved = book.transact(3, |now| now.reserve(&campaign, &queries))??;
    let permit = book.transact(4, |now| now.draw(reserved, Digest::new([4; 32]), &[silo]))??;
    let answers = queries.map(|query| (query, Outcome::Label(ClassIndex(1)))).to_vec();
    book.transact(5, |now| now.release(permit, answers))??;
    book.close()
}
