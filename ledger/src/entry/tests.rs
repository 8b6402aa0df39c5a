use conclave_privacy::counts::ClassIndex;
use conclave_privacy::mechanism::{ConfidentGnMax, GnMax, LnMax, Mechanism, Outcome};
use conclave_privacy::quantity::{Delta, Epsilon, FilterOrder, Lattice, NoiseScale, Rho, Threshold};
use conclave_privacy::unit::{Adjacency, PrivacyUnit};
use proptest::prelude::*;

use super::*;
use crate::fixture::{account, campaign, genesis};
use crate::keys::DataKey;
use crate::terms::Predecessor;

fn unit() -> impl Strategy<Value = PrivacyUnit> {
    prop_oneof![
        Just(PrivacyUnit::Record),
        any::<u32>().prop_map(|max_silos_per_subject| PrivacyUnit::Subject { max_silos_per_subject }),
        any::<u32>().prop_map(|teachers_max| PrivacyUnit::Organisation { teachers_max }),
    ]
}

fn adjacency() -> impl Strategy<Value = Adjacency> {
    prop_oneof![Just(Adjacency::AddRemove), Just(Adjacency::Replace)]
}

fn mechanism() -> impl Strategy<Value = Mechanism> {
    (0..3, 0_u8..=32, [1..=1_u64 << 62, 1..=1_u64 << 62, 1..=1_u64 << 62]).prop_map(|(kind, bits, steps)| {
        let lattice = Lattice::new(bits).expect("at most 32");
        let scale = |at: usize| NoiseScale::from_steps(steps[at], lattice).expect("in range");
        match kind {
            0 => LnMax::new(scale(0)).into(),
            1 => GnMax::new(scale(0)).into(),
            _ => {
                let threshold = Threshold::from_steps(steps[2], lattice).expect("in range");
                ConfidentGnMax::new(threshold, scale(0), scale(1)).expect("one lattice").into()
            }
        }
    })
}

fn filter_order() -> impl Strategy<Value = FilterOrder> {
    proptest::sample::select(vec![0, 2, 16, 64])
        .prop_map(|order| FilterOrder::new(order).expect("in the list"))
}

fn rho() -> impl Strategy<Value = Rho> {
    any::<u64>().prop_map(Rho::from_units)
}

fn positions() -> impl Strategy<Value = Vec<u16>> {
    proptest::collection::vec(any::<u16>(), 0..5)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![any::<u16>().prop_map(|class| Outcome::Label(class.into())), Just(Outcome::Abstained)]
}

