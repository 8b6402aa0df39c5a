//! Upright and centred: the slant of handwriting taken out of an image by its second moments.
//!
//! With ink as mass, the image is sheared along its rows until row and column positions of the ink are uncorrelated, and its centre of mass
//! moves to the centre of the frame; the slant is that of the regression of columns on rows. Values between pixels are interpolated
//! linearly, and everything outside the frame is 0. This is the usual preprocessing of MNIST (LeCun et al. 1998 list it as "deskewing").

/// Ink that varies less than this in height, in square pixels, has no slant: it lies in one row.
const LEAST_HEIGHT: f64 = 1e-3;

/// The row-major image of `height` × `width`, deskewed. Values below 0 have no mass; an image without mass comes back as it is.
pub(super) fn deskew(image: &[f64], (height, width): (usize, usize)) -> Vec<f64> {
    let Some(Slant { y, x, shear }) = Slant::of(image, width) else { return image.to_vec() };
    let (middle_y, middle_x) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
    let mut upright = Vec::with_capacity(image.len());
    for row in 0..height {
        let from_middle = row as f64 - middle_y;
        for column in 0..width {
            let across = x + column as f64 - middle_x + shear * from_middle;
            upright.push(between(image, (height, width), y + from_middle, across));
        }
    }
    upright
}

/// Centre of mass, and columns to the right per row downwards.
struct Slant {
    y: f64,
    x: f64,
    shear: f64,
}

impl Slant {
    fn of(image: &[f64], width: usize) -> Option<Self> {
        let mass = || {
            image
                .iter()
                .enumerate()
                .map(|(at, value)| ((at / width) as f64, (at % width) as f64, value.max(0.0)))
        };
        let total: f64 = mass().map(|(_, _, ink)| ink).sum();
        if total <= 0.0 {
            return None;
        }
        let mean = |of: fn(f64, f64) -> f64| mass().map(|(y, x, ink)| ink * of(y, x)).sum::<f64>() / total;
        let (y, x) = (mean(|y, _| y), mean(|_, x| x));
        let (mut height, mut slant) = (0.0, 0.0);
        for (row, column, ink) in mass() {
            height += ink * (row - y) * (row - y);
            slant += ink * (row - y) * (column - x);
        }
        let shear = if height / total > LEAST_HEIGHT { slant / height } else { 0.0 };
        Some(Self { y, x, shear })
    }
}

/// The image at a place between its pixels.
fn between(image: &[f64], (height, width): (usize, usize), y: f64, x: f64) -> f64 {
    let inside = |at: f64, side: usize| at > -1.0 && at < side as f64;
    if !(inside(y, height) && inside(x, width)) {
        return 0.0;
    }
    let (above, left) = (y.floor(), x.floor());
    let (down, right) = (y - above, x - left);
    // One step in, so that the frame's edge has index 0 and nothing is negative.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be inside")]
    let (row, column) = ((above + 1.0) as usize, (left + 1.0) as usize);
    let pixel = |row: usize, column: usize| match (row.checked_sub(1), column.checked_sub(1)) {
        (Some(row), Some(column)) if row < height && column < width => image[row * width + column],
        _ => 0.0,
    };
    (1.0 - down) * ((1.0 - right) * pixel(row, column) + right * pixel(row, column + 1))
        + down * ((1.0 - right) * pixel(row + 1, column) + right * pixel(row + 1, column + 1))
}

#[cfg(test)]
mod tests {
    use super::super::reference::{Reference, assert_near};
    use super::*;

    #[test]
    fn a_slanted_stroke_becomes_what_scipy_makes_of_it() {
        let stroke = Reference::of("stroke");
        let size = stroke.size("height", "width");
        assert_near(deskew(&stroke.values("image"), size), &stroke.values("deskewed"), 1e-8);
    }

    #[test]
    fn a_diagonal_stands_upright_in_the_middle() {
        // Ink at (0,0), (1,1), (2,2): one column to the right per row, centred already.
        let mut diagonal = vec![0.0; 9];
        for at in [0, 4, 8] {
            diagonal[at] = 1.0;
        }
        let upright = [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0];
        assert_near(deskew(&diagonal, (3, 3)), &upright, 1e-12);
        // In a corner: no slant, moved to the middle of the frame.
        let mut corner = vec![0.0; 9];
        corner[0] = 5.0;
        assert_near(deskew(&corner, (3, 3)), &[0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0], 1e-12);
    }

    #[test]
    fn what_has_no_ink_or_no_height_comes_back_without_a_slant() {
        assert_eq!(deskew(&[0.0; 6], (2, 3)), [0.0; 6]);
        assert_eq!(deskew(&[-1.0; 6], (2, 3)), [-1.0; 6]);
        // A lying stroke in the middle row stays where it is, whatever rounding makes of its height.
        let lying = [0.0, 0.0, 0.0, 0.1, 0.7, 0.1, 0.0, 0.0, 0.0];
        assert_near(deskew(&lying, (3, 3)), &lying, 1e-12);
    }
}
