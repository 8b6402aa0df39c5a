//! Promises 3 and 8, for campaigns one after another: operators of the settings start and stop them on a running aggregator,
//! nobody else does, budgets carry over, every silo is asked anew, and a kill resumes what was started last.

use std::path::PathBuf;
use std::process::Command;

use conclave_ledger::verify;
use conclave_proto::campaign::v1::CampaignState;
use conclave_service::{Refusal, Role};
use serde_json::Value;

use crate::cluster::{Aggregator, Campaign, Cluster, Data, Recorder, conclave, query};

const OPERATORS: &str = "['hub/operator']";

fn campaign() -> Campaign {
    Campaign { operators: OPERATORS, epsilon: 2.0, ..Campaign::default() }
}

/// The exit status of a command, and its JSON object.
fn tell(args: &[&str]) -> (i32, Value) {
    let mut command = Command::new(conclave());
    command.args(["--format", "json"]).args(args);
    let output = tokio::task::block_in_place(|| command.output()).unwrap();
    let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{args:?}: {output:?}"));
    (output.status.code().unwrap(), told)
}

/// `conclave campaign ACTION...` with the kit of a role, made when missing.
fn ask(cluster: &Cluster, role: Role, name: &str, action: &[&str]) -> (i32, Value) {
    let kit = cluster.path(&format!("kit-{role}-{name}"));
    if !kit.exists() {
        cluster.kit(role, "hub", name).save(&kit).unwrap();
    }
    let (server, kit) = (cluster.listen.to_string(), kit.display().to_string());
    let args = [&["campaign"], action, &["--server", &server, "--kit", &kit]].concat();
    tell(&args)
}

fn operate(cluster: &Cluster, action: &[&str]) -> (i32, Value) {
    ask(cluster, Role::Operator, "operator", action)
}

/// A file from `conclave campaign create` with these flags besides the name.
fn created(cluster: &Cluster, name: &str, flags: &[&str]) -> String {
    let file = cluster.path(&format!("{name}-{}.toml", flags.len())).display().to_string();
    let _ = std::fs::remove_file(&file);
    let common = ["campaign", "create", name, "--out", &file, "--quorum", "4"];
    let (code, told) = tell(&[&common, flags].concat());
    assert_eq!(code, 0, "{told}");
    file
}

