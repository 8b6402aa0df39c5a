//! `conclave student predict`: rows of a file to labels, through a running student.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use conclave_service::clock::WallClock;
use conclave_service::lifecycle;
use conclave_service::{ChannelLimits, ClientTransport, Identity, Kit, Role};
use conclave_student::PredictionClient;
use ndarray::Array2;
use serde::Serialize;

use crate::cli::{Console, Exit, Fault};

/// Whom to ask about what.
#[derive(Debug, clap::Args)]
pub(super) struct PredictArgs {
    /// The student's address
    #[arg(long, value_name = "HOST:PORT")]
    server: String,
    /// Our own kit, made by `conclave provision`
    #[arg(long, value_name = "DIR", required_unless_present = "plaintext")]
    kit: Option<PathBuf>,
    /// Who must be there: the student's organisation and name, as in its kit
    #[arg(long, value_name = "ORGANISATION/NAME", default_value = "hub/student")]
    student: String,
    /// No TLS, for a student on this machine that was told the same
    #[arg(long, conflicts_with = "kit")]
    plaintext: bool,
    /// A CSV file without labels: one row of numbers per line, with or without a line of names
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
}

#[derive(Serialize)]
struct Predictions {
    model: String,
    simulated: bool,
    labels: Vec<String>,
}

/// Prints one label per row.
pub(super) fn run(args: &PredictArgs, console: &Console) -> Result<Exit, Fault> {
    let rows = read_rows(&args.input)?;
    let transport = transport(args)?;
    let predictions = lifecycle::outcome("predict", |shutdown| async move {
        let ask = async {
            let mut client =
                PredictionClient::connect(&args.server, &transport, &ChannelLimits::default()).await?;
            let labels = client.predict(&rows).await?;
            let described = client.description();
            Ok(Predictions {
                model: described.model.clone(),
                simulated: described.simulated,
                labels: labels.into_iter().map(|label| client.class_name(label).to_owned()).collect(),
            })
        };
        tokio::select! {
            predictions = ask => predictions,
            () = shutdown.cancelled() => Err(lifecycle::Failure::interrupted("ask again")),
        }
    })?;
    if predictions.simulated {
        console.note("This student learned from a simulation's labels: it carries no privacy guarantee.");
    }
    console.result(|| predictions.labels.join("\n") + "\n", &predictions)?;
    Ok(Exit::Done)
}

fn transport(args: &PredictArgs) -> Result<ClientTransport, Fault> {
    let Some(dir) = &args.kit else { return Ok(ClientTransport::PlaintextLoopback) };
    let kit = Kit::load(dir, WallClock::now_ms())?;
    let Some((organisation, name)) = args.student.split_once('/') else {
        return Err(Fault::input(
            "invalid-party",
            "--student",
            &args.student,
            "is not ORGANISATION/NAME",
            "write for example hub/student",
        ));
    };
    let expected = Identity::new(kit.identity().consortium(), Role::Student, organisation, name)?;
    Ok(ClientTransport::Mutual { kit: Arc::new(kit), expected })
}

/// Rows × columns of finite numbers. A first line whose cells are not all numbers names the columns.
fn read_rows(path: &Path) -> Result<Array2<f32>, Fault> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Fault::input(
            "unreadable-file",
            "--input",
            &shown,
            error,
            "name a CSV file in UTF-8 that this user may read",
        )
    })?;
    let mut values = Vec::new();
    let mut columns = None;
    for (number, line) in (1_usize..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let numbers: Vec<Option<f32>> =
            cells.iter().map(|cell| cell.parse().ok().filter(|value: &f32| value.is_finite())).collect();
        if number == 1 && numbers.iter().any(Option::is_none) {
            continue;
        }
        let fault = |field: String, value: &str, problem: &str, fix: &str| {
            Fault::input("malformed-file", field, value, problem, fix)
        };
        if let Some(column) = numbers.iter().position(Option::is_none) {
            let field = format!("{shown}, line {number}, column {}", column + 1);
            let cell: String = cells[column].chars().take(CELL_CHARS_MAX).collect();
            return Err(fault(
                field,
                &cell,
                "is not a finite number",
                "give the raw values, without the label",
            ));
        }
        let wanted = *columns.get_or_insert(numbers.len());
        if wanted != numbers.len() {
            let field = format!("{shown}, line {number}");
            let found = format!("{} cells", numbers.len());
            return Err(fault(
                field,
                &found,
                &format!("the lines above have {wanted}"),
                "give every row the same columns",
            ));
        }
        values.extend(numbers.into_iter().flatten());
    }
    let columns = columns.unwrap_or_default();
    let rows = values.len().checked_div(columns).unwrap_or_default();
    if rows == 0 {
        return Err(Fault::input(
            "malformed-file",
            "--input",
            shown,
            "holds no row",
            "give one line per row",
        ));
    }
    Ok(Array2::from_shape_vec((rows, columns), values)
        .expect("every row was checked to have as many columns"))
}

const CELL_CHARS_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Array2<f32>, Fault> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_rows(file.path())
    }

    #[test]
    fn a_line_of_names_is_no_row() {
        let rows = read("a,b\n1,2\n3, 4.5\n\n").unwrap();
        assert_eq!(rows, ndarray::array![[1.0, 2.0], [3.0, 4.5]]);
        assert_eq!(read("1,2\n3,4").unwrap().nrows(), 2);
    }

    #[test]
    fn what_cannot_be_a_row_is_refused_with_its_place() {
        let words = |text: &str| read(text).unwrap_err().to_string();
        assert!(words("1,2\n3").contains("line 2"), "{}", words("1,2\n3"));
        assert!(words("1,2\n3,x").contains("line 2, column 2 x"), "{}", words("1,2\n3,x"));
        assert!(words("1,2\n3,NaN").contains("NaN"));
        assert!(words("").contains("no row"));
        assert!(words("a,b\n").contains("no row"));
    }
}
