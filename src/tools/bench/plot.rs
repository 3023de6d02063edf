//! The result as a picture: one SVG, alone or in an HTML page, that needs nothing from elsewhere.
//!
//! Three panels: latency by percentile (with the far end stretched, as the interesting part is
//! there), messages per second over time, and latency over time.

use std::fmt::Write;
use std::path::Path;

use super::report::{Report, grouped, time};

/// The forms of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlotForm {
    /// A page with the picture and the table.
    Html,
    /// The picture.
    Svg,
}

impl PlotForm {
    /// The form that a file's name asks for, by its ending.
    pub fn of(path: &Path) -> Option<PlotForm> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "html" | "htm" => Some(PlotForm::Html),
            "svg" => Some(PlotForm::Svg),
            _ => None,
        }
    }
}

/// Draws a report.
pub fn plot(report: &Report, form: PlotForm) -> String {
    let svg = svg(report);
    match form {
        PlotForm::Svg => format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{svg}"),
        PlotForm::Html => {
            let (title, table) = (escaped(&report.title()), escaped(&report.table()));
            format!(
                "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n\
                 <title>{title}</title></head>\n\
                 <body>\n{svg}<pre>{table}</pre>\n</body></html>\n"
            )
        }
    }
}

fn svg(report: &Report) -> String {
    let mut out = String::new();
    let height = PANELS * PANEL_STEP + TOP;
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"14\">{}</text>\n",
        escaped(&report.title())
    );
    percentiles(report).draw(&mut out, 0);
    throughput(report).draw(&mut out, 1);
    latency_over_time(report).draw(&mut out, 2);
    out.push_str("</svg>\n");
    out
}

/// One set of axes with curves.
struct Panel {
    title: &'static str,
    curves: Vec<Curve>,
    /// Where lines are drawn across, and what stands there.
    x_ticks: Vec<(f64, String)>,
    y_ticks: Vec<(f64, String)>,
}

struct Curve {
    name: &'static str,
    colour: &'static str,
    points: Vec<(f64, f64)>,
}

/// How many values are longer, as powers of ten: p90 is at 1, p99 at 2.
fn percentiles(report: &Report) -> Panel {
    let latency = &report.latency;
    let nines = (latency.total().max(10) as f64).log10().min(NINES_MAX);
    let steps = 200;
    let points = (0..=steps).filter(|_| latency.total() > 0).map(|step| {
        let place = nines * f64::from(step) / f64::from(steps);
        let quantile = 1.0 - 10_f64.powf(-place);
        (place, latency.quantile(quantile).max(1) as f64)
    });
    let labels = ["min", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];
    let ticks = labels.iter().enumerate().map(|(place, label)| (place as f64, (*label).to_owned()));
    let points: Vec<(f64, f64)> = points.collect();
    let highest = points.iter().map(|point| point.1).fold(1_000.0, f64::max);
    Panel {
        title: "latency by percentile",
        x_ticks: ticks.filter(|(place, _)| *place <= nines).collect(),
        y_ticks: time_ticks(highest),
        curves: vec![Curve { name: "", colour: BLUE, points }],
    }
}

fn throughput(report: &Report) -> Panel {
    let points: Vec<(f64, f64)> =
        report.intervals.iter().map(|interval| (interval.end_s, interval.per_second)).collect();
    let highest = points.iter().map(|point| point.1).fold(1.0, f64::max);
    let y_ticks = round_steps(highest).map(|value| (value, grouped(value))).collect();
    Panel {
        title: "messages per second",
        x_ticks: second_ticks(report),
        y_ticks,
        curves: vec![Curve { name: "", colour: BLUE, points }],
    }
}

fn latency_over_time(report: &Report) -> Panel {
    let points = |of: fn(&super::recorder::Interval) -> u64| {
        let point = |interval: &super::recorder::Interval| (interval.end_s, of(interval) as f64);
        report.intervals.iter().map(point).collect::<Vec<_>>()
    };
    let median = Curve { name: "p50", colour: BLUE, points: points(|interval| interval.p50) };
    let high = Curve { name: "p99", colour: RED, points: points(|interval| interval.p99) };
    let highest = high.points.iter().map(|point| point.1).fold(1_000.0, f64::max);
    Panel {
        title: "latency",
        x_ticks: second_ticks(report),
        y_ticks: time_ticks(highest),
        curves: vec![median, high],
    }
}

fn second_ticks(report: &Report) -> Vec<(f64, String)> {
    let end = report.intervals.last().map_or(1.0, |interval| interval.end_s).max(0.001);
    round_steps(end).map(|value| (value, format!("{value} s"))).collect()
}

