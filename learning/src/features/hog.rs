//! Histograms of oriented gradients (Dalal and Triggs, CVPR 2005), with unsigned orientations and blocks of 2 × 2 cells that overlap.
//!
//! A pixel's gradient is the difference of its neighbours, 0 along the frame where one is missing. Its length is shared between the two bins
//! of its cell whose centres are next to its orientation (0 to 180 degrees); each block of cells is divided by its Euclidean length. Rows
//! and columns that do not fill a cell are left out. Between cells nothing is shared, as in most implementations.

/// Cells along each side of a block.
pub(super) const BLOCK: usize = 2;
/// Added in squares to a block's length, so that an empty block stays empty.
const LEAST_LENGTH: f64 = 1e-5;

/// Number of features of an image of `height` × `width`; 0 when it is too small for one block.
pub(super) fn width_of(height: usize, width: usize, bins: usize, cell: usize) -> usize {
    let blocks = |side: usize| (side / cell + 1).saturating_sub(BLOCK);
    blocks(height) * blocks(width) * BLOCK * BLOCK * bins
}

/// Block by block in row-major order: cell by cell in row-major order, bin by bin. `image` is row-major.
pub(super) fn hog(image: &[f64], size: (usize, usize), bins: usize, cell: usize) -> Vec<f32> {
    let (cells_down, cells_across) = (size.0 / cell, size.1 / cell);
    let histograms = histograms(image, size, bins, cell);
    let mut features = Vec::with_capacity(width_of(size.0, size.1, bins, cell));
    for y in 0..(cells_down + 1).saturating_sub(BLOCK) {
        for x in 0..(cells_across + 1).saturating_sub(BLOCK) {
            let rows = (y..y + BLOCK).map(|row| (row * cells_across + x) * bins);
            let block = || rows.clone().flat_map(|start| &histograms[start..start + BLOCK * bins]);
            let squares: f64 = block().map(|value| value * value).sum();
            let length = (squares + LEAST_LENGTH * LEAST_LENGTH).sqrt();
            #[expect(clippy::cast_possible_truncation, reason = "features are f32; these lie in 0..=1")]
            features.extend(block().map(|value| (value / length) as f32));
        }
    }
    features
}

/// Cell by cell, bin by bin: the mean length of gradients.
fn histograms(image: &[f64], (height, width): (usize, usize), bins: usize, cell: usize) -> Vec<f64> {
    let (cells_down, cells_across) = (height / cell, width / cell);
    let share = 1.0 / (cell * cell) as f64;
    let mut histograms = vec![0.0; cells_down * cells_across * bins];
    for y in 0..cells_down * cell {
        for x in 0..cells_across * cell {
            let at = y * width + x;
            let down = if y == 0 || y + 1 == height { 0.0 } else { image[at + width] - image[at - width] };
            let across = if x == 0 || x + 1 == width { 0.0 } else { image[at + 1] - image[at - 1] };
            if down == 0.0 && across == 0.0 {
                continue;
            }
            let turn = libm::atan2(down, across) / std::f64::consts::PI;
            // Between −½ and bins − ½, in bins from the centre of the first.
            let position = (turn - turn.floor()) * bins as f64 - 0.5;
            let right = position - position.floor();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in 0..=bins by construction"
            )]
            let upper = (position.floor() + 1.0) as usize;
            let length = (down * down + across * across).sqrt() * share;
            let cell = (y / cell * cells_across + x / cell) * bins;
            histograms[cell + (upper + bins - 1) % bins] += length * (1.0 - right);
            histograms[cell + upper % bins] += length * right;
        }
    }
    histograms
}

#[cfg(test)]
mod tests {
    use super::super::reference::{Reference, assert_near};
    use super::*;

    #[test]
    fn histograms_are_those_of_their_definition_in_numpy_also_where_pixels_fill_no_cell() {
        let noisy = Reference::of("noisy");
        let size = noisy.size("height", "width");
        let found = hog(&noisy.values("image"), size, 9, 4);
        assert_eq!(found.len(), width_of(size.0, size.1, 9, 4));
        assert_near(found.into_iter().map(f64::from), &noisy.values("hog"), 1e-6);
    }

    #[test]
    fn a_ramp_has_its_length_in_the_two_bins_beside_its_direction() {
        // 4 × 4 pixels, cells of 2: along the frame there is no difference across it. By hand: brightness that grows by 1 a column has the
        // gradient (2, 0) in the two inner columns, so 2 · 2 / 4 = 1 in each cell; 0 degrees lies halfway between the centres of the first
        // and the last of four bins (22.5 and 157.5), so both get 1/2; four equal cells have the length sqrt(8 · 1/4), so 1/2 becomes 1/√8.
        let across: Vec<f64> = (0..16).map(|at| f64::from(at % 4)).collect();
        let down: Vec<f64> = (0..16).map(|at| -f64::from(at / 4)).collect();
        for (image, bins) in [(across, [0, 3]), (down, [1, 2])] {
            let found = hog(&image, (4, 4), 4, 2);
            let share = |at: usize| if bins.contains(&(at % 4)) { 0.125_f64.sqrt() } else { 0.0 };
            assert_near(found.into_iter().map(f64::from), &(0..16).map(share).collect::<Vec<_>>(), 1e-6);
        }
    }

    #[test]
    fn light_and_dark_exchanged_and_other_contrast_change_nothing_and_a_flat_image_is_empty() {
        let noisy = Reference::of("noisy");
        let (image, size) = (noisy.values("image"), noisy.size("height", "width"));
        let as_is: Vec<f64> = hog(&image, size, 9, 4).into_iter().map(f64::from).collect();
        let negative: Vec<f64> = image.iter().map(|value| 5.0 - 3.0 * value).collect();
        assert_near(hog(&negative, size, 9, 4).into_iter().map(f64::from), &as_is, 1e-6);
        assert!(hog(&[0.3; 234], size, 9, 4).iter().all(|value| *value == 0.0));
    }

    #[test]
    fn an_image_of_fewer_than_two_cells_a_side_has_no_features() {
        assert_eq!(width_of(28, 28, 9, 4), 1_296);
        assert_eq!(width_of(7, 28, 9, 4), 0);
        assert!(hog(&[1.0; 7 * 28], (7, 28), 9, 4).is_empty());
    }
}
