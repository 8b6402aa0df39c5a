//! What every report keeps, whatever the data.

use super::*;

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let html = to_html(&sample::digits());
    for forbidden in ["<script", "http://", "https://", "@import", "url(", "<link", "<iframe"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn every_text_is_escaped() {
    let evil = "</style><script>alert('x')</script>\"";
    let mut data = sample::digits();
    data.title = evil.to_owned();
    data.dataset = evil.to_owned();
    data.class_names.iter_mut().for_each(|name| evil.clone_into(name));
    data.command = evil.to_owned();
    data.settings.iter_mut().for_each(|setting| {
        setting.name = evil.to_owned();
        setting.value = evil.to_owned();
        setting.origin = evil.to_owned();
    });
    data.student.model = evil.to_owned();
    data.student.public_alone = evil.to_owned();
    let privacy = &mut data.privacy;
    for text in [
        &mut privacy.unit,
        &mut privacy.adjacency,
        &mut privacy.protects,
        &mut privacy.accountant,
        &mut privacy.mechanism,
        &mut privacy.noise,
    ] {
        evil.clone_into(text);
    }
    for silo in &mut data.silos {
        evil.clone_into(&mut silo.organisation);
        evil.clone_into(&mut silo.data_id);
    }
    data.shortfall =
        Some(Shortfall { wall: evil.to_owned(), rho_asked: 1.0, rho_left: 0.0, queries_unasked: 3 });
    let html = to_html(&data);
    assert!(!html.contains("<script"));
    assert_eq!(html.matches("</style>").count(), 1);
}

#[test]
fn every_epsilon_of_the_cap_and_of_the_spending_stands_beside_its_unit_adjacency_and_delta() {
    let html = to_html(&sample::digits());
    let text = html.split("<main>").nth(1).unwrap();
    // Section by section, where a reader sees them together; the footer explains ε and states none.
    for block in text.split("</section>").filter(|block| block.contains("ε =")) {
        assert!(
            block.contains("unit record")
                && block.contains("adjacency add-remove")
                && block.contains("δ = 1e-5"),
            "{block}"
        );
    }
}

#[test]
fn what_only_a_simulation_may_show_is_headed_so() {
    let html = to_html(&sample::digits());
    for section in html.split("<section").skip(1) {
        let private = ["% of votes", "truth ", "Records per teacher", "share of votes"];
        if private.iter().any(|figure| section.contains(figure)) {
            assert!(section.contains("visible only in a simulation"), "{section}");
        }
    }
    assert!(html.contains("<strong>Simulated.</strong>"));
}

#[test]
fn a_campaign_that_released_nothing_still_has_a_report() {
    let mut data = sample::digits();
    data.queries = QueryTotals { pool: 900, asked: 0, answered: 0, abstained: 0 };
    data.label_accuracy = None;
    data.student.test_accuracy = None;
    data.student.nonprivate_accuracy = None;
    data.student.public_alone_accuracy = None;
    data.curve.clear();
    data.budget.clear();
    data.top_vote_shares.clear();
    data.outcomes.clear();
    data.examples.clear();
    data.confusion = None;
    let html = to_html(&data);
    assert!(html.contains("no label was released") || html.contains("No label was released"));
    assert!(!html.contains("NaN") && !html.contains("inf"));
}
