//! Gauss-Legendre quadrature with three nodes a cell, and the integrals up to each node.

/// sqrt(15)
const ROOT: f64 = 3.872_983_346_207_417;

/// The nodes of the unit cell.
pub(crate) const NODES: [f64; 3] = [0.5 - ROOT / 10.0, 0.5, 0.5 + ROOT / 10.0];

/// Their weights: exact for polynomials of degree 5.
pub(crate) const WEIGHTS: [f64; 3] = [5.0 / 18.0, 4.0 / 9.0, 5.0 / 18.0];

/// Weights of the integral from the cell's left end to each node, of the parabola through the three: the Butcher matrix of
/// the Gauss-Legendre method of order 6 (Hairer, Nørsett, Wanner, "Solving Ordinary Differential Equations I", table II.7.4).
pub(crate) const UP_TO: [[f64; 3]; 3] = [
    [5.0 / 36.0, 2.0 / 9.0 - ROOT / 15.0, 5.0 / 36.0 - ROOT / 30.0],
    [5.0 / 36.0 + ROOT / 24.0, 2.0 / 9.0, 5.0 / 36.0 - ROOT / 24.0],
    [5.0 / 36.0 + ROOT / 30.0, 2.0 / 9.0 + ROOT / 15.0, 5.0 / 36.0],
];

/// A weighted sum of the values at the three nodes.
pub(crate) fn weighted(weights: &[f64; 3], values: &[f64; 3]) -> f64 {
    weights.iter().zip(values).map(|(weight, value)| weight * value).sum()
}

/// A cell of a partition: where it begins, and how wide it is.
pub(crate) fn cells(partition: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    partition.windows(2).map(|ends| (ends[0], ends[1] - ends[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quadrature_is_exact_for_the_polynomials_that_it_promises() {
        for degree in 0..=5 {
            let values = NODES.map(|node| node.powi(degree));
            let exact = 1.0 / f64::from(degree + 1);
            assert!((weighted(&WEIGHTS, &values) - exact).abs() < 1e-15, "degree {degree}");
            if degree <= 2 {
                for (weights, node) in UP_TO.iter().zip(NODES) {
                    let exact = node.powi(degree + 1) / f64::from(degree + 1);
                    assert!((weighted(weights, &values) - exact).abs() < 1e-15, "degree {degree} up to {node}");
                }
            }
        }
    }
}
