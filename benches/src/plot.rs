//! The table as a picture: one bar an arm, its length the ratio to the bare transaction.

use std::fmt::Write as _;

use crate::report::Set;

const NAMES: f64 = 250.0;
const UNIT: f64 = 130.0;
const ROW: f64 = 22.0;
const LONGEST: f64 = 5.0;

/// An SVG with one panel a set.
pub(crate) fn svg(sets: &[Set]) -> String {
    let width = NAMES + UNIT * LONGEST + 70.0;
    let mut body = String::new();
    let mut top = 30.0;
    for set in sets {
        panel(&mut body, set, &mut top);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{top}\" \
         viewBox=\"0 0 {width} {top}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

fn panel(body: &mut String, set: &Set, top: &mut f64) {
    let _ = writeln!(
        body,
        "<text x=\"10\" y=\"{top}\" font-size=\"14\" font-weight=\"bold\">{}, {}: time a message, \
         as a multiple of a bare transaction with the same effect</text>",
        set.database, set.link
    );
    let first = *top + 12.0;
    for line in &set.lines {
        let y = *top + 12.0;
        let ratio = line.to_bare.in_a_row;
        let length = ratio.min(LONGEST) * UNIT;
        let colour = if line.arm.starts_with("ours") {
            "#1b7f79"
        } else if line.arm.starts_with("hand") {
            "#d9822b"
        } else {
            "#8a8f98"
        };
        let (least, greatest) = line.to_bare.spread;
        let _ = writeln!(
            body,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{NAMES}\" y=\"{}\" width=\"{length:.1}\" height=\"14\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{ratio:.2}</text>",
            NAMES - 8.0,
            y + 13.0,
            line.arm,
            y + 2.0,
            NAMES + length + 8.0,
            y + 13.0,
        );
        if greatest <= LONGEST {
            let _ = writeln!(
                body,
                "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{}\" y2=\"{}\" stroke=\"#222\" stroke-width=\"2\"/>",
                NAMES + least * UNIT,
                NAMES + greatest * UNIT,
                y + 9.0,
                y + 9.0,
            );
        }
        *top += ROW;
    }
    let _ = writeln!(
        body,
        "<line x1=\"{x}\" x2=\"{x}\" y1=\"{first}\" y2=\"{}\" stroke=\"#222\" stroke-dasharray=\"3 3\"/>",
        *top + 12.0,
        x = NAMES + UNIT,
    );
    *top += 50.0;
}
