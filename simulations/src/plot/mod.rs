//! Figures in SVG and PNG, drawn from tables.
//!
//! A [`Figure`] is what is to be shown: axes, series of points with their intervals, where it
//! comes from. [`from_columns`] makes one from the columns of a table, [`standard_figures`] those
//! of a run's folder, [`sweep_figures`] those of a sweep's. [`Figure::svg`] and [`Figure::png`] draw it; the same figure gives the same
//! bytes. The colours are those of Okabe and Ito (2008), which people who are colour-blind can tell
//! apart; each series has a mark of its own too.

mod aggregate;
mod canvas;
mod columns;
mod distribution;
mod error;
mod figure;
mod labels;
mod layout;
mod lettering;
mod marks;
mod over_time;
mod palette;
mod render;
mod said;
mod scale;
mod standard;
mod sweep;

pub use columns::{ColumnChoice, from_columns};
pub use error::PlotError;
pub use figure::{Axis, Figure, MOST_SERIES, Point, Series, Style};
pub use labels::label;
pub use render::DENSITIES;
pub use standard::{Drawn, NamedFigure, standard_figures};
pub use sweep::sweep_figures;
