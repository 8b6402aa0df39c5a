//! The report's charts, as SVG that inherits its colours from the page.
//!
//! A chart is as wide as its column. Every mark carries a `<title>`, so that its figures can be read by pointing at it, and
//! the whole chart a label for those who cannot see it.

use std::fmt::Write as _;

use super::markup::escape;

/// What both axes say.
pub(crate) struct Axes<'a> {
    /// What the chart shows, in one sentence.
    pub(crate) label: &'a str,
    /// Under the horizontal axis.
    pub(crate) x: &'a str,
    /// Above the vertical axis.
    pub(crate) y: &'a str,
}

/// A point of a line, with what to say about it.
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) title: String,
}

/// A horizontal line across a chart.
pub(crate) struct Rule {
    /// `limit` or `reference`.
    pub(crate) class: &'static str,
    pub(crate) y: f64,
    pub(crate) words: String,
}

/// A line through each of `lines`, whose points ascend in x, with rules across. The horizontal axis starts at zero. Lines differ
/// by the colour of their class, `series-0` and so on, which a legend names.
pub(crate) fn line_chart(axes: &Axes<'_>, lines: &[&[Point]], rules: &[Rule], shape: &Line) -> String {
    let points = || lines.iter().copied().flatten();
    let x_max = points().map(|p| p.x).fold(f64::MIN_POSITIVE, f64::max);
    let bounds = shape.bound.iter().map(|(_, y)| *y);
    let y_max = points()
        .map(|p| p.y)
        .chain(rules.iter().map(|r| r.y))
        .chain(bounds)
        .fold(f64::MIN_POSITIVE, f64::max);
    let x = Scale { whole: shape.whole_x, ..Scale::new(0.0, x_max, LEFT, WIDTH - RIGHT) };
    let y_top = shape.y_max.unwrap_or_else(|| Scale::rounded_up(y_max));
    let y = Scale::new(shape.y_min, y_top, HEIGHT - BOTTOM, TOP);
    let mut svg = open(axes);
    grid(&mut svg, &x, &y, shape.percent);
    for rule in rules {
        let at = y.at(rule.y);
        let _ = write!(
            svg,
            "<g class=\"rule {}\"><line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\">{}</text></g>",
            rule.class,
            WIDTH - RIGHT,
            LEFT + 4.0,
            if at < TOP + 14.0 { at + 14.0 } else { at - 5.0 },
            escape(&rule.words),
        );
    }
    if !shape.bound.is_empty() {
        let corner = |&(px, py): &(f64, f64)| format!("{:.1} {:.1}", x.at(px), y.at(py));
        let corners: Vec<String> = shape.bound.iter().map(corner).collect();
        let _ = write!(
            svg,
            "<path class=\"bound\" d=\"M{}\"><title>broken line: the bound</title></path>",
            corners.join("L")
        );
    }
    for (index, points) in lines.iter().enumerate() {
        let _ = write!(svg, "<g class=\"series-{index}\">");
        line(&mut svg, points, &x, &y, shape.filled);
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    svg
}

fn line(svg: &mut String, points: &[Point], x: &Scale, y: &Scale, filled: bool) {
    let corner = |point: &Point| format!("{:.1} {:.1}", x.at(point.x), y.at(point.y));
    let path = points.iter().map(corner).collect::<Vec<_>>().join("L");
    if let (true, Some(first), Some(last)) = (filled, points.first(), points.last()) {
        let base = HEIGHT - BOTTOM;
        let _ = write!(
            svg,
            "<path class=\"area\" d=\"M{path}L{:.1} {base}L{:.1} {base}Z\"/>",
            x.at(last.x),
            x.at(first.x)
        );
    }
    if !points.is_empty() {
        let _ = write!(svg, "<path class=\"line\" d=\"M{path}\"/>");
    }
    for point in points {
        let class = if points.len() > DOTS_MAX { "dot faint" } else { "dot" };
        let _ = write!(
            svg,
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}</title></circle>",
            x.at(point.x),
            y.at(point.y),
            escape(&point.title),
        );
    }
}

