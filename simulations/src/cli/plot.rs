//! `shoal-sim plot`.

use std::path::{Path, PathBuf};

use clap::Args;
use shoal_simulations::plot::{
    ColumnChoice, DENSITIES, Drawn, Figure, NamedFigure, PlotError, from_columns, standard_figures,
    sweep_figures,
};
use shoal_simulations::table::{Table, TableError, write_atomically};

use super::{CommandResult, Exit};

/// Draws figures in SVG and PNG: the standard ones of a run's or a sweep's folder, or columns of a
/// table.
#[derive(Args)]
#[command(after_help = "Examples:
  shoal-sim plot results/
  shoal-sim plot rates/ --x clients.users.rates.real --y entropy_forward_messages.global --log-x
  shoal-sim plot results/targets.parquet --x latency_s --y entropy_bits --scatter --out a.png --dpi 288")]
pub(crate) struct PlotArgs {
    /// A run's or a sweep's output folder, or a table (.csv, .parquet).
    input: PathBuf,
    /// The column along the horizontal axis, such as a swept key.
    #[arg(long, value_name = "COLUMN")]
    x: Option<String>,
    /// A column of the vertical axis; columns NAME.low and NAME.high are its interval. Repeatable.
    #[arg(long, value_name = "COLUMN")]
    y: Vec<String>,
    /// A series for each value of this column. Repeatable: for each combination of values.
    #[arg(long, value_name = "COLUMN")]
    group: Vec<String>,
    /// A logarithmic horizontal axis.
    #[arg(long)]
    log_x: bool,
    /// A logarithmic vertical axis.
    #[arg(long)]
    log_y: bool,
    /// Dots for the rows as they are, neither joined nor averaged.
    #[arg(long)]
    scatter: bool,
    /// The title; by default, what is drawn.
    #[arg(long)]
    title: Option<String>,
    /// What is written along the horizontal axis; by default, the column and its unit.
    #[arg(long, value_name = "TEXT")]
    x_label: Option<String>,
    /// What is written along the vertical axis; by default, the column and its unit.
    #[arg(long, value_name = "TEXT")]
    y_label: Option<String>,
    /// A file (.svg or .png, repeatable) for columns; a folder for the standard figures. By default,
    /// beside the table in both formats, or the folder `figures` in the folder given.
    #[arg(long, value_name = "PATH")]
    out: Vec<PathBuf>,
    /// Pixels in an inch of a PNG, which is 10 by 6.25 inches: 72, 144 or 288.
    #[arg(long, value_name = "DPI", default_value_t = DENSITIES[0], value_parser = density)]
    dpi: u32,
}

fn density(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|dpi| DENSITIES.contains(dpi));
    number.ok_or_else(|| {
        let mut known = DENSITIES;
        known.sort_unstable();
        format!("has to be one of {known:?}")
    })
}

pub(crate) fn run(args: &PlotArgs) -> CommandResult {
    let columns = args.x.is_some() || !args.y.is_empty() || !args.group.is_empty();
    let drawn = match (args.input.is_dir(), columns) {
        (true, false) => folder(args),
        (true, true) => table(args, &main_table(&args.input)),
        (false, _) => table(args, &args.input),
    };
    match drawn {
        Ok(files) => {
            for (path, bytes) in files {
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                let written = write_atomically(&path, &bytes);
                written.map_err(|error| format!("{}: {error}", path.display()))?;
                println!("{}", path.display());
            }
            Ok(Exit::Done)
        }
        Err(reason) => {
            eprintln!("error: {reason}");
            Ok(Exit::Refused)
        }
    }
}

type Files = Vec<(PathBuf, Vec<u8>)>;

/// A sweep's table of results, or a run's of repetitions.
fn main_table(folder: &Path) -> PathBuf {
    let names = ["results.parquet", "results.csv", "runs.parquet", "runs.csv"];
    let mut paths = names.into_iter().map(|name| folder.join(name));
    let found = paths.find(|path| path.is_file());
    found.unwrap_or_else(|| folder.join("runs.parquet"))
}

fn folder(args: &PlotArgs) -> Result<Files, String> {
    let target = match args.out.as_slice() {
        [] => args.input.join("figures"),
        [folder] if format(folder).is_none() => folder.clone(),
        _ => return Err("--out names one folder for the standard figures".to_owned()),
    };
    let figures = match sweep_figures(&args.input) {
        Ok(Some(figures)) => Ok(figures),
        Ok(None) => standard_figures(&args.input),
        Err(error) => Err(error),
    };
    let Drawn { figures, absent } = figures.map_err(|error| error.to_string())?;
    for (name, reason) in absent {
        eprintln!("no figure {name}: {reason}");
    }
    let mut files = Vec::new();
    for NamedFigure { name, mut figure } in figures {
        if let Some(title) = &args.title {
            figure.title = format!("{title}: {}", figure.title);
        }
        for extension in ["svg", "png"] {
            let path = target.join(format!("{name}.{extension}"));
            files.push(file(path, &figure, args.dpi)?);
        }
    }
    Ok(files)
}

fn table(args: &PlotArgs, input: &Path) -> Result<Files, String> {
    let paths = match args.out.as_slice() {
        [] => vec![input.with_extension("svg"), input.with_extension("png")],
        given => given.to_vec(),
    };
    if let Some(path) = paths.iter().find(|path| format(path).is_none()) {
        return Err(format!(
            "--out {}: a figure ends in .svg or .png",
            path.display()
        ));
    }
    let table = Table::read(input).map_err(|error| error.to_string())?;
    let (Some(x), false) = (&args.x, args.y.is_empty()) else {
        return Err(format!(
            "--x COLUMN and --y COLUMN say what is drawn; the columns of {} are: {}",
            input.display(),
            table.main_columns().join(", ")
        ));
    };
    let choice = ColumnChoice {
        x: x.clone(),
        y: args.y.clone(),
        group: args.group.clone(),
        log_x: args.log_x,
        log_y: args.log_y,
        title: args.title.clone(),
        x_label: args.x_label.clone(),
        y_label: args.y_label.clone(),
        scatter: args.scatter,
    };
    let figure = from_columns(&table, &choice).map_err(|error| hint(&error, &table))?;
    paths
        .into_iter()
        .map(|path| file(path, &figure, args.dpi))
        .collect()
}

/// The error; for a column of text, with the columns of numbers.
fn hint(error: &PlotError, table: &Table) -> String {
    let PlotError::Table(TableError::NotNumeric { .. }) = error else {
        return error.to_string();
    };
    let columns = table.columns().iter();
    let numbers = columns.filter(|c| c.values.numbers().is_some());
    let names: Vec<_> = numbers.map(|c| c.name.as_str()).collect();
    format!("{error}; columns of numbers are: {}", names.join(", "))
}

fn format(path: &Path) -> Option<&str> {
    let extension = path.extension()?.to_str()?;
    ["svg", "png"].into_iter().find(|known| *known == extension)
}

fn file(path: PathBuf, figure: &Figure, dpi: u32) -> Result<(PathBuf, Vec<u8>), String> {
    let drawn = match format(&path) {
        Some("svg") => figure.svg().map(String::into_bytes),
        _ => figure.png_of(dpi),
    };
    let bytes = drawn.map_err(|error| error.to_string())?;
    Ok((path, bytes))
}
