//! ω belongs to the account: prices and caps follow it, and no two of them are mixed.

use conclave_privacy::accountant::{epsilon_to_rho_within, rho_to_epsilon_within};
use conclave_privacy::mechanism::Outcome;
use conclave_privacy::quantity::{FilterOrder, Rho};

use super::*;
use crate::backend::SCHEMA_VERSION_PLAIN;
use crate::entry::{CampaignOpened, Created};
use crate::fixture::*;
use crate::terms::{AccountTerms, CampaignTerms, Predecessor};
use crate::verify::verify;

const PLAIN: FilterOrder = FilterOrder::UNBOUNDED;

fn open_account(book: &mut Book, terms: AccountTerms) -> Result<()> {
    book.transact(NOON_MS, |transaction| transaction.open_account(terms))?
}

fn open_campaign(book: &mut Book, terms: CampaignTerms) -> Result<()> {
    book.transact(NOON_MS, |transaction| transaction.open_campaign(terms))?
}

fn refused_field(result: Result<()>) -> &'static str {
    match result.expect_err("refused") {
        LedgerError::Mismatch { field, .. } => field,
        other => panic!("{other}"),
    }
}

#[test]
fn the_same_budget_holds_more_answers_where_the_orders_end() {
    let scratch = Scratch::new();
    let mut book = Book::create(&scratch.path(), genesis(), NOON_MS).expect("a new ledger");
    for (silo, order) in [("ada", FilterOrder::DEFAULT), ("bel", PLAIN)] {
        open_account(&mut book, AccountTerms { filter_order: order, ..account(silo, 3.0) }).expect("opened");
        let terms = CampaignTerms { filter_order: order, members: vec![data(silo)], ..campaign(silo, 3.0) };
        open_campaign(&mut book, terms).expect("opened");
    }
    let certificate = book.certificate().expect("made");
    let [exact, plain] = &certificate.campaigns[..] else { panic!("two campaigns") };
    assert!(exact.answers_that_fit > plain.answers_that_fit * 5 / 4, "{exact:?} {plain:?}");
    for campaign in [exact, plain] {
        let epsilon =
            |name| campaign.figures.iter().find(|figure| figure.accountant == name).expect(name).epsilon;
        assert!(epsilon("ledger") <= 3.0 && epsilon("ledger") > 2.7, "{campaign:?}");
        assert!(epsilon("gaussian") < epsilon("zcdp"));
    }
    let text = certificate.to_string();
    for said in ["Renyi orders up to 16", "plain zCDP: every Renyi order", "by gaussian: whoever sees"] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
    let account = book.account(&data("ada")).expect("open");
    let terms = account.terms();
    assert_eq!(account.cap(), epsilon_to_rho_within(terms.epsilon, terms.delta, FilterOrder::DEFAULT));
}

#[test]
fn a_campaign_has_the_order_of_its_members_and_new_data_that_of_the_old() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let other = |order| CampaignTerms { filter_order: order, ..campaign("other", 3.0) };
    for order in [PLAIN, FilterOrder::new(8).expect("in the list")] {
        assert_eq!(refused_field(open_campaign(&mut book, other(order))), "filter order");
        let changed = AccountTerms {
            data: crate::keys::DataKey::new("ada/2").expect("a name"),
            filter_order: order,
            predecessor: Predecessor::Inherits(data("ada")),
            ..account("ada", 3.0)
        };
        assert_eq!(refused_field(open_account(&mut book, changed)), "filter order");
    }
    open_account(&mut book, AccountTerms { filter_order: PLAIN, ..account("dan", 100.0) }).expect("opened");
    let mixed = CampaignTerms { members: vec![data("ada"), data("dan")], ..other(FilterOrder::DEFAULT) };
    assert_eq!(refused_field(open_campaign(&mut book, mixed)), "filter order");
    open_campaign(&mut book, other(FilterOrder::DEFAULT)).expect("as its members");
}

#[test]
fn a_ledger_of_the_first_schema_is_read_and_goes_on_in_plain_zcdp() {
    let scratch = Scratch::new();
    let created = Created { schema: SCHEMA_VERSION_PLAIN, terms: genesis() };
    let mut book = Book::create_as(&scratch.path(), created, NOON_MS).expect("an old ledger");
    assert_eq!(refused_field(open_account(&mut book, account("ada", 3.0))), "filter order");
    for silo in SILOS {
        open_account(&mut book, AccountTerms { filter_order: PLAIN, ..account(silo, 3.0) }).expect("opened");
    }
    let terms = CampaignTerms { filter_order: PLAIN, ..campaign("digits", 3.0) };
    open_campaign(&mut book, terms.clone()).expect("opened");
    answer(&mut book, 0..6);
    let mut book = restart(book, &scratch);
    answer(&mut book, 6..9);
    let sensitivity = terms.sensitivity().expect("one move");
    let cost = |outcome| terms.mechanism.charge(&outcome, &sensitivity).expect("a price");
    let expected = (0..9).map(|number| cost(outcome(query(number))));
    let expected = expected.fold(Rho::ZERO, |sum, price| sum.checked_add(price).expect("small"));
    assert_eq!(book.account(&data("ada")).expect("open").spent(), expected);
    book.close().expect("closed");
    let found = verify(&scratch.path()).expect("readable");
    assert_eq!(found.first_bad, None);
    let spent = rho_to_epsilon_within(expected, terms.delta, PLAIN);
    assert_eq!((found.accounts[0].filter_order, found.epsilon_spent), (PLAIN, Some(spent)));
}

#[test]
fn a_recorded_price_is_between_the_exact_and_the_published_one() {
    let scratch = Scratch::new();
    let mut book = scratch.book();
    let CampaignOpened { terms, sub_cap, price, abstention } =
        State::plan_campaign(campaign("other", 3.0)).expect("planned");
    let abstention = abstention.expect("written with a filter order");
    let sensitivity = terms.sensitivity().expect("one move");
    let published = terms.mechanism.worst_case(&sensitivity).expect("a price");
    let published_test = terms.mechanism.charge(&Outcome::Abstained, &sensitivity).expect("a price");
    assert!(price < published && abstention < published_test);
    let unit = Rho::from_units(1);
    let less = |rho: Rho| rho.checked_sub(unit).expect("above 0");
    let more = |rho: Rho| rho.checked_add(unit).expect("small");
    for (price, abstention, sound) in [
        (less(price), abstention, false),
        (price, less(abstention), false),
        (more(published), abstention, false),
        (price, more(published_test), false),
        (price, abstention, true),
    ] {
        let entry = CampaignOpened { terms: terms.clone(), sub_cap, price, abstention: Some(abstention) };
        let staged = book.ledger.clone().stage(NOON_MS, &Entry::Campaign(entry));
        assert_eq!(staged.is_ok(), sound, "{price} {abstention}: {staged:?}");
    }
    let cautious = CampaignOpened { terms, sub_cap, price: published, abstention: Some(published_test) };
    book.ledger.stage(NOON_MS, &Entry::Campaign(cautious)).expect("charges more than it must");
}
