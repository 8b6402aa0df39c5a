//! What a ledger promises, in plain words: who is protected, against whom, by how much, and what is left.
//!
//! The guarantee is that of the cap. What was spent is a figure after the fact and says so.

mod figures;

use std::fmt;

use conclave_privacy::accountant::rho_to_epsilon_within;
use conclave_privacy::quantity::{FilterOrder, Rho};
use conclave_privacy::unit::{Sensitivity, VotingScheme};
use serde::Serialize;

pub use figures::{CampaignFigures, Figure};

use crate::book::{Book, Replay};
use crate::chain::Head;
use crate::error::Result;
use crate::keys::{CampaignKey, DataKey, LedgerId};
use crate::snapshot::Snapshot;
use crate::state::{AccountState, AnswerTotals, CampaignState};
use crate::terms::Predecessor;

/// The certificate of a ledger. `Display` writes it for people, serde for programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Certificate {
    /// The ledger's name.
    pub ledger: LedgerId,
    /// Whether its noise comes from a seed: then nobody is protected, whatever follows.
    pub simulated: bool,
    /// How many entries it rests on.
    pub entries: u64,
    /// The hash of the newest of them.
    pub head: Head,
    /// What is promised to the people in each silo's data.
    pub accounts: Vec<AccountCertificate>,
    /// What each campaign has done inside these promises.
    pub campaigns: Vec<CampaignCertificate>,
}

/// What is promised to the people in one silo's data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccountCertificate {
    /// Names the data.
    pub data: DataKey,
    /// Who holds it.
    pub organisation: String,
    /// Who is protected, in plain words.
    pub protects: String,
    /// The privacy unit.
    pub unit: &'static str,
    /// How neighbouring data differ.
    pub adjacency: &'static str,
    /// The guarantee: ε of the cap, for the life of the data.
    pub epsilon: f64,
    /// The guarantee: δ of the cap.
    pub delta: f64,
    /// ω: at which Rényi orders the account bounds the loss; 0 is all of them, plain zCDP.
    pub filter_order: FilterOrder,
    /// After the fact, no guarantee: ε of what ran.
    pub epsilon_spent_ex_post: f64,
    /// The cap, in units of 2^-40 ρ.
    pub cap_units: u64,
    /// Spent so far, inherited spend included.
    pub spent_units: u64,
    /// The inherited part of it.
    pub inherited_units: u64,
    /// Held by draws under way.
    pub reserved_units: u64,
    /// What may still be spent.
    pub left_units: u64,
    /// In how many silos one person may have rows: declared, not verified.
    pub max_silos_per_subject: u32,
    /// What the operator declared about earlier data, in plain words: declared, not verified.
    pub declaration: String,
    /// The data id that inherited this account's spend; this account has ended.
    pub successor: Option<DataKey>,
}

/// What one campaign has done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CampaignCertificate {
    /// Names the campaign.
    pub campaign: CampaignKey,
    /// The mechanism.
    pub mechanism: &'static str,
    /// ε of the campaign's part of the budget.
    pub epsilon: f64,
    /// δ at which it is stated.
    pub delta: f64,
    /// After the fact, no guarantee: ε of what ran.
    pub epsilon_spent_ex_post: f64,
    /// Labels released.
    pub labels: u64,
    /// Abstentions released.
    pub abstained: u64,
    /// Queries closed after interrupted draws, each of which is spent.
    pub interrupted: u64,
    /// How many more queries certainly fit into the campaign's part and into every member's account.
    pub queries_left: u64,
    /// How many answers certainly fitted into the campaign's part when it opened.
    pub answers_that_fit: u64,
    /// ε of these many answers, stated in several ways.
    pub figures: Vec<Figure>,
}

impl Snapshot {
    /// What the ledger promises.
    pub fn certificate(&self) -> Result<Certificate> {
        Certificate::of(self.replay())
    }
}

impl Book {
    /// What the ledger promises.
    pub fn certificate(&self) -> Result<Certificate> {
        Certificate::of(self.replay())
    }
}

impl Certificate {
    fn of(ledger: &Replay) -> Result<Self> {
        let genesis = ledger.genesis();
        Ok(Self {
            ledger: genesis.ledger_id,
            simulated: genesis.simulated,
            entries: ledger.seq,
            head: ledger.head,
            accounts: ledger.state.accounts().iter().map(AccountCertificate::of).collect::<Result<_>>()?,
            campaigns: CampaignFigures::of_all(ledger.state.campaigns())?
                .into_iter()
                .zip(ledger.state.campaigns())
                .map(|(figures, campaign)| CampaignCertificate::of(campaign, figures, ledger))
                .collect(),
        })
    }
}

