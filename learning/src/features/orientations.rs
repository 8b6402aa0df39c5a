//! Histograms of stroke orientations: what makes a digit a digit, whatever its thickness and small shifts.
//!
//! After Dalal and Triggs (CVPR 2005): the gradient of each pixel votes, with its length, for the two orientation bins
//! next to its direction (all 360 degrees); each bin's map is blurred a little and summed over square cells; the
//! square root makes Euclidean distance compare histograms as Hellinger's does.
//!
//! Measured on optdigits, 100 kernel teachers with 38 rows each: this raises the student from 92–94 % (raw pixels)
//! to 96 %.

use std::f64::consts::TAU;

/// Share of a map's value that each of its four neighbours' axes receives in the blur.
const BLUR: f64 = 0.25;

/// Number of features for an image of `height` × `width`.
pub(super) fn width_of(height: usize, width: usize, bins: usize, cell: usize) -> usize {
    bins * height.div_ceil(cell) * width.div_ceil(cell)
}

/// Histograms of one row-major image whose largest plausible value is `full_scale`.
pub(super) fn histograms(
    image: &[f32],
    (height, width): (usize, usize),
    bins: usize,
    cell: usize,
    full_scale: f32,
) -> Vec<f32> {
    let maps = vote_maps(image, height, width, bins, full_scale);
    let (cells_down, cells_across) = (height.div_ceil(cell), width.div_ceil(cell));
    let mut sums = vec![0.0_f64; bins * cells_down * cells_across];
    for (bin, map) in maps.chunks(height * width).enumerate() {
        let map = blurred(map, height, width);
        for (at, value) in map.iter().enumerate() {
            let (y, x) = (at / width / cell, at % width / cell);
            sums[(bin * cells_down + y) * cells_across + x] += value;
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "features are f32 everywhere; the sums are small")]
    sums.into_iter().map(|sum| sum.sqrt() as f32).collect()
}

fn vote_maps(image: &[f32], height: usize, width: usize, bins: usize, full_scale: f32) -> Vec<f64> {
    let mut maps = vec![0.0; bins * height * width];
    let pixel = |y: Option<usize>, x: Option<usize>| match (y, x) {
        (Some(y), Some(x)) if y < height && x < width => {
            f64::from(image[y * width + x]) / f64::from(full_scale)
        }
        _ => 0.0,
    };
    for y in 0..height {
        for x in 0..width {
            let across = pixel(Some(y), Some(x + 1)) - pixel(Some(y), x.checked_sub(1));
            let down = pixel(Some(y + 1), Some(x)) - pixel(y.checked_sub(1), Some(x));
            let length = (across * across + down * down).sqrt();
            if length == 0.0 {
                continue;
            }
            let turn = libm::atan2(down, across) / TAU;
            let position = (turn - turn.floor()) * bins as f64;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in 0..=bins by construction"
            )]
            let lower = position.floor() as usize;
            let upper_share = position - position.floor();
            maps[(lower % bins * height + y) * width + x] += length * (1.0 - upper_share);
            maps[((lower + 1) % bins * height + y) * width + x] += length * upper_share;
        }
    }
    maps
}

/// Convolution with [1/4, 1/2, 1/4] down and across, zero outside.
fn blurred(map: &[f64], height: usize, width: usize) -> Vec<f64> {
    let along = |map: &[f64], at: usize, has_before: bool, has_after: bool, step: usize| {
        let before = if has_before { map[at - step] } else { 0.0 };
        let after = if has_after { map[at + step] } else { 0.0 };
        BLUR * (before + after) + (1.0 - 2.0 * BLUR) * map[at]
    };
    let down: Vec<f64> =
        (0..map.len()).map(|at| along(map, at, at >= width, at / width + 1 < height, width)).collect();
    (0..map.len()).map(|at| along(&down, at, at % width > 0, at % width + 1 < width, 1)).collect()
}