/// How lines are drawn.
#[derive(Default)]
pub(crate) struct Line {
    pub(crate) filled: bool,
    /// Vertical values are shares, shown in per cent.
    pub(crate) percent: bool,
    /// Horizontal values are whole, and so are the ticks.
    pub(crate) whole_x: bool,
    pub(crate) y_min: f64,
    pub(crate) y_max: Option<f64>,
    /// A broken line beside it: what is promised, by x.
    pub(crate) bound: Vec<(f64, f64)>,
}

/// How many of `shares` (each in 0..=1) fall into each of twenty bins.
pub(super) fn histogram(axes: &Axes<'_>, shares: &[f64]) -> String {
    let mut bins = [0_u64; BINS];
    for share in shares {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share is clamped to 0..=1"
        )]
        let bin = ((share.clamp(0.0, 1.0) * BINS as f64) as usize).min(BINS - 1);
        bins[bin] += 1;
    }
    let most = bins.iter().copied().max().unwrap_or_default().max(1);
    let x = Scale::new(0.0, 1.0, LEFT, WIDTH - RIGHT);
    let y = Scale::new(0.0, Scale::rounded_up(most as f64), HEIGHT - BOTTOM, TOP);
    let mut svg = open(axes);
    grid_x_percent(&mut svg, &x);
    grid_y(&mut svg, &y, false);
    for (bin, &count) in bins.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (from, to) = (bin as f64 / BINS as f64, (bin + 1) as f64 / BINS as f64);
        let (left, top) = (x.at(from) + 1.0, y.at(count as f64));
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{count} queries: \
             {:.0} to {:.0} % of the votes</title></rect>",
            x.at(to) - left - 1.0,
            HEIGHT - BOTTOM - top,
            from * 100.0,
            to * 100.0,
        );
    }
    svg.push_str("</svg>");
    svg
}

/// One part of a stacked bar.
pub(super) struct Part {
    pub(super) value: f64,
    /// `good`, `bad` or `none`.
    pub(super) class: &'static str,
    pub(super) title: String,
}

/// One vertical bar per name, its parts on top of each other.
pub(super) fn stacked_bars(axes: &Axes<'_>, bars: &[(String, Vec<Part>)]) -> String {
    let height = |parts: &[Part]| parts.iter().map(|part| part.value).sum::<f64>();
    let most = bars.iter().map(|(_, parts)| height(parts)).fold(1.0, f64::max);
    let y = Scale::new(0.0, Scale::rounded_up(most), HEIGHT - BOTTOM, TOP);
    let slot = (WIDTH - RIGHT - LEFT) / bars.len().max(1) as f64;
    let mut svg = open(axes);
    grid_y(&mut svg, &y, false);
    // Names that would run into each other are left to the titles.
    let every = (bars.len() / NAMES_MAX) + 1;
    for (index, (name, parts)) in bars.iter().enumerate() {
        let left = LEFT + slot * index as f64 + slot * 0.15;
        let mut below = 0.0;
        for part in parts.iter().filter(|part| part.value > 0.0) {
            let (bottom, top) = (y.at(below), y.at(below + part.value));
            let _ = write!(
                svg,
                "<rect class=\"part {}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
                part.class,
                slot * 0.7,
                bottom - top,
                escape(&part.title),
            );
            below += part.value;
        }
        if index % every == 0 {
            let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
            tick_x(&mut svg, left + slot * 0.35, &escape(&shown));
        }
    }
    svg.push_str("</svg>");
    svg
}

fn open(axes: &Axes<'_>) -> String {
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(axes.label)
    );
    let _ = write!(
        svg,
        "<text class=\"axis\" x=\"2\" y=\"13\">{}</text><text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        escape(axes.y),
        WIDTH - RIGHT,
        HEIGHT - 5.0,
        escape(axes.x),
    );
    svg
}

fn grid(svg: &mut String, x: &Scale, y: &Scale, percent: bool) {
    for value in x.ticks() {
        tick_x(svg, x.at(value), &plain(value));
    }
    grid_y(svg, y, percent);
}

fn grid_x_percent(svg: &mut String, x: &Scale) {
    for value in [0.0, 0.25, 0.5, 0.75, 1.0] {
        tick_x(svg, x.at(value), &per_cent(value));
    }
}