impl AccountCertificate {
    fn of(account: &AccountState) -> Result<Self> {
        let terms = account.terms();
        let organisation = &terms.organisation;
        let declaration = match &terms.predecessor {
            Predecessor::None => format!("this is the first data of {organisation}"),
            Predecessor::Inherits(data) => {
                format!("some people may also be in {data}, whose spend is inherited")
            }
            Predecessor::Disjoint(data) => format!(
                "the operator declares that nobody in this data is in {data} or in earlier data of {organisation}"
            ),
        };
        Ok(Self {
            data: terms.data.clone(),
            organisation: organisation.clone(),
            protects: Sensitivity::of(terms.unit, terms.adjacency, VotingScheme::Ensemble)?.words(),
            unit: terms.unit.name(),
            adjacency: terms.adjacency.name(),
            epsilon: terms.epsilon.get(),
            delta: terms.delta.get(),
            filter_order: terms.filter_order,
            epsilon_spent_ex_post: rho_to_epsilon_within(account.spent(), terms.delta, terms.filter_order),
            cap_units: account.cap().units(),
            spent_units: account.spent().units(),
            inherited_units: account.inherited().units(),
            reserved_units: account.reserved().units(),
            left_units: account.left().units(),
            max_silos_per_subject: terms.max_silos_per_subject,
            declaration,
            successor: account.successor().cloned(),
        })
    }

    /// Hundredths of the cap that are left, rounded down.
    fn left_percent(&self) -> u64 {
        let percent = u128::from(self.left_units) * 100 / u128::from(self.cap_units.max(1));
        u64::try_from(percent).unwrap_or(100)
    }
}

impl CampaignCertificate {
    fn of(campaign: &CampaignState, figures: CampaignFigures, ledger: &Replay) -> Self {
        let terms = campaign.terms();
        let AnswerTotals { labels, abstained, interrupted } = campaign.answers();
        let members = terms.members.iter().filter_map(|data| ledger.state.account(data));
        let left = members
            .map(|account| if account.successor().is_some() { Rho::ZERO } else { account.left() })
            .chain([campaign.left()])
            .min()
            .unwrap_or(Rho::ZERO);
        let CampaignFigures { answers_that_fit, figures, .. } = figures;
        Self {
            campaign: terms.key.clone(),
            mechanism: terms.mechanism.name(),
            epsilon: terms.epsilon.get(),
            delta: terms.delta.get(),
            epsilon_spent_ex_post: rho_to_epsilon_within(campaign.spent(), terms.delta, terms.filter_order),
            labels,
            abstained,
            interrupted,
            queries_left: (left.units() / campaign.price().units().max(1))
                .min(terms.queries_max - campaign.queries_held()),
            answers_that_fit,
            figures,
        }
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "PRIVACY CERTIFICATE")?;
        if self.simulated {
            writeln!(f)?;
            writeln!(f, "*** SIMULATED: this ledger's noise comes from a seed. IT PROTECTS NOBODY. ***")?;
            writeln!(f, "*** What follows is what the same campaign would promise with real noise.  ***")?;
        }
        writeln!(f)?;
        writeln!(f, "Ledger {}, {} entries, head {}.", self.ledger, self.entries, self.head)?;
        writeln!(f, "To check it without trusting this text, verify the ledger and compare the head.")?;
        for account in &self.accounts {
            write!(f, "\n{account}")?;
        }
        for campaign in &self.campaigns {
            write!(f, "\n{campaign}")?;
        }
        Ok(())
    }
}