const MODEST: &[&str] = &["--epsilon", "2", "--sigma", "300", "--queries", "300"];

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_follow_each_other_without_a_restart_and_start_from_what_is_left() {
    let mut cluster = Cluster::of_silos(2, 300).await;
    let nodes_listen = cluster.nodes_listen;
    cluster.join_from_inside("silo-3", nodes_listen, Data::agreeing(3, 300)).await;
    let _aggregator = cluster.aggregator(&campaign()).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut first = Recorder::default();
    let some: Vec<_> = (0..10).map(query).collect();
    assert_eq!(first.ask(&mut service, &some).await, CampaignState::Idle);
    let spent_before = first.status(&mut service).await.accounts[0].rho_spent_units;
    assert!(spent_before > 0);

    // One at a time.
    let file = created(&cluster, "campaign-2", MODEST);
    let (code, told) = operate(&cluster, &["start", &file]);
    assert_eq!((code, told["error"]["code"].as_str()), (2, Some("refused")), "{told}");
    assert!(told["error"]["message"].as_str().unwrap().contains("campaign-1 is open"), "{told}");
    let (code, told) = operate(&cluster, &["stop", "campaign-9"]);
    assert!(code == 2 && told["error"]["fix"].as_str().unwrap().contains("campaign-1"), "{told}");

    // Stopped: nothing more is taken, and all is readable.
    let (code, told) = operate(&cluster, &["stop"]);
    assert_eq!(
        (code, told["campaign"].as_str(), told["answers"].as_u64()),
        (0, Some("campaign-1"), Some(10))
    );
    let (code, told) = operate(&cluster, &["stop", "campaign-1"]);
    assert_eq!((code, told["stopped_before"].as_bool()), (0, Some(true)), "{told}");
    let refusal = first.submit(&mut service, &[query(77)]).await.unwrap_err();
    assert_eq!(Refusal::read(&refusal).reason(), "CAMPAIGN_ENDED");
    assert_eq!(first.listen(&mut service).await.unwrap(), CampaignState::Ended);

    // The next one, agreed to by the very same nodes, with accounts that carry over.
    let (code, told) = operate(&cluster, &["start", &file]);
    assert_eq!(
        (code, told["resumed"].as_bool(), told["silos"].as_u64()),
        (0, Some(false), Some(3)),
        "{told}"
    );
    let mut second = Recorder::of("campaign-2");
    let more: Vec<_> = (0..40).map(query).collect();
    assert_eq!(second.ask(&mut service, &more).await, CampaignState::Idle);
    let status = second.status(&mut service).await;
    for account in &status.accounts {
        assert_eq!(account.rho_spent_units, spent_before + status.rho_spent_units, "{account:?}");
    }
    let (code, told) = operate(&cluster, &["start", &file]);
    assert_eq!(
        (code, told["resumed"].as_bool(), told["answers"].as_u64()),
        (0, Some(true), Some(40)),
        "{told}"
    );

    // What can be read of either: nodes by name, labels, the campaign before.
    let (code, told) = ask(&cluster, Role::Client, "client", &["status"]);
    assert_eq!((code, told["phase"].as_str()), (0, Some("idle")), "{told}");
    let members = told["members"].as_array().unwrap();
    assert_eq!(members.len(), 3, "{told}");
    for member in members {
        assert!(member["present"] == true && member["last_answer_s"].as_u64().is_some(), "{told}");
    }
    let out = cluster.path("labels.csv").display().to_string();
    let report = cluster.path("report.html").display().to_string();
    for (name, lines) in [("campaign-1", 10), ("campaign-2", 40)] {
        let action = ["labels", "--campaign", name, "--follow", "--out", &out, "--report", &report];
        let (code, told) = ask(&cluster, Role::Client, "client", &action);
        assert_eq!((code, told["campaign"].as_str()), (0, Some(name)), "{told}");
        let table = std::fs::read_to_string(&out).unwrap();
        assert_eq!(table.lines().count(), 1 + lines, "{table}");
        let of_first = format!("{},label,", query(0));
        assert!(table.starts_with("query_id,outcome,label\n") && table.contains(&of_first), "{table}");
        tells(&std::fs::read_to_string(&report).unwrap(), name, lines, &told);
    }
    let mut again = Recorder::default();
    assert_eq!(again.listen(&mut service).await.unwrap(), CampaignState::Ended);
    assert_eq!(again.answers(), first.answers(), "the answers of the campaign before stay what they were");

    // A name that nobody knows is answered with those that are known; one that is taken is no name for a plan.
    let (code, told) = ask(&cluster, Role::Client, "client", &["labels", "--campaign", "nope"]);
    let fix = told["error"]["fix"].as_str().unwrap();
    assert!(code == 2 && fix.contains("it runs campaign-2; name one of"), "{told}");
    assert!(fix.ends_with("campaign-2, campaign-1"), "{told}");
    let plan = |name: &'static str| {
        let out = cluster.path(&format!("planned-{name}.toml")).display().to_string();
        let terms = ["--quorum", "4", "--epsilon", "2", "--sigma", "300", "--queries", "10"];
        let (code, told) =
            ask(&cluster, Role::Client, "client", &[&["create", name, "--out", &out], &terms[..]].concat());
        assert_eq!(PathBuf::from(out).exists(), code == 0, "{told}");
        (code, told["error"]["field"].as_str().map(str::to_owned))
    };
    for name in ["campaign-1", "campaign-2"] {
        assert_eq!(plan(name), (2, Some("NAME".to_owned())), "{name}");
    }
    assert_eq!(plan("campaign-3"), (0, None));

    // Other terms under a name that the ledger has.
    assert_eq!(operate(&cluster, &["stop", "campaign-2"]).0, 0);
    let other = created(&cluster, "campaign-2", &[MODEST, &["--vote-deadline", "9000"]].concat());
    let (code, told) = operate(&cluster, &["start", &other]);
    assert_eq!((code, told["error"]["field"].as_str()), (2, Some("campaign.vote_deadline_ms")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_a_campaign_says_who_is_away_and_afterwards_whose_votes_are_not_in_every_answer() {
    let mut cluster = Cluster::of_silos(3, 40).await;
    let _aggregator = cluster.aggregator(&campaign()).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    let page = |cluster: &Cluster| {
        let out = cluster.path("labels.csv").display().to_string();
        let report = cluster.path("report.html").display().to_string();
        let (code, told) =
            ask(cluster, Role::Client, "client", &["labels", "--out", &out, "--report", &report]);
        assert_eq!(code, 0, "{told}");
        std::fs::read_to_string(report).unwrap()
    };
    let (away, missed) = ("Away as this page was made", "Not in every answer");
    let queries: Vec<_> = (0..40).map(query).collect();
    recorder.ask(&mut service, &queries[..20]).await;
    let whole = page(&cluster);
    assert!(!whole.contains(away) && !whole.contains(missed), "{whole}");

    cluster.silos[1].stop().await;
    recorder.ask(&mut service, &queries[20..]).await;
    let during = page(&cluster);
    assert!(during.contains(&format!("{away}: silo-2/node.")), "{during}");
    assert!(during.contains(&format!("{missed}: silo-2.")), "{during}");

    cluster.restart_silo(1, Data::agreeing(2, 40)).await;
    recorder.status_when(&mut service, |status| status.nodes_present == 3).await;
    let after = page(&cluster);
    assert!(!after.contains(away) && after.contains(&format!("{missed}: silo-2.")), "{after}");
}

/// The report has what the command told, every ε with its terms beside it, and nothing that only a simulation may show.
fn tells(page: &str, name: &str, labels: usize, told: &serde_json::Value) {
    for words in [
        &format!("<h1>Campaign {name}</h1>"),
        &format!("{labels} of {labels}"),
        told["contract"].as_str().unwrap(),
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("imulat"), "{page}");
    let sections: Vec<&str> = page.split("</section>").filter(|section| section.contains("ε =")).collect();
    assert!(sections.len() >= 3, "{page}");
    for section in sections {
        let terms = ["unit record", "adjacency add-remove", "δ = 1e-5"];
        assert!(terms.iter().all(|term| section.contains(term)), "{section}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_goes_on_with_the_campaign_that_was_started_or_stopped_last() {
    const QUERIES: u32 = 250;
    let cluster = Cluster::of_silos(2, QUERIES).await;
    let settings = campaign();
    let mut aggregator = cluster.aggregator(&settings).await;
    let file = created(&cluster, "campaign-2", MODEST);
    assert_eq!(operate(&cluster, &["stop"]).0, 0);
    // A hundred a second at most, so that the kill comes in its middle on any machine.
    let (code, told) = operate(&cluster, &["start", &file, "--queries-per-minute", "6000"]);
    assert_eq!(code, 0, "{told}");
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::of("campaign-2");
    let queries: Vec<_> = (0..QUERIES).map(query).collect();
    recorder.submit(&mut service, &queries).await.unwrap();
    recorder.next_after(&mut service, 0).await;
    aggregator.kill();

    let mut aggregator = cluster.aggregator(&settings).await;
    let mut service = cluster.caller(Role::Student).await;
    let position = recorder.status(&mut service).await.queries_answered;
    assert!(position > 0 && position < QUERIES, "{position}");
    assert_eq!(recorder.ask(&mut service, &queries).await, CampaignState::Idle);
    assert_eq!(recorder.answers().len(), QUERIES as usize);

    // Stopped in the middle of a batch, and killed.
    assert_eq!(operate(&cluster, &["stop"]).0, 0);
    let (code, told) = operate(&cluster, &["stop", "campaign-2"]);
    assert_eq!((code, told["stopped_before"].as_bool()), (0, Some(true)), "{told}");
    aggregator.kill();
    assert!(verify(&cluster.ledger()).unwrap().valid);
    let mut aggregator = cluster.aggregator(&settings).await;
    let mut service = cluster.caller(Role::Student).await;
    assert_eq!(recorder.status(&mut service).await.state(), CampaignState::Ended);
    let refusal = recorder.submit(&mut service, &[query(1)]).await.unwrap_err();
    assert_eq!(Refusal::read(&refusal).reason(), "CAMPAIGN_ENDED");
    assert_eq!(recorder.listen(&mut service).await.unwrap(), CampaignState::Ended);
    assert_eq!(recorder.answers().len(), QUERIES as usize);

    // And started again under its own terms, where it was.
    let (code, told) = operate(&cluster, &["start", &file]);
    assert_eq!(
        (code, told["resumed"].as_bool(), told["answers"].as_u64()),
        (0, Some(true), Some(250)),
        "{told}"
    );
    aggregator.interrupt().await;
    let ledger = conclave_ledger::Snapshot::read(&cluster.ledger()).unwrap();
    for campaign in ledger.campaigns() {
        assert_eq!(campaign.reserved().units(), 0, "what was under way has ended or was given up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_loses_no_charge_and_keeps_what_was_released() {
    const QUERIES: u32 = 2_000;
    let cluster = Cluster::of_silos(2, QUERIES).await;
    let settings = Campaign { flow: "retry_ms = 50\nbatch_queries_max = 2", ..campaign() };
    let mut aggregator = cluster.aggregator(&Campaign { epsilon: 8.0, ..settings }).await;
    let mut service = cluster.caller(Role::Student).await;
    let mut recorder = Recorder::default();
    let queries: Vec<_> = (0..QUERIES).map(query).collect();
    recorder.submit(&mut service, &queries).await.unwrap();
    recorder.status_when(&mut service, |status| status.queries_answered > 20).await;
    let (code, told) = operate(&cluster, &["stop"]);
    assert_eq!(code, 0, "{told}");
    let answers = told["answers"].as_u64().unwrap();
    assert!(answers < QUERIES.into(), "it was over before the stop: {answers}");
    assert_eq!(recorder.listen(&mut service).await.unwrap(), CampaignState::Ended);
    assert_eq!(recorder.answers().len() as u64, answers, "all that was released, and nothing after the stop");
    aggregator.interrupt().await;
    assert!(verify(&cluster.ledger()).unwrap().valid);
    let ledger = conclave_ledger::Snapshot::read(&cluster.ledger()).unwrap();
    let campaign = ledger.campaigns().next().unwrap();
    assert_eq!(campaign.answers().total(), answers);
    assert_eq!(campaign.reserved().units(), 0);
    assert_eq!(campaign.spent().units(), answers * campaign.price().units());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_operators_that_the_settings_name_start_and_stop_campaigns() {
    let cluster = Cluster::of_silos(2, 10).await;
    let file = created(&cluster, "campaign-2", MODEST);
    {
        let mut closed = cluster.aggregator(&Campaign { operators: "[]", ..campaign() }).await;
        for action in [&["start", file.as_str()][..], &["stop", "campaign-1"]] {
            let (code, told) = operate(&cluster, action);
            let fix = told["error"]["fix"].as_str().unwrap();
            assert!(code == 5 && fix.contains("operators = [\"hub/operator\"]"), "{told}");
        }
        closed.interrupt().await;
    }
    let mut aggregator = cluster.aggregator(&campaign()).await;
    let callers = [
        (Role::Operator, "other", "operators = [\"hub/other\"]"),
        (Role::Client, "operator", "role operator"),
        (Role::Student, "operator", "role operator"),
        (Role::Teacher, "operator", "role operator"),
        (Role::Aggregator, "operator", "role operator"),
    ];
    for (role, name, fix) in callers {
        for action in [&["start", file.as_str()][..], &["stop", "campaign-1"]] {
            let (code, told) = ask(&cluster, role, name, action);
            assert!(code == 5 && told["error"]["fix"].as_str().unwrap().contains(fix), "{role}: {told}");
        }
    }
    let mut service = cluster.caller(Role::Student).await;
    assert_eq!(Recorder::default().status(&mut service).await.state(), CampaignState::Idle, "still open");

    // What cannot even be asked.
    let (code, told) = operate(&cluster, &["start", "no-such-file.toml"]);
    assert!(code == 2 && told["error"]["message"].as_str().unwrap().contains("no-such-file.toml"), "{told}");
    let broken = cluster.path("broken.toml");
    std::fs::write(&broken, std::fs::read_to_string(&file).unwrap().replace("queries_max", "query_max"))
        .unwrap();
    let (code, told) = operate(&cluster, &["start", &broken.display().to_string()]);
    assert!(code == 2 && told["error"]["message"].as_str().unwrap().contains("query_max"), "{told}");
    aggregator.interrupt().await;
    let (code, told) = operate(&cluster, &["start", &file]);
    assert_eq!((code, told["error"]["code"].as_str()), (5, Some("peer-missing")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_every_silos_agreement_and_room_in_every_budget_nothing_is_opened() {
    let mut cluster = Cluster::of_silos(2, 100).await;
    let settings =
        Campaign { account_epsilon: 2.0, flow: "retry_ms = 50\nenrolment_wait_ms = 300", ..campaign() };
    let config = without_campaign(&cluster, &settings);
    let mut aggregator = Aggregator::spawn(&conclave(), &config, &[], &cluster.path("log"));
    aggregator.ready(&cluster).await;
    let (code, told) = operate(&cluster, &["status"]);
    assert!(code == 5 && told["error"]["fix"].as_str().unwrap().contains("campaign start"), "{told}");
    assert_eq!(operate(&cluster, &["stop", "campaign-1"]).0, 2, "there is none");

    // A unit that the silos have not promised, a quorum that they cannot reach, more than their cap.
    let subject = created(&cluster, "campaign-1", &[MODEST, &["--unit", "subject:2"]].concat());
    let (code, told) = operate(&cluster, &["start", &subject]);
    let message = told["error"]["message"].as_str().unwrap();
    assert!(code == 2 && message.contains("unit") && message.contains("silo-1"), "{told}");
    assert!(message.contains("silo-2/node refuses too: CONTRACT_REFUSED"), "every silo is asked: {told}");
    let text = std::fs::read_to_string(created(&cluster, "campaign-1", MODEST)).unwrap();
    let folder = cluster.path("");
    let with = |name: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        let file = folder.join(name);
        std::fs::write(&file, text.replace(from, to)).unwrap();
        file.display().to_string()
    };
    let (code, told) = operate(&cluster, &["start", &with("q.toml", "quorum_min = 4", "quorum_min = 5")]);
    assert!(
        code == 2 && told["error"]["message"].as_str().unwrap().contains("teachers_quorum_min"),
        "{told}"
    );
    let (code, told) = operate(&cluster, &["start", &with("e.toml", "epsilon = 2.0", "epsilon = 2.5")]);
    assert_eq!((code, told["error"]["field"].as_str()), (2, Some("campaign.epsilon")), "{told}");

    // A silo that is away, and one that holds another pool.
    cluster.silos[1].stop().await;
    let file = with("campaign-1.toml", "campaign-1", "campaign-1");
    let (code, told) = operate(&cluster, &["start", &file]);
    assert!(code == 5 && told["error"]["message"].as_str().unwrap().contains("silo-2"), "{told}");
    let pool = std::mem::replace(&mut cluster.pool, Cluster::new(99).pool);
    cluster.restart_silo(1, Data::agreeing(2, 99)).await;
    let (code, told) = operate(&cluster, &["start", &file]);
    let message = told["error"]["message"].as_str().unwrap();
    assert!(code == 2 && message.contains("silo-2") && message.contains("pool digest"), "{told}");
    cluster.pool = pool;
    cluster.restart_silo(1, Data::agreeing(2, 100)).await;
    let mut service = cluster.caller(Role::Student).await;
    let refusal = Recorder::default().submit(&mut service, &[query(1)]).await.unwrap_err();
    assert_eq!(Refusal::read(&refusal).reason(), "CAMPAIGN_UNKNOWN", "none of these was opened");

    // Agreed to at last; then the budget of the data is the wall, whatever the campaign.
    let (code, told) = operate(&cluster, &["start", &file]);
    assert_eq!(code, 0, "{told}");
    let all: Vec<_> = (0..100).map(query).collect();
    assert_eq!(Recorder::default().ask(&mut service, &all).await, CampaignState::Idle);
    assert_eq!(operate(&cluster, &["stop"]).0, 0);
    let out = folder.join("loud.toml").display().to_string();
    let loud = ["--epsilon", "2", "--sigma", "4", "--queries", "2"];
    let refused =
        tell(&[&["campaign", "create", "loud", "--quorum", "4", "--out", &out], &loud[..]].concat());
    assert!(!PathBuf::from(&out).exists(), "nothing is written");
    assert_eq!((refused.0, refused.1["error"]["code"].as_str()), (3, Some("budget-spent")), "{}", refused.1);
    let costly = with("costly.toml", "campaign-1", "campaign-2");
    let costly_text = std::fs::read_to_string(&costly).unwrap().replace("sigma = 300.0", "sigma = 1.0");
    std::fs::write(&costly, costly_text).unwrap();
    let (code, told) = operate(&cluster, &["start", &costly]);
    assert_eq!((code, told["error"]["code"].as_str()), (3, Some("budget-spent")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_goes_on_tells_of_every_silo_whether_it_agrees_refuses_and_why_or_is_away() {
    let mut cluster = Cluster::of_silos(4, 100).await;
    let _aggregator = cluster.aggregator(&campaign()).await;
    let file = created(&cluster, "campaign-2", MODEST);
    assert_eq!(operate(&cluster, &["stop"]).0, 0);
    let (code, told) = operate(&cluster, &["start", &file]);
    assert_eq!((code, members(&told)), (0, vec!["agrees"; 4]), "{told}");
    assert_eq!(operate(&cluster, &["stop"]).0, 0);

    // One refuses the contract, the next has other data than were agreed to, the last is away.
    cluster.restart_silo(1, Data { simulated: true, ..Data::agreeing(2, 100) }).await;
    std::fs::remove_file(cluster.path("state-silo-3/data.toml")).unwrap();
    cluster.restart_silo(2, Data::agreeing(9, 100)).await;
    cluster.silos[3].stop().await;
    let expected = ["agrees", "CONTRACT_REFUSED", "MISFIT", "away"];
    // Opened again, and again while it is open.
    for _ in 0..2 {
        let (code, told) = operate(&cluster, &["start", &file]);
        assert_eq!((code, members(&told)), (0, expected.to_vec()), "{told}");
        assert_eq!(
            (told["teachers_present"].as_u64(), told["quorum"].as_u64()),
            (Some(2), Some(4)),
            "{told}"
        );
    }
    let (_, told) = ask(&cluster, Role::Client, "client", &["status"]);
    assert_eq!(members(&told), expected, "{told}");
    let mut command = Command::new(conclave());
    let kit = cluster.path("kit-operator-operator").display().to_string();
    command.args(["campaign", "start", &file, "--server", &cluster.listen.to_string(), "--kit", &kit]);
    let output = tokio::task::block_in_place(|| command.output()).unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    for told in ["silo-1/node agrees", "silo-2/node refused: CONTRACT_REFUSED", "silo-4/node is not there"] {
        assert!(words.contains(told), "{told}: {words}");
    }
    assert!(words.contains("NOT reached: 2 of 8 teachers"), "{words}");

    // As long as it refuses, and no longer.
    cluster.restart_silo(1, Data::agreeing(2, 100)).await;
    let mut service = cluster.caller(Role::Student).await;
    let recorder = Recorder::of("campaign-2");
    let back = |status: &conclave_proto::campaign::v1::GetStatusResponse| {
        status.nodes.iter().any(|node| node.organisation == "silo-2" && node.present)
    };
    let status = recorder.status_when(&mut service, back).await;
    assert_eq!(status.nodes[1].refused, "");
}

/// How each silo stands.
fn members(told: &Value) -> Vec<&str> {
    let members = told["members"].as_array().unwrap().iter();
    let there = |member: &Value| if member["present"].as_bool().unwrap() { "agrees" } else { "away" };
    members.map(|member| member["refused"].as_str().unwrap_or_else(|| there(member))).collect()
}

/// The settings without their campaign: operators start it.
fn without_campaign(cluster: &Cluster, campaign: &Campaign) -> PathBuf {
    let path = cluster.config(campaign);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("[campaign]").unwrap();
    let (_, after) = rest.split_once("[accounts]").unwrap();
    std::fs::write(&path, format!("{before}[accounts]{after}")).unwrap();
    path
}
