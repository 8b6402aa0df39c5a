//! `conclave budget` on the votes that the 2018 paper published, and on files and flags that make no sense.

use std::path::Path;

use serde_json::Value;

use crate::binary::{Scratch, conclave, json, stderr, stdout};

fn mnist_votes() -> String {
    let file = "../privacy/tests/vectors/votes_mnist_250_teachers.csv";
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file).display().to_string()
}

/// The settings of the paper's MNIST run, over as many rows.
fn account(more: &[&str]) -> Value {
    let votes = mnist_votes();
    let settings =
        ["--mechanism", "confident-gnmax", "--threshold", "200", "--sigma1", "150", "--sigma", "40"];
    let fixed = ["budget", "account", "--votes", &votes, "--delta", "1e-5", "--format", "json"];
    let output = conclave(&[&fixed, &settings[..], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    json(&output)
}

fn epsilon_of(told: &Value, accountant: &str) -> f64 {
    let results = told["results"].as_array().expect("a list of results");
    let found = results.iter().find(|row| row["accountant"] == accountant).expect("the accountant was asked");
    found["epsilon"].as_f64().expect("a finite epsilon")
}

#[test]
fn the_published_votes_cost_what_the_paper_says_and_exactly_less_than_half() {
    let two = ["--accountant", "rdp-data-dependent", "--accountant", "exact", "--at", "640"];
    let classic = account(&[&two[..], &["--conversion", "classic"]].concat());
    assert!((epsilon_of(&classic, "rdp-data-dependent") - 2.00).abs() < 0.01, "{classic}");
    let tight = account(&two);
    assert!(epsilon_of(&tight, "exact") < 0.96, "{tight}");
    for row in tight["results"].as_array().unwrap() {
        assert_eq!(
            (&row["publishable"], &row["cost_publishable"]),
            (&Value::from(false), &Value::from(false))
        );
        assert!((row["answered"].as_f64().unwrap() - 282.72).abs() < 0.01);
    }
}

#[test]
fn a_stated_number_of_answers_keeps_the_flag_and_an_expected_one_does_not() {
    let stated = account(&["--accountant", "zcdp", "--at", "100,640", "--answered", "283"]);
    let results = stated["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!((&results[1]["queries"], &results[1]["publishable"]), (&Value::from(640), &Value::from(true)));
    assert!((epsilon_of(&stated, "zcdp") - results[0]["epsilon"].as_f64().unwrap()).abs() < 1e-12);
    let expected = account(&["--accountant", "zcdp"]);
    assert_eq!(expected["results"][0]["publishable"], false);
    assert_eq!(expected["results"][0]["cost_publishable"], true);
    assert_eq!(expected["results"][0]["queries"], 9000);
}

#[test]
fn the_report_stands_alone_warns_and_is_never_overwritten() {
    let scratch = Scratch::new();
    let report = scratch.path("report.html");
    let settings = ["--accountant", "exact", "--accountant", "zcdp", "--at", "60", "--report", &report];
    let told = account(&settings);
    assert_eq!(told["results"].as_array().unwrap().len(), 2, "the points of the plots are no results");
    let html = std::fs::read_to_string(&report).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("do not publish this page"));
    assert_eq!(html.matches("<svg").count(), 3, "two accountants, and the landscape of one");
    assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("href="));
    let votes = mnist_votes();
    let fixed =
        ["budget", "account", "--votes", &votes, "--mechanism", "gnmax", "--sigma", "40", "--delta", "1e-5"];
    let again = conclave(&[&fixed[..], &["--accountant", "zcdp", "--report", &report]].concat());
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&report).unwrap(), html);
}