fn entry() -> impl Strategy<Value = Entry> {
    let predecessor = "[a-z]{1,20}/[0-9]".prop_map(|name| DataKey::new(name).expect("a name"));
    let predecessor = prop_oneof![
        Just(Predecessor::None),
        predecessor.clone().prop_map(Predecessor::Inherits),
        predecessor.prop_map(Predecessor::Disjoint),
    ];
    let account = (unit(), adjacency(), predecessor, rho(), rho(), 1e-3..50.0_f64, filter_order()).prop_map(
        |(unit, adjacency, predecessor, cap, inherited, epsilon, filter_order)| {
            let epsilon = Epsilon::new(epsilon).expect("above 0");
            let mut terms = account("ünï", 1.0);
            (terms.unit, terms.adjacency, terms.predecessor, terms.epsilon) =
                (unit, adjacency, predecessor, epsilon);
            terms.filter_order = filter_order;
            Entry::Account(AccountOpened { terms, cap, inherited })
        },
    );
    let contract = proptest::collection::vec(any::<u8>(), 0..40);
    let campaign =
        (unit(), adjacency(), mechanism(), [rho(), rho(), rho()], contract, 1e-9..0.5_f64, filter_order())
            .prop_map(
                |(unit, adjacency, mechanism, [sub_cap, price, abstention], contract, delta, order)| {
                    let delta = Delta::new(delta).expect("between 0 and 1");
                    let mut terms = campaign("digits", 1.0);
                    (terms.unit, terms.adjacency, terms.mechanism) = (unit, adjacency, mechanism);
                    (terms.contract, terms.delta, terms.filter_order) = (contract, delta, order);
                    let abstention = (!order.is_unbounded()).then_some(abstention);
                    Entry::Campaign(CampaignOpened { terms, sub_cap, price, abstention })
                },
            );
    let query = (any::<[u8; 32]>().prop_map(QueryKey::new), any::<u8>());
    let reserve = (any::<u64>(), any::<u64>(), rho(), positions(), proptest::collection::vec(query, 0..5))
        .prop_map(|(number, epoch, price, members, queries)| {
            let campaign = crate::fixture::digits();
            Entry::Reserve(Reserve { number, epoch, campaign, price, members, queries })
        });
    let draw = (any::<u64>(), any::<u64>(), any::<[u8; 32]>(), positions()).prop_map(
        |(number, epoch, vote_set, silos)| {
            Entry::Draw(Draw { number, epoch, vote_set: Digest::new(vote_set), silos })
        },
    );
    let release = (any::<u64>(), any::<u64>(), rho(), proptest::collection::vec(outcome(), 0..5)).prop_map(
        |(number, epoch, charge, answers)| Entry::Release(Release { number, epoch, charge, answers }),
    );
    let reason = proptest::sample::select(vec![
        AbandonReason::NoQuorum,
        AbandonReason::Stopped,
        AbandonReason::GuardRefused,
        AbandonReason::Failed,
    ]);
    let abandon = (any::<u64>(), any::<u64>(), reason)
        .prop_map(|(number, epoch, reason)| Entry::Abandon(Abandon { number, epoch, reason }));
    let interrupt = (any::<u64>(), any::<u64>(), proptest::collection::vec(any::<u32>(), 0..5))
        .prop_map(|(number, epoch, closed)| Entry::Interrupt(Interrupt { number, epoch, closed }));
    prop_oneof![
        (1_u16..=2).prop_map(|schema| Entry::Genesis(Created { schema, terms: genesis() })),
        any::<u64>().prop_map(|epoch| Entry::Start(Start { epoch })),
        account,
        campaign,
        reserve,
        draw,
        release,
        abandon,
        interrupt,
    ]
}

proptest! {
    #[test]
    fn an_entry_comes_back_from_its_bytes(entry in entry()) {
        prop_assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }

    /// Whatever decodes is the encoding of what it decodes to: no two bodies mean the same.
    #[test]
    fn a_body_has_one_meaning_and_a_meaning_one_body(entry in entry(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = entry.encode();
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(decoded) = Entry::decode(&body) {
            prop_assert_eq!(decoded.encode(), body);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(kind in 0_u8..12, tail in proptest::collection::vec(any::<u8>(), 0..200)) {
        let body: Vec<u8> = std::iter::once(kind).chain(tail).collect();
        if let Ok(decoded) = Entry::decode(&body) {
            prop_assert_eq!(decoded.encode(), body);
        }
    }

    #[test]
    fn a_body_that_was_cut_off_or_goes_on_is_refused(entry in entry(), at in any::<prop::sample::Index>()) {
        let mut body = entry.encode();
        prop_assert!(Entry::decode(&body[..at.index(body.len())]).is_err());
        body.push(0);
        prop_assert!(Entry::decode(&body).is_err());
    }
}

/// The layout of `docs/ledger-format.md`, field by field; a change here is a new schema version.
#[test]
fn the_layout_of_the_small_entries_is_pinned() {
    let hex = |entry: Entry| crate::export::hex(&entry.encode());
    for schema in 1..=2 {
        let genesis = hex(Entry::Genesis(Created { schema, terms: genesis() }));
        assert_eq!(genesis, format!("01 0{schema}00 {} 01", "07".repeat(16)).replace(' ', ""));
    }
    assert_eq!(hex(Entry::Start(Start { epoch: 2 })), "020200000000000000");
    let release = Release {
        number: 1,
        epoch: 2,
        charge: Rho::from_units(3),
        answers: vec![Outcome::Label(ClassIndex(0x0102)), Outcome::Abstained],
    };
    let expected = "07 0100000000000000 0200000000000000 0300000000000000 02000000 010201 020000";
    assert_eq!(hex(Entry::Release(release)), expected.replace(' ', ""));
}
