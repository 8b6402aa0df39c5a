//! A small consortium for tests: three silos, one campaign of Confident-GNMax, queries by number.

use std::path::PathBuf;

use conclave_privacy::mechanism::{ConfidentGnMax, Mechanism, Outcome};
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale, Rho, Threshold};
use conclave_privacy::unit::{Adjacency, PrivacyUnit, VotingScheme};
use tempfile::TempDir;

use crate::book::{Book, DrawPermit, Reservation};
use crate::error::Result;
use crate::keys::{CampaignKey, DataKey, Digest, LedgerId, QueryKey};
use crate::state::Released;
use crate::terms::{AccountTerms, CampaignTerms, Genesis, Predecessor};

/// A time of day for rows.
pub(crate) const NOON_MS: u64 = 1_700_000_000_000;

/// A directory with a ledger in it, gone when dropped.
pub(crate) struct Scratch {
    pub(crate) directory: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { directory: TempDir::new().expect("a temporary directory") }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("ledger.db")
    }

    /// A ledger with the accounts of three silos and one campaign.
    pub(crate) fn book(&self) -> Book {
        let mut book = Book::create(&self.path(), genesis(), NOON_MS).expect("a new ledger");
        open_consortium(&mut book, 100.0);
        book
    }
}

pub(crate) fn open_consortium(book: &mut Book, epsilon: f64) {
    book.transact(NOON_MS, |transaction| {
        for silo in SILOS {
            transaction.open_account(account(silo, epsilon))?;
        }
        transaction.open_campaign(campaign("digits", epsilon))
    })
    .expect("durable")
    .expect("allowed");
}

pub(crate) const SILOS: [&str; 3] = ["ada", "bel", "cyd"];

pub(crate) fn genesis() -> Genesis {
    Genesis { ledger_id: LedgerId::new([7; 16]), simulated: true }
}

/// The account of `organisation`, whose data id is `ORGANISATION/1`.
pub(crate) fn account(organisation: &str, epsilon: f64) -> AccountTerms {
    AccountTerms {
        data: data(organisation),
        organisation: organisation.to_owned(),
        partition: Digest::new([1; 32]),
        epsilon: Epsilon::new(epsilon).expect("above 0"),
        delta: Delta::new(1e-5).expect("between 0 and 1"),
        filter_order: FilterOrder::DEFAULT,
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        max_silos_per_subject: 1,
        predecessor: Predecessor::None,
    }
}

pub(crate) fn campaign(key: &str, epsilon: f64) -> CampaignTerms {
    CampaignTerms {
        key: CampaignKey::new(key).expect("a name"),
        contract_digest: Digest::new([2; 32]),
        contract: b"the contract".to_vec(),
        mechanism: mechanism(),
        unit: PrivacyUnit::Record,
        adjacency: Adjacency::AddRemove,
        scheme: VotingScheme::Ensemble,
        epsilon: Epsilon::new(epsilon).expect("above 0"),
        delta: Delta::new(1e-5).expect("between 0 and 1"),
        filter_order: FilterOrder::DEFAULT,
        queries_max: 1_000_000,
        classes: (0..10).map(|class| format!("digit {class}")).collect(),
        members: SILOS.map(data).to_vec(),
        simulated: true,
    }
}

pub(crate) fn mechanism() -> Mechanism {
    let votes = |votes| NoiseScale::from_votes(votes, Lattice::DEFAULT).expect("a scale");
    let threshold = Threshold::from_votes(60.0, Lattice::DEFAULT).expect("a threshold");
    ConfidentGnMax::new(threshold, votes(30.0), votes(10.0)).expect("one lattice").into()
}

pub(crate) fn data(organisation: &str) -> DataKey {
    DataKey::new(format!("{organisation}/1")).expect("a name")
}

pub(crate) fn digits() -> CampaignKey {
    CampaignKey::new("digits").expect("a name")
}

pub(crate) fn query(number: u32) -> QueryKey {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    QueryKey::new(bytes)
}

pub(crate) fn queries(numbers: std::ops::Range<u32>) -> Vec<QueryKey> {
    numbers.map(query).collect()
}

pub(crate) fn reserve(book: &mut Book, numbers: std::ops::Range<u32>) -> Result<Reservation> {
    book.transact(NOON_MS, |transaction| transaction.reserve(&digits(), &queries(numbers)))?
}

pub(crate) fn draw(book: &mut Book, reservation: Reservation) -> Result<DrawPermit> {
    draw_from(book, reservation, &SILOS)
}

pub(crate) fn draw_from(book: &mut Book, reservation: Reservation, silos: &[&str]) -> Result<DrawPermit> {
    let silos: Vec<_> = silos.iter().map(|silo| data(silo)).collect();
    book.transact(NOON_MS, |transaction| transaction.draw(reservation, Digest::new([3; 32]), &silos))?
}

/// Every third query abstains, the others get the label `number mod 10`.
pub(crate) fn release(book: &mut Book, permit: DrawPermit) -> Result<Vec<Released>> {
    let answers = permit.queries().iter().map(|(query, _)| (*query, outcome(*query))).collect();
    book.transact(NOON_MS, |transaction| transaction.release(permit, answers))?
}

pub(crate) fn outcome(query: QueryKey) -> Outcome {
    let bytes = query.as_bytes();
    let number = u16::from_be_bytes([bytes[2], bytes[3]]);
    if number.is_multiple_of(3) { Outcome::Abstained } else { Outcome::Label((number % 10).into()) }
}

/// Reserve, draw and release in one go.
pub(crate) fn answer(book: &mut Book, numbers: std::ops::Range<u32>) -> Vec<Released> {
    let reservation = reserve(book, numbers).expect("reserved");
    let permit = draw(book, reservation).expect("drawn");
    release(book, permit).expect("released")
}

/// Reserve and draw, then drop the permit as a crash would.
pub(crate) fn cut_short(book: &mut Book, numbers: std::ops::Range<u32>) {
    let reservation = reserve(book, numbers).expect("reserved");
    drop(draw(book, reservation).expect("drawn"));
}

/// Closes and opens again, as the next process would.
pub(crate) fn restart(book: Book, scratch: &Scratch) -> Book {
    book.close().expect("closed");
    Book::open(&scratch.path(), NOON_MS).expect("opened").0
}

pub(crate) fn worst(queries: u64) -> Rho {
    let sensitivity = campaign("digits", 1.0).sensitivity().expect("one move");
    let price = mechanism().worst_case_within(&sensitivity, FilterOrder::DEFAULT).expect("a price");
    price.checked_mul(queries).expect("far below the limit")
}
