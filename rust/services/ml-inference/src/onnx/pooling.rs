//! From the vectors of tokens to the vector of a text.

/// The mean of a text's token vectors, of unit length.
///
/// `hidden` is row by row, `dimensions` wide; only rows whose `mask` is true count. All zeros where none does.
pub fn mean(hidden: &[f32], mask: &[bool], dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; dimensions];
    for (row, _) in hidden.chunks_exact(dimensions.max(1)).zip(mask).filter(|(_, counts)| **counts) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    // The length is made one next, so that dividing by the number of rows first would change nothing.
    normalise(&mut sum);
    sum
}

/// Makes a vector's length one; a vector of zeros stays.
#[allow(clippy::cast_possible_truncation, reason = "vectors have single precision")]
pub fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt();
    if length > 0.0 {
        for value in vector {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}

/// The cosine of two vectors of unit length, as a score: 0 (opposite) to 1 (same).
pub fn cosine_score(a: &[f32], b: &[f32]) -> f64 {
    let dot: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    f64::midpoint(dot.clamp(-1.0, 1.0), 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_counts_only_what_the_mask_has() {
        let hidden = [3.0, 0.0, 3.0, 8.0, 100.0, 100.0];
        assert_eq!(mean(&hidden, &[true, true, false], 2), [0.6, 0.8]);
        assert_eq!(mean(&hidden, &[false, false, false], 2), [0.0, 0.0]);
    }

    #[test]
    fn cosine_score_is_a_half_for_what_is_unrelated() {
        assert!((cosine_score(&[1.0, 0.0], &[1.0, 0.0]) - 1.0).abs() < 1e-12);
        assert!((cosine_score(&[1.0, 0.0], &[0.0, 1.0]) - 0.5).abs() < 1e-12);
        assert!(cosine_score(&[1.0, 0.0], &[-1.0, 0.0]).abs() < 1e-12);
    }
}