#[test]
fn curves_have_a_row_per_query_and_one_for_the_worst_case() {
    let told = account(&[
        "--accountant",
        "exact",
        "--accountant",
        "exact-worst-case",
        "--at",
        "3",
        "--orders",
        "2,8",
        "--curve",
    ]);
    assert_eq!(told["orders"], serde_json::json!([2.0, 8.0]));
    let curves = told["curves"].as_array().unwrap();
    assert_eq!(curves.len(), 4);
    assert_eq!((&curves[2]["row"], &curves[3]["row"]), (&Value::from(2), &Value::Null));
    let worst = curves[3]["rdp"][1].as_f64().unwrap();
    assert!(curves[..3].iter().all(|curve| curve["rdp"][1].as_f64().unwrap() <= worst));
}

#[test]
fn pure_laplace_noise_adds_up_and_every_accountant_that_applies_is_asked() {
    let votes = mnist_votes();
    let fixed = ["budget", "account", "--votes", &votes, "--at", "10", "--format", "json"];
    let output = conclave(
        &[&fixed[..], &["--mechanism", "lnmax", "--scale", "20", "--delta", "1e-5", "--orders", "8,32"]]
            .concat(),
    );
    let told = json(&output);
    let names: Vec<_> =
        told["results"].as_array().unwrap().iter().map(|row| row["accountant"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "pure",
            "advanced",
            "zcdp",
            "rdp",
            "pld",
            "pld-lower",
            "rdp-data-dependent",
            "exact",
            "exact-worst-case"
        ]
    );
    assert_eq!((&told["unit"], &told["adjacency"]), (&Value::from("record"), &Value::from("add-remove")));
    for row in told["results"].as_array().unwrap() {
        let (direction, publishable) = match row["accountant"].as_str().unwrap() {
            "exact" => ("exact", false),
            "rdp-data-dependent" => ("one-direction", false),
            "pld-lower" => ("lower", false),
            _ => ("upper", true),
        };
        assert_eq!(
            (row["direction"].as_str(), row["publishable"].as_bool()),
            (Some(direction), Some(publishable))
        );
    }
    let of = |accountant| epsilon_of(&told, accountant);
    assert!(of("exact") <= of("exact-worst-case") && of("exact-worst-case") < of("rdp"), "{told}");
    assert!((epsilon_of(&told, "pure") - 1.0).abs() < 1e-9);
    assert!(of("pld") < of("advanced") && of("advanced") <= of("pure"), "{told}");
    let bracket = (of("pld-lower"), of("pld"));
    assert!(bracket.0 <= bracket.1 && bracket.0 > 0.99 * bracket.1, "{bracket:?}");
}