fn time_ticks(highest: f64) -> Vec<(f64, String)> {
    let label = |value: f64| if value == 0.0 { "0".to_owned() } else { time(value as u64) };
    round_steps(highest).map(|value| (value, label(value))).collect()
}

/// 0 and about five round numbers up to at least `highest`.
fn round_steps(highest: f64) -> impl Iterator<Item = f64> {
    let rough = highest / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough);
    let step = factor.unwrap_or(10.0) * power;
    let count = (highest / step).ceil() as u32;
    // Through a text and back: 0.30000000000000004 is not round.
    (0..=count).map(move |n| {
        let value = f64::from(n) * step;
        format!("{value:.9}").parse().unwrap_or(value)
    })
}

impl Panel {
    fn draw(&self, out: &mut String, place: u32) {
        let top = f64::from(TOP + place * PANEL_STEP + 20);
        let (left, width) = (f64::from(LEFT), f64::from(WIDTH - LEFT - RIGHT));
        let bottom = top + PANEL_HEIGHT;
        let x_max = self.x_max();
        let y_max = self.y_ticks.last().map_or(1.0, |tick| tick.0).max(f64::MIN_POSITIVE);
        let x = |value: f64| left + value / x_max * width;
        let y = |value: f64| bottom - value / y_max * PANEL_HEIGHT;
        let _ = writeln!(out, "<text x=\"{left}\" y=\"{}\">{}</text>", top - 8.0, self.title);
        for (value, label) in &self.y_ticks {
            let at = y(*value);
            line(out, (left, at), (left + width, at));
            text(out, "end", (left - 6.0, at + 4.0), label);
        }
        for (value, label) in &self.x_ticks {
            let at = x(*value);
            line(out, (at, top), (at, bottom));
            text(out, "middle", (at, bottom + 16.0), label);
        }
        for (number, curve) in self.curves.iter().enumerate() {
            let _ = write!(out, "<polyline fill=\"none\" stroke=\"{}\" points=\"", curve.colour);
            for (at, value) in &curve.points {
                let _ = write!(out, "{:.1},{:.1} ", x(*at), y(*value));
            }
            out.push_str("\"/>\n");
            if !curve.name.is_empty() {
                let (at, colour) = (left + width - 40.0 * (number as f64 + 1.0), curve.colour);
                let top = top - 8.0;
                let name = curve.name;
                let _ =
                    writeln!(out, "<text x=\"{at}\" y=\"{top}\" fill=\"{colour}\">{name}</text>");
            }
        }
    }

    fn x_max(&self) -> f64 {
        let points = self.curves.iter().flat_map(|curve| &curve.points).map(|point| point.0);
        let ticks = self.x_ticks.iter().map(|tick| tick.0);
        points.chain(ticks).fold(f64::MIN_POSITIVE, f64::max)
    }
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        out,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(out: &mut String, anchor: &str, at: (f64, f64), label: &str) {
    let (x, y) = at;
    let label = escaped(label);
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#555\">{label}</text>"
    );
}

/// As text in XML and HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const WIDTH: u32 = 860;
const LEFT: u32 = 90;
const RIGHT: u32 = 40;
const TOP: u32 = 40;
const PANELS: u32 = 3;
const PANEL_STEP: u32 = 240;
const PANEL_HEIGHT: f64 = 180.0;
const BLUE: &str = "#1f5fa8";
const RED: &str = "#b8322a";

/// 99.9999 %.
const NINES_MAX: f64 = 6.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_reach_far_enough() {
        let steps = |highest| round_steps(highest).collect::<Vec<_>>();
        assert_eq!(steps(1.0), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(steps(1_234.0), [0.0, 500.0, 1_000.0, 1_500.0]);
        for highest in [0.001, 0.3, 7.0, 99_999.0, 1e12] {
            let steps = steps(highest);
            assert!(steps.len() <= 8 && *steps.last().unwrap() >= highest, "{highest}: {steps:?}");
        }
    }

    #[test]
    fn what_users_wrote_is_text() {
        assert_eq!(escaped("<a href=\"x\">&</a>"), "&lt;a href=&quot;x&quot;&gt;&amp;&lt;/a&gt;");
    }

    #[test]
    fn the_ending_of_a_file_name_tells_the_form() {
        let form = |name: &str| PlotForm::of(Path::new(name));
        assert_eq!(form("a/b.SVG"), Some(PlotForm::Svg));
        assert_eq!(form("b.html"), Some(PlotForm::Html));
        assert_eq!((form("b.png"), form("svg")), (None, None));
    }
}
