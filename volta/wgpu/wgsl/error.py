"""The error function and its complement.

Beyond ½ the complement is that function times exp(x²), as M. M. Shepherd and J. G. Laframboise,
"Chebyshev approximation of (1 + 2 x) exp(x²) erfc x in 0 ≤ x < ∞", 1981, have it; coefficients are
our own, at Chebyshev points of the range where it is not 0.
"""

from typing import Final

from volta.wgpu.wgsl.declared import functions, polynomial

__all__ = ["FUNCTIONS"]

_NEAR: Final = (  # erf x / x − 1 in x² where |x| ≤ 1
    *(0.128379165848, -0.376126266667, 0.112835947152, -0.0268542120106),
    *(0.00518908742343, -0.000801686428717, 7.87587506269e-5),
)
# ((1 + 2 x) exp(x²) erfc x − 1.27697838577) / t in t = (x − 2) / (x + 2) where ½ ≤ x ≤ 10.2
_FAR: Final = (
    *(-0.092763782297, -0.166030903207, 0.164049346019, -0.0542101388367, -0.00801115407485),
    *(0.0086541181417, 0.00116507141156, -0.00125852146853, -0.000246739125464),
)

FUNCTIONS: Final = (
    polynomial("v_erf_near", _NEAR),
    polynomial("v_erf_far", _FAR),
    *functions("""
// erf(x) of x from 0 to 1
fn v_erf_part(x: f32) -> f32 {
  return x + x * v_erf_near(x * x);
}

// erfc(x) of x from 1/2 on
fn v_erfc_part(x: f32) -> f32 {
  let near = min(x, 10.5);
  let square = v_product(near, near);
  let t = (near - 2.0) / (near + 2.0);
  let above = v_sum(1.27697838577, t * v_erf_far(t));
  let below = v_sum(2.0 * near, 1.0);
  // what the factor is rounded by is left to the exponential
  let low = above.y / above.x - below.y / below.x;
  let factor = v_keep(above.x / below.x);
  let parts = v_exp_parts(-square.x, low - square.y);
  return v_scaled(factor + parts.x * factor, i32(parts.y));
}

fn v_erf(x: f32) -> f32 {
  let size = v_abs(x);
  let near = select(v_erf_part(size), size * 1.1283791671, v_size(x) < 0x20000000u);
  let out = select(1.0 - v_erfc_part(size), near, size < 0.875);
  return select(v_copysign(out, x), x, v_isnan(x));
}

fn v_erfc(x: f32) -> f32 {
  let size = v_abs(x);
  let far = v_erfc_part(max(size, 0.5));
  let near = v_copysign(v_erf_part(size), x);
  let out = select(select(far, 2.0 - far, v_signbit(x)), 1.0 - near, size < 0.5);
  return select(out, x, v_isnan(x));
}
"""),
)
