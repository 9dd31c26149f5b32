//! Bits against seconds.

use shoal_proto::Span;

use super::{CURVE_USERS, Head, OnCurve, Profiles, Row};
use crate::plot::{Axis, Figure, Point, Series, Style};

/// One curve for each profile over the mean delay, and where the network stands on it.
#[must_use]
pub fn figure(table: &Profiles) -> Figure {
    let rows = table.profiles.iter().enumerate();
    let series = rows.flat_map(|(colour, (name, row))| {
        of(
            name,
            row,
            &table.head,
            (colour, colour + table.profiles.len()),
        )
    });
    Figure {
        title: format!("Bits of sender anonymity against seconds, {CURVE_USERS} users online"),
        x: Axis {
            log: true,
            ..Axis::new("delay of a text to a receiver who is online, median (s)")
        },
        y: Axis {
            from_zero: true,
            ..Axis::new("entropy over users (bits, at least)")
        },
        series: series.collect(),
        notes: vec![
            "Along a curve the mean delay of a hop grows, by a factor of two from mark to mark."
                .to_owned(),
            format!(
                "Alone, in another colour: this network, with {}.",
                Span::from_secs_f64(table.head.mean_delay_s)
            ),
        ],
        metadata: vec![
            ("command".to_owned(), table.head.command.clone()),
            ("version".to_owned(), table.head.version.clone()),
            ("seed".to_owned(), table.head.seed.to_string()),
            ("repetitions".to_owned(), table.head.repetitions.to_string()),
        ],
    }
}

/// The mark of where the network is stands on one of the line, so it has another colour.
fn of(name: &str, row: &Row, head: &Head, (colour, other): (usize, usize)) -> [Series; 2] {
    let point = |it: &OnCurve| {
        let y = it.bits.mean?;
        let interval = it.bits.interval;
        let x = it.p50_s;
        Some(Point { x, y, interval })
    };
    let present = |it: &&OnCurve| (it.mean_delay_s - head.mean_delay_s).abs() < 1e-9;
    let line = Series {
        name: name.to_owned(),
        points: row.curve.iter().filter_map(point).collect(),
        style: Style::Marked,
        colour,
    };
    let here = Series {
        name: format!("{name}, now"),
        points: row.curve.iter().filter(present).filter_map(point).collect(),
        style: Style::Marked,
        colour: other,
    };
    [line, here]
}
