//! Figures as text that Prometheus reads (exposition format 0.0.4).

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{
    AccountFigures, AggregatorFigures, CampaignFigures, CampaignState, Figures, FlushTimes, Kind, Metric,
    Refusals, StudentFigures, TeacherFigures,
};

/// The media type of [`page`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The page that tells `figures`.
#[expect(clippy::missing_panics_doc, reason = "writing to a string does not fail")]
pub fn page(figures: Figures) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(figures));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).expect("writing to a string does not fail");
    text
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = Page { encoder };
        match self {
            Self::Aggregator(figures) => figures.write(&mut page),
            Self::Teacher(figures) => figures.write(&mut page),
            Self::Student(figures) => figures.write(&mut page),
        }
    }
}

/// Every label that there is.
enum Label<'a> {
    Organisation(&'a str),
    Data(&'a str),
    Campaign(&'a str),
    State(&'static str),
    Reason(&'static str),
}

impl<'a> Label<'a> {
    /// Key and value. Names come from the contract; what a label need not hold is cut off.
    fn pair(&self) -> (&'static str, &'a str) {
        match self {
            Self::Organisation(name) => ("organisation", clipped(name)),
            Self::Data(name) => ("data", clipped(name)),
            Self::Campaign(name) => ("campaign", clipped(name)),
            Self::State(word) => ("state", word),
            Self::Reason(word) => ("reason", word),
        }
    }
}

fn clipped(name: &str) -> &str {
    name.char_indices().nth(NAME_CHARS_MAX).map_or(name, |(end, _)| &name[..end])
}

struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    fn gauge(&mut self, metric: Metric, value: f64) -> Result<(), Error> {
        self.family(metric, [(Vec::new(), ConstGauge::new(value))])
    }

    fn counter(&mut self, metric: Metric, value: u64) -> Result<(), Error> {
        self.family(metric, [(Vec::new(), ConstCounter::new(value))])
    }

    fn gauges<'l>(
        &mut self,
        metric: Metric,
        values: impl IntoIterator<Item = (Vec<Label<'l>>, f64)>,
    ) -> Result<(), Error> {
        self.family(metric, values.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value))))
    }

    fn by_reason(
        &mut self,
        metric: Metric,
        values: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> Result<(), Error> {
        let labelled =
            values.into_iter().map(|(reason, count)| (vec![Label::Reason(reason)], ConstCounter::new(count)));
        self.family(metric, labelled)
    }

    fn flushes(&mut self, metric: Metric, FlushTimes(times): &FlushTimes) -> Result<(), Error> {
        self.family(metric, [(Vec::new(), times.clone())])
    }

    fn certificate(&mut self, days_left: Option<i64>) -> Result<(), Error> {
        days_left.map_or(Ok(()), |days| self.gauge(Metric::CertificateDaysLeft, days as f64))
    }

    fn refusals(&mut self, refusals: &Refusals) -> Result<(), Error> {
        self.by_reason(Metric::Refusals, refusals.by_reason())
    }

    fn family<'l>(
        &mut self,
        metric: Metric,
        values: impl IntoIterator<Item = (Vec<Label<'l>>, impl EncodeMetric)>,
    ) -> Result<(), Error> {
        let (kind, name, help) = metric.described();
        let kind = match kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
            Kind::Histogram => MetricType::Histogram,
        };
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            let labels: Vec<_> = labels.iter().map(Label::pair).collect();
            value.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl AggregatorFigures {
    fn write(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let Self {
            campaign,
            accounts,
            nodes_present,
            nodes_expected,
            quorum_misses,
            submissions_rejected,
            ledger_entries,
            ledger_flushes,
            refusals,
            certificate_days_left,
        } = self;
        if let Some(campaign) = campaign {
            campaign.write(page)?;
        }
        for (metric, of_account) in ACCOUNT_FIGURES {
            page.gauges(metric, accounts.iter().map(|account| (account.labels(), of_account(account))))?;
        }
        page.gauge(Metric::NodesPresent, *nodes_present as f64)?;
        page.gauge(Metric::NodesExpected, *nodes_expected as f64)?;
        page.counter(Metric::QuorumMisses, *quorum_misses)?;
        page.by_reason(Metric::SubmissionsRejected, submissions_rejected.iter().copied())?;
        page.gauge(Metric::LedgerEntries, *ledger_entries as f64)?;
        page.flushes(Metric::LedgerFlush, ledger_flushes)?;
        page.refusals(refusals)?;
        page.certificate(*certificate_days_left)
    }
}

type OfAccount = fn(&AccountFigures) -> f64;
const ACCOUNT_FIGURES: [(Metric, OfAccount); 5] = [
    (Metric::AccountEpsilonCap, |account| account.epsilon_cap),
    (Metric::AccountRhoCap, |account| account.rho_cap),
    (Metric::AccountRhoSpent, |account| account.rho_spent),
    (Metric::AccountRhoReserved, |account| account.rho_reserved),
    (Metric::AccountRhoLeft, |account| left(account.rho_cap, account.rho_spent, account.rho_reserved)),
];

impl AccountFigures {
    fn labels(&self) -> Vec<Label<'_>> {
        vec![Label::Organisation(&self.organisation), Label::Data(&self.data)]
    }
}

impl CampaignFigures {
    fn write(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let Self { name, epsilon_cap, rho_cap, rho_spent, rho_reserved, .. } = self;
        for (metric, value) in [
            (Metric::CampaignEpsilonCap, *epsilon_cap),
            (Metric::CampaignRhoCap, *rho_cap),
            (Metric::CampaignRhoSpent, *rho_spent),
            (Metric::CampaignRhoReserved, *rho_reserved),
            (Metric::CampaignRhoLeft, left(*rho_cap, *rho_spent, *rho_reserved)),
        ] {
            page.gauges(metric, [(vec![Label::Campaign(name)], value)])?;
        }
        let states = CampaignState::ALL.map(|(state, word)| {
            (vec![Label::Campaign(name), Label::State(word)], f64::from(u8::from(state == self.state)))
        });
        page.gauges(Metric::CampaignState, states)?;
        let queries = [
            ("admitted", self.queries_admitted),
            ("answered", self.queries_answered),
            ("abstained", self.queries_abstained),
            ("interrupted", self.queries_interrupted),
            ("waiting", self.queries_waiting),
        ];
        page.gauges(
            Metric::CampaignQueries,
            queries.map(|(state, count)| (vec![Label::Campaign(name), Label::State(state)], count as f64)),
        )
    }
}

impl TeacherFigures {
    fn write(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let Self {
            batches_answered,
            guard_queries_spent,
            guard_queries_left,
            refusals,
            certificate_days_left,
        } = self;
        page.counter(Metric::BatchesAnswered, *batches_answered)?;
        page.gauge(Metric::GuardQueriesSpent, *guard_queries_spent as f64)?;
        page.gauge(Metric::GuardQueriesLeft, *guard_queries_left as f64)?;
        page.refusals(refusals)?;
        page.certificate(*certificate_days_left)
    }
}

impl StudentFigures {
    fn write(&self, page: &mut Page<'_>) -> Result<(), Error> {
        let Self { predictions_served, labels_learned_from, refusals, certificate_days_left } = self;
        page.counter(Metric::PredictionsServed, *predictions_served)?;
        if let Some(labels) = labels_learned_from {
            page.gauge(Metric::LabelsLearnedFrom, *labels as f64)?;
        }
        page.refusals(refusals)?;
        page.certificate(*certificate_days_left)
    }
}

/// A cap less what is spent and set aside; never below nothing.
fn left(cap: f64, spent: f64, reserved: f64) -> f64 {
    (cap - spent - reserved).max(0.0)
}

/// Longer names are cut.
const NAME_CHARS_MAX: usize = 128;