fn grid_y(svg: &mut String, y: &Scale, percent: bool) {
    for value in y.ticks() {
        let at = y.at(value);
        let words = if percent { per_cent(value) } else { plain(value) };
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{words}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
        );
    }
}

fn tick_x(svg: &mut String, at: f64, words: &str) {
    let y = HEIGHT - BOTTOM + 16.0;
    let _ =
        write!(svg, "<text class=\"tick\" x=\"{at:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{words}</text>");
}

/// Values to positions, on a line.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    /// Ticks are whole numbers.
    whole: bool,
}

impl Scale {
    fn new(low: f64, high: f64, from: f64, to: f64) -> Self {
        // An axis from zero to nothing would have zero at both ends.
        let high = if high - low > f64::MIN_POSITIVE { high } else { low + 1.0 };
        Self { low, high, from, to, whole: false }
    }

    fn at(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + share * (self.to - self.from)
    }

    /// Three to seven round values.
    fn ticks(&self) -> Vec<f64> {
        let step = Self::step(self.high - self.low).max(if self.whole { 1.0 } else { 0.0 });
        let first = (self.low / step).ceil();
        let ticks = (0..8).map(|index| (first + f64::from(index)) * step);
        ticks.take_while(|value| *value <= self.high + step * 1e-6).collect()
    }

    fn rounded_up(high: f64) -> f64 {
        if high <= f64::MIN_POSITIVE {
            return 1.0;
        }
        let step = Self::step(high);
        (high / step - 1e-9).ceil() * step
    }

    /// 1, 2 or 5 times a power of ten, so that about five fit.
    fn step(span: f64) -> f64 {
        let rough = (span / 5.0).max(f64::MIN_POSITIVE);
        let power = 10_f64.powf(rough.log10().floor());
        [1.0, 2.0, 5.0, 10.0]
            .map(|digit| digit * power)
            .into_iter()
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(power)
    }
}

fn plain(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    // Negative zero is zero.
    format!("{}", rounded + 0.0)
}

fn per_cent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 42.0;
const BINS: usize = 20;
const DOTS_MAX: usize = 60;
const NAMES_MAX: usize = 12;
const NAME_CHARS_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_round_and_inside() {
        for high in [1e-4, 0.37, 1.0, 3.0, 7.3, 99.0, 12_345.0] {
            let scale = Scale::new(0.0, Scale::rounded_up(high), 0.0, 100.0);
            let ticks = scale.ticks();
            assert!((3..=8).contains(&ticks.len()), "{high}: {ticks:?}");
            assert!(*ticks.last().unwrap() >= high * 0.999, "{high}: {ticks:?}");
        }
    }

    #[test]
    fn a_silo_has_no_half_and_figures_that_are_all_zero_still_have_an_axis() {
        let axes = Axes { label: "l", x: "x", y: "y" };
        let points = |values: &[(f64, f64)]| -> Vec<Point> {
            values.iter().map(|&(x, y)| Point { x, y, title: String::new() }).collect()
        };
        let ticks = |svg: &str| -> Vec<String> {
            let texts = svg.split("<text class=\"tick\"").skip(1);
            texts.map(|text| text.split(['>', '<']).nth(1).unwrap().to_owned()).collect()
        };
        let silos = [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)];
        let whole = line_chart(&axes, &[&points(&silos)], &[], &Line { whole_x: true, ..Line::default() });
        assert_eq!(ticks(&whole)[..3], ["0", "1", "2"]);
        assert_eq!(ticks(&whole)[3..], ["0", "0.2", "0.4", "0.6", "0.8", "1"], "every figure is zero");
        let half = line_chart(&axes, &[&points(&silos)], &[], &Line::default());
        assert!(ticks(&half).contains(&"0.5".to_owned()));
    }

    #[test]
    fn empty_and_flat_data_still_make_a_chart() {
        let axes = Axes { label: "l", x: "x", y: "y" };
        let flat = Point { x: 0.0, y: 0.0, title: String::new() };
        for svg in [
            line_chart(&axes, &[], &[], &Line::default()),
            line_chart(&axes, &[&[flat]], &[], &Line::default()),
            histogram(&axes, &[]),
            stacked_bars(&axes, &[]),
        ] {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
        }
    }
}
