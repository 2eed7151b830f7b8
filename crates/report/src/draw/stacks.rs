//! Stacked horizontal bars: gains to the right of 0, losses to the left.

use batchlab_draw::{Anchor, Axis, Svg, tick_text};

use super::WIDTH;
use crate::figures::Stacks;
use crate::number::short;

const LEFT: f64 = 8.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 38.0;
const ROW: f64 = 36.0;
const BAR: f64 = 15.0;
/// Minimum pixels between two ticks on the horizontal axis.
const TICK_DISTANCE: f64 = 52.0;

pub(super) fn draw(stacks: &Stacks, title: &str, color: impl Fn(&str) -> usize) -> (Svg, f64) {
    let side = |sign: f64| {
        let sum = |parts: &Vec<f64>| parts.iter().map(|ns| (ns * sign).max(0.0)).sum::<f64>();
        stacks.bars.iter().map(|bar| sum(&bar.parts)).fold(0.0, f64::max)
    };
    let axis = Axis::between(-side(-1.0), side(1.0), LEFT, WIDTH - RIGHT);
    let bottom = TOP + stacks.bars.len() as f64 * ROW;
    let mut svg = Svg::default();
    svg.text(4.0, 14.0, Anchor::Start, "ink bold", title);
    svg.text(4.0, 27.0, Anchor::Start, "grey small", &stacks.unit);
    for tick in axis.ticks(TICK_DISTANCE) {
        let x = axis.pixel(tick);
        svg.line((x, TOP), (x, bottom), "rule", 1.0);
        let anchor = match x {
            x if x < LEFT + 12.0 => Anchor::Start,
            x if x > WIDTH - RIGHT - 12.0 => Anchor::End,
            _ => Anchor::Middle,
        };
        svg.text(x, bottom + 14.0, anchor, "grey", &tick_text(tick));
    }
    for (place, bar) in stacks.bars.iter().enumerate() {
        let y = TOP + place as f64 * ROW + 13.0;
        svg.text(LEFT, y, Anchor::Start, "ink", &bar.batcher);
        svg.text(WIDTH - RIGHT, y, Anchor::End, "ink", &bar.label);
        // Only next to the bar: a line through the names would make them hard to read.
        let zero = axis.pixel(0.0);
        svg.line((zero, y + 2.0), (zero, y + 6.0 + BAR), "axis", 1.4);
        let (mut right, mut left) = (0.0, 0.0);
        for (part, value) in stacks.parts.iter().zip(&bar.parts) {
            let from = if *value > 0.0 { &mut right } else { &mut left };
            let [a, b] = [axis.pixel(*from), axis.pixel(*from + value)];
            *from += value;
            let width = (b - a).abs();
            if width > 0.05 {
                let hint = format!("{}, {part}: {} {}", bar.batcher, short(*value), stacks.unit);
                svg.titled(&hint, |svg| {
                    svg.rectangle((a.min(b), y + 4.0), (width, BAR), color(part), 0.9);
                });
            }
        }
    }
    (svg, bottom + 22.0)
}
