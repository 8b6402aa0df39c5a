//! A made-up campaign with plausible figures, for tests of what is shown.

use super::{
    BudgetPoint, ClassOutcomes, Confusion, CurvePoint, Privacy, QueryExample, QueryTotals, ReportData,
    Seconds, Setting, SiloAccount, Student,
};

pub(crate) fn digits() -> ReportData {
    ReportData {
        title: "optdigits, 5 organisations, 100 teachers, seed 7".into(),
        dataset: "optdigits".into(),
        class_names: (0..10).map(|digit| digit.to_string()).collect(),
        scheme: "ensemble".into(),
        organisations: 5,
        teachers: 100,
        command: "conclave simulate --seed 7".into(),
        settings: settings(),
        queries: QueryTotals { pool: 900, asked: 60, answered: 57, abstained: 3 },
        label_accuracy: Some(0.965),
        student: Student {
            model: "label propagation, then a kernel machine".into(),
            test_size: 897,
            test_accuracy: Some(0.9264),
            nonprivate_accuracy: Some(0.978),
            public_alone_accuracy: Some(0.105),
            public_alone: "the most frequent class".into(),
        },
        privacy: Privacy {
            unit: "record".into(),
            adjacency: "add-remove".into(),
            protects: "one record added or removed".into(),
            delta: 1e-5,
            epsilon: 3.0,
            epsilon_spent: 2.8712,
            rho_cap: 0.155_172,
            rho_spent: 0.143_001,
            accountant: "zcdp".into(),
            publishable: true,
            mechanism: "gnmax".into(),
            noise: "Gaussian noise of standard deviation 14.73 votes on each count".into(),
        },
        shortfall: None,
        curve: [
            (0.5, 0.41),
            (1.0, 0.72),
            (1.5, 0.85),
            (2.0, 0.894),
            (3.0, 0.9264),
            (4.0, 0.938),
            (6.0, 0.944),
        ]
        .map(|(epsilon, accuracy)| CurvePoint { epsilon, accuracy, labels: 60 })
        .to_vec(),
        budget: (0..=60_u32)
            .map(|queries| {
                let rho = 0.143_001 * f64::from(queries) / 60.0;
                BudgetPoint { queries: queries.into(), rho, epsilon: rho + 2.0 * (rho * 1e5_f64.ln()).sqrt() }
            })
            .collect(),
        top_vote_shares: (0..60_u32)
            .map(|query| 1.0 - (f64::from(query * 37 % 60) / 60.0).powi(3) * 0.7)
            .collect(),
        outcomes: (0..10)
            .map(|class| ClassOutcomes {
                right: 5 + class % 2,
                wrong: class % 4 / 3,
                abstained: class / 7 % 2,
            })
            .collect(),
        confusion: Some(Confusion(
            (0..10_u64)
                .map(|t| {
                    (0..10_u64).map(|p| if t == p { 80 + t } else { (t * 7 + p * 5) % 11 / 9 * 3 }).collect()
                })
                .collect(),
        )),
        examples: (0..24_u16)
            .map(|index| QueryExample {
                row: u64::from(index) * 31,
                shape: Some((8, 8)),
                values: (0..64_u16).map(|at| ring(at / 8, at % 8, index)).collect(),
                label: (index % 11 != 10).then_some(index % 10),
                truth: Some(if index == 13 { 8 } else { index % 10 }),
                top_vote_share: Some(0.5 + f64::from(index) / 50.0),
            })
            .collect(),
        silos: (1..=5_u32)
            .map(|silo| SiloAccount {
                organisation: format!("organisation-{silo}"),
                data_id: format!("organisation-{silo}"),
                teachers: 20,
                records: Some(764 + u64::from(silo % 2)),
                epsilon_cap: 3.0,
                epsilon_spent: 2.8712,
                rho_cap: 0.155_172,
                rho_spent: 0.143_001,
            })
            .collect(),
        attacks: Vec::new(),
        seconds: Seconds { teachers: 3.21, voting: 0.84, student: 1.97, total: 6.4 },
    }
}

fn settings() -> Vec<Setting> {
    let settings = [
        ("dataset", "optdigits", "default"),
        ("organisations", "5", "default"),
        ("teachers", "100", "default"),
        ("partition", "iid", "default"),
        ("mechanism", "gnmax", "default"),
        ("sigma", "14.73 votes", "calibrated"),
        ("epsilon", "3", "default"),
        ("delta", "1e-5", "default"),
        ("queries", "60", "default"),
        ("seed", "7", "flag"),
    ];
    settings
        .map(|(name, value, origin)| Setting {
            name: name.into(),
            value: value.into(),
            origin: origin.into(),
        })
        .to_vec()
}

/// Something like a digit: a ring that leans with `index`.
fn ring(row: u16, column: u16, index: u16) -> f32 {
    let (y, x) = (f32::from(row) - 3.5, f32::from(column) - 3.5 - f32::from(index % 5) * 0.2);
    let distance = (x * x + y * y * 0.5).sqrt();
    (16.0 - (distance - 2.2).abs() * 12.0).clamp(0.0, 16.0)
}