#[test]
fn pure_selection_is_priced_by_its_scale_alone() {
    let votes = mnist_votes();
    let fixed =
        ["budget", "account", "--votes", &votes, "--at", "100", "--format", "json", "--delta", "1e-5"];
    let of = |mechanism| {
        let output = conclave(&[&fixed[..], &["--scale", "40", "--mechanism", mechanism]].concat());
        let told = json(&output);
        let names: Vec<_> = told["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["accountant"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["pure", "advanced", "zcdp", "rdp"]);
        assert!(told["results"].as_array().unwrap().iter().all(|row| row["publishable"] == true));
        told
    };
    let (bounded, flipped) = (of("exponential"), of("permute-and-flip"));
    for told in [&bounded, &flipped] {
        assert!((epsilon_of(told, "pure") - 5.0).abs() < 1e-9, "{told}");
        assert!(epsilon_of(told, "advanced") < epsilon_of(told, "pure"), "{told}");
    }
    // A bounded range is worth a factor of four in ρ: the same as half the scale of noise without one.
    assert!(epsilon_of(&bounded, "zcdp") < 0.55 * epsilon_of(&flipped, "zcdp"));
    for flags in [&["--accountant", "exact"][..], &["--accountant", "pld"], &["--curve"], &["--at", "0"]] {
        let plain = ["budget", "account", "--votes", &votes, "--delta", "1e-5", "--mechanism", "exponential"];
        let output = conclave(&[&plain[..], &["--scale", "40", "--format", "json"], flags].concat());
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
    }
}

#[test]
fn a_student_that_predicts_evenly_moves_the_threshold_and_nothing_else() {
    let scratch = Scratch::new();
    let votes = scratch.file("votes.csv", b"130,120\n250,0\n200,50\n");
    let even = scratch.file("even.csv", b"0.5,0.5\n0.5,0.5\n0.5,0.5\n");
    let sure = scratch.file("sure.csv", b"0.5,0.5\n1,0\n0.8,0.2\n");
    let fixed =
        ["budget", "account", "--votes", &votes, "--delta", "1e-5", "--format", "json", "--sigma1", "30"];
    let of = |mechanism, threshold, more: &[&str]| {
        let noise = ["--mechanism", mechanism, "--sigma", "10", "--threshold", threshold, "--orders", "4,16"];
        conclave(&[&fixed[..], &noise, more].concat())
    };
    let against = |file: &str| json(&of("interactive-gnmax", "40", &["--student-predictions", file]));
    let (even, plain) = (against(&even), json(&of("confident-gnmax", "165", &[])));
    for (here, there) in even["results"].as_array().unwrap().iter().zip(plain["results"].as_array().unwrap())
    {
        assert_eq!(here["accountant"], there["accountant"]);
        for field in ["epsilon", "answered"] {
            let [here, there] = [here, there].map(|row| row[field].as_f64().unwrap());
            assert!((here / there - 1.0).abs() < 1e-9, "{field}: {here}, not {there}");
        }
    }
    // Who predicts what the teachers say asks them less.
    let answered = |told: &Value| told["results"][0]["answered"].as_f64().unwrap();
    let sure_answered = answered(&against(&sure));
    assert!(sure_answered < 0.5 * answered(&even), "{sure_answered} and {}", answered(&even));
    let refused = |file: &[u8], more: &[&str], words: &str| {
        let file = scratch.file("wrong.csv", file);
        let output = of("interactive-gnmax", "40", &[&["--student-predictions", &file], more].concat());
        assert_eq!(output.status.code(), Some(2));
        let error = json(&output)["error"].to_string();
        assert!(error.contains(words), "{error} without {words}");
    };
    refused(b"0.5,0.5\n", &[], "1 rows for 3 queries");
    refused(b"0.5,0.5\n0.5,0.4\n1,0\n", &[], "line 2");
    refused(b"0.5,0.5\n0.5,x\n1,0\n", &[], "line 2, column 2");
    refused(b"0.5,0.5\n0.2,0.3,0.5\n1,0\n", &[], "3 classes");
    refused(b"0.5,0.5\n1,0\n1,0\n", &["--accountant", "exact", "--answered", "joint"], "one law");
    assert_eq!(of("interactive-gnmax", "40", &[]).status.code(), Some(2));
}

#[test]
fn what_has_no_meaning_is_refused_with_the_way_out() {
    let scratch = Scratch::new();
    let good = scratch.file("good.csv", b"3,4\n5,6\n");
    let header = scratch.file("header.csv", b"cat,dog\n3,4\n");
    let ragged = scratch.file("ragged.csv", b"3,4\n3,4,5\n");
    let huge = scratch.file("huge.csv", b"3,9007199254740993\n");
    let single = scratch.file("single.csv", b"3\n");
    let empty = scratch.file("empty.csv", b"\n");
    let gnmax = ["--mechanism", "gnmax", "--sigma", "4", "--delta", "1e-5"];
    let with = |votes: &str, flags: &[&str]| {
        let output =
            conclave(&[&["budget", "account", "--format", "json", "--votes", votes], flags].concat());
        assert_eq!(output.status.code(), Some(2), "{votes} {flags:?}: {}", stdout(&output));
        let error = json(&output)["error"].clone();
        assert!(!error["fix"].as_str().unwrap().is_empty());
        format!(
            "{} {} {}",
            error["code"].as_str().unwrap(),
            error["field"].as_str().unwrap(),
            error["message"]
        )
    };
    assert!(with(&header, &gnmax).contains("line 1, column 1"));
    assert!(with(&ragged, &gnmax).contains("line 2"));
    assert!(with(&huge, &gnmax).contains("2^53"));
    assert!(with(&single, &gnmax).contains("classes"));
    assert!(with(&empty, &gnmax).contains("no votes"));
    assert!(with(&scratch.path("none.csv"), &gnmax).contains("unreadable-file"));
    assert!(with(&good, &["--mechanism", "gnmax", "--delta", "1e-5"]).contains("--sigma"));
    assert!(with(&good, &[&gnmax[..], &["--scale", "3"]].concat()).contains("superfluous-flag"));
    assert!(with(&good, &[&gnmax[..], &["--accountant", "pure"]].concat()).contains("cannot price"));
    assert!(with(&good, &[&gnmax[..], &["--accountant", "advanced"]].concat()).contains("cannot price"));
    let lnmax = ["--mechanism", "lnmax", "--scale", "4", "--delta", "1e-5", "--accountant", "gdp"];
    assert!(with(&good, &lnmax).contains("cannot price"));
    assert!(with(&good, &[&gnmax[..], &["--accountant", "renyi"]].concat()).contains("accountant"));
    assert!(with(&good, &[&gnmax[..], &["--at", "3"]].concat()).contains("at"));
    assert!(with(&good, &[&gnmax[..], &["--orders", "1"]].concat()).contains("orders"));
    for sigma in ["0", "-1", "nan", "inf"] {
        let flags = ["--mechanism", "gnmax", "--sigma", sigma, "--delta", "1e-5"];
        assert!(with(&good, &flags).contains("--sigma"), "{sigma}");
    }
    for delta in ["0", "1", "-1", "nan", "inf"] {
        let flags = ["--mechanism", "gnmax", "--sigma", "4", "--delta", delta];
        assert!(with(&good, &flags).contains(" --delta "), "{delta}");
    }
    for orders in ["0.5", "-2", "nan", "inf", "2,1", "2,,4"] {
        assert!(
            with(&good, &[&gnmax[..], &["--orders", orders]].concat()).contains(" --orders "),
            "{orders}"
        );
    }
    for (mechanism, flag, others) in [
        ("lnmax", "--scale", &[][..]),
        ("exponential", "--scale", &[]),
        ("permute-and-flip", "--scale", &[]),
        ("confident-gnmax", "--sigma", &["--sigma1", "4", "--threshold", "4"]),
        ("confident-gnmax", "--sigma1", &["--sigma", "4", "--threshold", "4"]),
        ("confident-gnmax", "--threshold", &["--sigma", "4", "--sigma1", "4"]),
    ] {
        for value in ["nan", "inf", "0", "-1"] {
            let flags = [&["--mechanism", mechanism, "--delta", "1e-5", flag, value], others].concat();
            assert!(with(&good, &flags).contains(&format!(" {flag} ")), "{mechanism} {flag} {value}");
        }
    }
    let wide = scratch.file("wide.csv", vec!["0"; 1_000_001].join(",").as_bytes());
    assert!(with(&wide, &gnmax).contains("classes is 1000001"));
}

#[test]
fn noise_so_little_that_its_cost_cannot_be_written_down_is_refused_by_its_flag_and_in_finite_time() {
    let scratch = Scratch::new();
    let votes = scratch.file("votes.csv", b"3,4\n5,6\n");
    let fixed =
        ["budget", "account", "--format", "json", "--votes", &votes, "--delta", "1e-5", "--answered", "all"];
    for (mechanism, flag, others, accountants) in [
        ("gnmax", "--sigma", &[][..], &["pld", "gdp", "zcdp", "rdp", "exact", "exact-worst-case"][..]),
        (
            "confident-gnmax",
            "--sigma1",
            &["--sigma", "4", "--threshold", "4"],
            &["pld", "gdp", "zcdp", "rdp"],
        ),
        (
            "confident-gnmax",
            "--sigma",
            &["--sigma1", "4", "--threshold", "4"],
            &["pld", "gdp", "zcdp", "rdp"],
        ),
        ("lnmax", "--scale", &[], &["pld", "zcdp"]),
        ("exponential", "--scale", &[], &["zcdp"]),
    ] {
        for accountant in accountants {
            let asked = ["--mechanism", mechanism, flag, "1e-160", "--accountant", accountant];
            let output = conclave(&[&fixed[..], &asked[..], others].concat());
            assert_eq!(output.status.code(), Some(2), "{asked:?}: {}", stdout(&output));
            let error = json(&output)["error"].clone();
            assert_eq!(error["field"], flag, "{asked:?}: {error}");
            assert!(error["fix"].as_str().unwrap().contains("more noise"), "{asked:?}: {error}");
            assert!(
                error["value"].as_str().unwrap().parse::<f64>().is_ok_and(|value| value > 0.0),
                "{error}"
            );
        }
    }
}

#[test]
fn a_plan_refuses_bad_input_by_its_flag() {
    let scratch = Scratch::new();
    let zero = scratch.file("zero.csv", b"3,4\n0,0\n");
    let ragged = scratch.file("ragged.csv", b"3,4\n3,4,5\n");
    let empty = scratch.file("empty.csv", b"");
    let good = [
        ("--teachers", "250"),
        ("--classes", "2"),
        ("--queries", "640"),
        ("--delta", "1e-5"),
        ("--epsilon", "3"),
    ];
    // The same with one flag otherwise; --sigma takes the place of --epsilon.
    let with = |flag: &str, value: &str| {
        let others =
            good.iter().filter(|(name, _)| *name != flag && (flag != "--sigma" || *name != "--epsilon"));
        let flags = others.flat_map(|(name, value)| [*name, *value]).chain([flag, value]);
        conclave(&["budget", "plan", "--format", "json"].into_iter().chain(flags).collect::<Vec<_>>())
    };
    for (flag, values) in [
        ("--sigma", &["nan", "inf", "-inf", "0", "-1", "x", "1e-160", "1e308"][..]),
        ("--epsilon", &["nan", "inf", "0", "-1", "x"]),
        ("--delta", &["nan", "inf", "0", "1", "-1", "x"]),
        ("--teachers", &["nan", "0", "-1", "1.5"]),
        ("--queries", &["nan", "0", "-1", "1.5"]),
        ("--classes", &["nan", "0", "1", "-1", "1000001", "4294967295"]),
        ("--vote-model", &[zero.as_str()]),
        ("--group", &["a:nan:1", "a:0:1", "a:1:nan", "a:1:0", "a:1", ":1:1"]),
    ] {
        for value in values {
            let output = with(flag, value);
            assert_eq!(output.status.code(), Some(2), "{flag} {value}: {}", stdout(&output));
            let error = json(&output)["error"].clone();
            assert_eq!(error["field"], flag, "{value}: {error}");
            assert!(!error["fix"].as_str().unwrap().is_empty(), "{flag} {value}: {error}");
        }
    }
    for file in [&ragged, &empty] {
        assert_eq!(with("--vote-model", file).status.code(), Some(2), "{file}");
    }
}

#[test]
fn a_plan_says_what_a_budget_buys_and_the_noise_that_it_names_fits() {
    let fixed =
        ["budget", "plan", "--teachers", "250", "--classes", "10", "--queries", "640", "--delta", "1e-5"];
    let output = conclave(&[&fixed[..], &["--epsilon", "3", "--format", "json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let plans = json(&output)["plans"].as_array().unwrap().clone();
    assert!(plans.len() >= 3);
    for plan in &plans {
        let (answers, agreement) = (&plan["expected_answers"], &plan["expected_agreement"]);
        assert!((0.0..=640.0).contains(&answers.as_f64().unwrap()), "{plan}");
        assert!((0.0..=1.0).contains(&agreement.as_f64().unwrap()), "{plan}");
        let of = |name: &str| {
            let accounts = plan["accounts"].as_array().unwrap();
            accounts.iter().find(|cost| cost["accountant"] == name).unwrap()["epsilon"].as_f64().unwrap()
        };
        // A plan for a target fits it, as the ledger would charge it.
        assert!((2.9..=3.0).contains(&of("ledger")), "{plan}");
        let (gaussian, confident) = (plan["mechanism"] != "lnmax", plan["mechanism"] == "confident-gnmax");
        assert!(!gaussian || of("zcdp") > 1.2 * of("ledger"), "{plan}");
        assert!(of("exact-worst-case") < of("zcdp") && of("pld") < of("zcdp"), "{plan}");
        let costs: Vec<_> = plan["accounts"].as_array().unwrap().iter().collect();
        let mut expected = if gaussian {
            vec!["ledger", "zcdp", "rdp", "pld", "gdp", "exact-worst-case"]
        } else {
            vec!["ledger", "pure", "advanced", "zcdp", "rdp", "pld", "exact-worst-case"]
        };
        expected.extend(["rdp-data-dependent", "exact"]);
        expected.extend(confident.then_some("exact"));
        assert_eq!(
            costs.iter().map(|cost| cost["accountant"].as_str().unwrap()).collect::<Vec<_>>(),
            expected
        );
        for cost in costs {
            let of_model = ["rdp-data-dependent", "exact"].contains(&cost["accountant"].as_str().unwrap());
            assert_eq!(
                (cost["publishable"].as_bool(), cost["answered"] == "stated"),
                (Some(!of_model), !of_model)
            );
        }
        // The assumed model is wrong on two questions of twenty.
        assert!(plan["expected_accuracy"].as_f64() < plan["expected_agreement"].as_f64(), "{plan}");
    }
    let right = |plan: &Value| {
        plan["expected_answers"].as_f64().unwrap() * plan["expected_accuracy"].as_f64().unwrap()
    };
    assert!(plans.is_sorted_by(|a, b| right(a) >= right(b)));
    let neither = conclave(&fixed);
    assert_eq!(neither.status.code(), Some(2));
    let text = conclave(&[&fixed[..], &["--sigma", "40"]].concat());
    assert!(stdout(&text).contains("gnmax") && stdout(&text).contains("assumed"), "{}", stdout(&text));
}

#[test]
fn a_plan_is_for_the_truth_that_a_model_knows_and_for_whom_it_is_to_protect() {
    let scratch = Scratch::new();
    let model = scratch.file("model.csv", b"90,5,5,0\n80,15,5,1\n70,20,10,0\n");
    let fixed =
        ["budget", "plan", "--teachers", "100", "--queries", "30", "--delta", "1e-5", "--epsilon", "3"];
    let with = |more: &[&str]| conclave(&[&fixed[..], &["--format", "json"], more].concat());
    let truth = json(&with(&["--classes", "3", "--vote-model", &model, "--truth"]));
    assert_eq!(
        (&truth["unit"], &truth["protects"]),
        (&"record".into(), &"one record added or removed".into())
    );
    for plan in truth["plans"].as_array().unwrap() {
        let [accuracy, agreement] =
            ["expected_accuracy", "expected_agreement"].map(|name| plan[name].as_f64().unwrap());
        assert!(accuracy < agreement && accuracy > 0.3, "{plan}");
    }
    // Without the flag the last column is a class like others, and nothing is known of the truth.
    let plain = json(&with(&["--classes", "4", "--vote-model", &model]));
    assert!(plain["plans"].as_array().unwrap().iter().all(|plan| plan["expected_accuracy"].is_null()));
    let refused = |more: &[&str], words: &str| {
        let output = with(more);
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        let error = json(&output)["error"].to_string();
        assert!(error.contains(words), "{error} without {words}");
    };
    refused(
        &["--classes", "4", "--vote-model", &model, "--truth"],
        "leave out --truth if the last column is a class",
    );
    let wrong = scratch.file("wrong.csv", b"90,5,5,0\n80,15,5,3\n");
    refused(&["--classes", "3", "--vote-model", &wrong, "--truth"], "from 0 to 2");
    refused(&["--classes", "3", "--unit", "person"], "record, subject:2 or organisation:25");
    refused(&["--classes", "3", "--unit", "subject:2", "--group", "all:1:2"], "--adjacency");
    let protected = json(&with(&["--classes", "3", "--unit", "subject:2", "--adjacency", "replace"]));
    assert_eq!((&protected["unit"], &protected["adjacency"]), (&"subject".into(), &"replace".into()));
    let sigma = |told: &Value| {
        let plans = told["plans"].as_array().unwrap();
        plans.iter().find(|plan| plan["mechanism"] == "gnmax").unwrap()["sigma"].as_f64().unwrap()
    };
    // Four moved votes at the published price; one at four fifths of it.
    let ratio = sigma(&protected) / sigma(&truth);
    assert!((4.0..6.0).contains(&ratio), "{ratio}");
    let words = stdout(&conclave(&[&fixed[..], &["--classes", "3", "--unit", "organisation:3"]].concat()));
    assert!(words.contains("up to 3 teachers") && words.contains("unit organisation"), "{words}");
}

#[test]
fn groups_are_each_charged_within_their_own_budget_by_every_method() {
    let fixed = [
        "budget",
        "plan",
        "--teachers",
        "250",
        "--classes",
        "10",
        "--queries",
        "640",
        "--delta",
        "1e-5",
        "--sigma",
        "40",
    ];
    let with = |groups: &[&str]| {
        let flags: Vec<&str> = groups.iter().flat_map(|group| ["--group", group]).collect();
        conclave(&[&fixed[..], &flags, &["--format", "json"]].concat())
    };
    let output = with(&["cautious:0.34:1", "of:two:0.43:2", "open:0.23:3"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let section = json(&output)["groups"].clone();
    assert_eq!(section["mechanism"], "gnmax");
    let plans = section["plans"].as_array().unwrap();
    let methods: Vec<_> = plans.iter().map(|plan| plan["method"].as_str().unwrap()).collect();
    assert_eq!((methods.len(), methods[0], methods[3]), (4, "weighting", "uniform"));
    for plan in plans {
        let groups = plan["groups"].as_array().unwrap();
        let names: Vec<_> = groups.iter().map(|group| group["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["cautious", "of:two", "open"]);
        for group in groups {
            let of = |field: &str| group[field].as_f64().unwrap();
            assert!(of("epsilon_charged") <= of("epsilon") && of("rho") <= of("rho_cap"), "{plan}");
            assert!((of("rho_per_query") * of("queries") / of("rho") - 1.0).abs() < 1e-9, "{plan}");
        }
    }
    let text = conclave(&[&fixed[..], &["--group", "all:1:2"]].concat());
    assert!(stdout(&text).contains("vanishing: sigma"), "{}", stdout(&text));
    assert!(json(&with(&[])).get("groups").is_none());

    for (groups, words) in [
        (&["cautious:1"][..], "NAME:SHARE:EPSILON"),
        (&[":1:1"], "no name"),
        (&["a:x:1"], "not a number"),
        (&["a:1:0"], "epsilon"),
        (&["a:0:1"], "share"),
        (&["a:0.5:1", "b:0.4:2"], "add up to 1"),
        (&["a:0.5:1", "a:0.5:2"], "named twice"),
        (&["a:0.999:1", "b:0.001:2"], "at least one teacher"),
    ] {
        let output = with(groups);
        assert_eq!(output.status.code(), Some(2), "{groups:?}");
        let error = json(&output)["error"].to_string();
        assert!(error.contains(words), "{error} without {words}");
    }
}