impl fmt::Display for AccountCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epsilon, delta, unit, adjacency, .. } = self;
        // Rounded up; past a few thousand the figure itself says no more than its exponent.
        let odds = (epsilon.exp() * 100.0).ceil() / 100.0;
        let odds = if odds < 10_000.0 { format!("{odds}") } else { format!("e^{epsilon}") };
        writeln!(f, "Data {} of {}", self.data, self.organisation)?;
        writeln!(f, "  Who is protected  {} (unit {unit}, adjacency {adjacency}).", self.protects)?;
        writeln!(
            f,
            "  Against whom      Anybody who sees released answers, all of them, with any other knowledge."
        )?;
        writeln!(
            f,
            "                    What the aggregator itself sees is a matter of the campaign's trust mode."
        )?;
        writeln!(
            f,
            "  Guarantee         epsilon {epsilon} at delta {delta:e} (unit {unit}, {adjacency}), for the life"
        )?;
        writeln!(
            f,
            "                    of this data and over all campaigns: what anybody concludes is at most"
        )?;
        writeln!(
            f,
            "                    {odds} times likelier or less likely for it, except with probability {delta:e}."
        )?;
        writeln!(f, "                    {}", orders_in_words(self.filter_order))?;
        writeln!(
            f,
            "  Spent             epsilon {:.4} at delta {delta:e} by what ran: ex post, a figure after the fact",
            self.epsilon_spent_ex_post
        )?;
        writeln!(
            f,
            "                    and not a guarantee ({} of {} units).",
            self.spent_units, self.cap_units
        )?;
        if self.inherited_units > 0 {
            writeln!(
                f,
                "                    Inherited from earlier data: {} units of it.",
                self.inherited_units
            )?;
        }
        writeln!(
            f,
            "  Left              {} units, {} % of the budget; {} more are held by draws under way.",
            self.left_units,
            self.left_percent(),
            self.reserved_units
        )?;
        writeln!(
            f,
            "  Declared,         one person has rows in at most {} silo(s);",
            self.max_silos_per_subject
        )?;
        writeln!(f, "  not verified      {}.", self.declaration)?;
        if let Some(successor) = &self.successor {
            writeln!(f, "  Ended             its spend went on to {successor}.")?;
        }
        Ok(())
    }
}

impl fmt::Display for CampaignCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Campaign {} ({})", self.campaign, self.mechanism)?;
        writeln!(f, "  Part of budget    epsilon {} at delta {:e}.", self.epsilon, self.delta)?;
        writeln!(
            f,
            "  Released          {} labels, {} abstentions, {} interrupted.",
            self.labels, self.abstained, self.interrupted
        )?;
        writeln!(f, "  Spent             epsilon {:.4}, ex post.", self.epsilon_spent_ex_post)?;
        writeln!(f, "  Left              {} more queries certainly fit.", self.queries_left)?;
        writeln!(
            f,
            "  Stated otherwise  {} answers fitted when it opened, whatever the votes; these alone would be",
            self.answers_that_fit
        )?;
        for figure in &self.figures {
            writeln!(f, "                    {figure}.")?;
        }
        Ok(())
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accountant, epsilon, holds, .. } = self;
        // The figure is an upper bound, so what is shown is one, too.
        write!(f, "epsilon {:.4} by {accountant}: {holds}", (epsilon * 1e4).ceil() / 1e4)
    }
}

/// What kind of account it is.
fn orders_in_words(order: FilterOrder) -> String {
    if order.is_unbounded() {
        return "Kept in plain zCDP: every Renyi order is bounded.".to_owned();
    }
    format!("Kept at the Renyi orders up to {order}: the exact worst case is charged where it is known.")
}

#[cfg(test)]
mod tests {
    use conclave_privacy::mechanism::{LnMax, Mechanism};
    use conclave_privacy::quantity::{Lattice, NoiseScale};

    use super::CampaignCertificate;
    use crate::book::Book;
    use crate::fixture::{NOON_MS, SILOS, Scratch, account, answer, campaign, genesis, worst};
    use crate::terms::CampaignTerms;
    use crate::verify::verify_figures;

    #[test]
    fn a_certificate_says_who_is_protected_and_states_the_cap_as_the_guarantee() {
        let scratch = Scratch::new();
        let mut book = scratch.book();
        answer(&mut book, 0..10);
        let certificate = book.certificate().expect("made");
        let text = certificate.to_string();
        for said in ["PROTECTS NOBODY", "one record added or removed", "epsilon 100 at delta 1e-5", "ex post"]
        {
            assert!(text.contains(said), "{said} is not in\n{text}");
        }
        let account = &certificate.accounts[0];
        assert_eq!(account.spent_units + account.left_units + account.reserved_units, account.cap_units);
        assert_eq!(certificate.campaigns[0].labels + certificate.campaigns[0].abstained, 10);
        let fits = certificate.campaigns[0].queries_left;
        assert!(worst(fits).units() <= account.left_units && worst(fits + 1).units() > account.left_units);
        let json = serde_json::to_value(&certificate).expect("serialisable");
        assert_eq!(json["accounts"][0]["epsilon"], 100.0);
        assert_eq!(json["simulated"], true);
    }

