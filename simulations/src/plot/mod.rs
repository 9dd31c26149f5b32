//! Figures in SVG and PNG, drawn from tables.