    #[test]
    fn on_a_coarse_lattice_a_plan_has_no_figure_and_a_worst_case_is_no_more_than_published() {
        let scratch = Scratch::new();
        let mut book = Book::create(&scratch.path(), genesis(), NOON_MS).expect("a new ledger");
        let lattice = Lattice::new(0).expect("whole votes");
        let coarse = NoiseScale::from_steps(40, lattice).expect("a scale");
        book.transact(NOON_MS, |transaction| {
            for silo in SILOS {
                transaction.open_account(account(silo, 3.0))?;
            }
            let mechanism = Mechanism::from(LnMax::new(coarse));
            transaction.open_campaign(CampaignTerms { mechanism, ..campaign("laplace", 3.0) })?;
            let mechanism = Mechanism::from(conclave_privacy::mechanism::GnMax::new(coarse));
            transaction.open_campaign(CampaignTerms { mechanism, ..campaign("gaussian", 3.0) })
        })
        .expect("durable")
        .expect("allowed");
        let certificate = book.certificate().expect("made");
        let names: Vec<Vec<_>> = certificate
            .campaigns
            .iter()
            .map(|campaign| campaign.figures.iter().map(|figure| figure.accountant).collect())
            .collect();
        // On whole votes each answer leaves out more than the δ of them all.
        let (gaussian, laplace) = (["ledger", "zcdp", "rdp"], ["ledger", "zcdp", "pure", "advanced", "rdp"]);
        for published in [&gaussian[..], &laplace[..]] {
            let whole = [published, &["exact-worst-case"]].concat();
            assert!(names.contains(&whole), "{names:?} without {whole:?}");
        }
        for campaign in &certificate.campaigns {
            let of = |name| campaign.figures.iter().find(|figure| figure.accountant == name).expect("there");
            assert!(of("exact-worst-case").epsilon <= of("rdp").epsilon * (1.0 + 1e-9));
        }
    }

    #[test]
    fn every_figure_says_what_it_holds_for_and_a_verifier_works_out_the_same() {
        let scratch = Scratch::new();
        let mut book = Book::create(&scratch.path(), genesis(), NOON_MS).expect("a new ledger");
        let votes = |votes| NoiseScale::from_votes(votes, Lattice::DEFAULT).expect("a scale");
        let laplace = Mechanism::from(LnMax::new(votes(40.0)));
        book.transact(NOON_MS, |transaction| {
            for silo in SILOS {
                transaction.open_account(account(silo, 3.0))?;
            }
            transaction.open_campaign(campaign("gaussian", 3.0))?;
            transaction.open_campaign(CampaignTerms { mechanism: laplace, ..campaign("laplace", 3.0) })
        })
        .expect("durable")
        .expect("allowed");
        let certificate = book.certificate().expect("made");
        let names = |campaign: &CampaignCertificate| -> Vec<_> {
            campaign.figures.iter().map(|figure| (figure.accountant, figure.covers)).collect()
        };
        let [gaussian, laplace] = &certificate.campaigns[..] else { panic!("two campaigns") };
        let anyway = "adaptive";
        assert_eq!(
            names(gaussian),
            [
                ("ledger", anyway),
                ("zcdp", anyway),
                ("rdp", anyway),
                ("gaussian", "fixed-plan"),
                ("exact-worst-case", anyway)
            ]
        );
        assert_eq!(
            names(laplace),
            [
                ("ledger", anyway),
                ("zcdp", anyway),
                ("pure", anyway),
                ("advanced", anyway),
                ("rdp", anyway),
                ("pld", "fixed-plan"),
                ("exact-worst-case", anyway)
            ]
        );
        let of = |campaign: &CampaignCertificate, name| {
            campaign.figures.iter().find(|figure| figure.accountant == name).expect("there").epsilon
        };
        // One move costs 2/b of pure ε, so often.
        let pure = 2.0 * laplace.answers_that_fit as f64 / 40.0;
        assert!((of(laplace, "pure") / pure - 1.0).abs() < 1e-9 && of(laplace, "pure") >= pure);
        assert!(of(laplace, "pld") < of(laplace, "advanced") && of(laplace, "advanced") < pure);
        assert!(of(laplace, "exact-worst-case") < of(laplace, "rdp"));
        // At the one order that suits it best, the exact worst case is no more than the ledger charges at all of its orders.
        assert!(of(gaussian, "exact-worst-case") <= of(gaussian, "ledger"));
        assert!(of(gaussian, "exact-worst-case") < 0.9 * of(gaussian, "rdp"));
        assert!(
            certificate.campaigns.iter().flat_map(|one| &one.figures).all(|one| one.direction == "upper")
        );
        book.close().expect("closed");
        let (verified, campaigns) = verify_figures(&scratch.path()).expect("readable");
        assert!(verified.valid);
        assert_eq!(campaigns.len(), 2);
        for (verified, certified) in campaigns.iter().zip(&certificate.campaigns) {
            assert_eq!(
                (&verified.campaign, verified.answers_that_fit, &verified.figures),
                (&certified.campaign, certified.answers_that_fit, &certified.figures)
            );
        }
    }
}
