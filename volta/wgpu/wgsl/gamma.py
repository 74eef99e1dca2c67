"""Logarithm of the gamma function, and its derivative.

Numbers from 8 on, or from 4 on, by Stirling's series: M. Abramowitz and I. A. Stegun, "Handbook of
mathematical functions", 1964, 6.1.41 and 6.3.18; others by recurrence, 6.1.15 and 6.3.5; negative
ones by reflection, 6.1.17 and 6.3.7. The coefficients are our own, at Chebyshev points.
"""

from typing import Final

from volta.wgpu.wgsl.declared import functions, polynomial

__all__ = ["FUNCTIONS"]

_NEAR_2: Final = (  # log Γ(2 + x) / x where −¾ ≤ x ≤ ½
    *(0.422784335328, 0.322467030221, -0.0673523371188, 0.0205809777956, -0.00738458968348),
    *(0.00288827049424, -0.00120231718082, 0.000519483752883, -0.000181884201951),
    *(9.14432008992e-5, -0.000112275352327),
)
# x times what log Γ(x) is more than (x − ½) log x − x + ½ log 2 π, in 1 / x² where x ≥ 8
_STIRLING: Final = (0.0833333093914, -0.00276550179475)
# x² times what log x − 1 / (2 x) is more than the derivative of log Γ(x), in 1 / x² where x ≥ 4
_DERIVATIVE: Final = (0.0833333061063, -0.00832544607947, 0.0036203570197)

FUNCTIONS: Final = (
    polynomial("v_gamma_near_2", _NEAR_2),
    polynomial("v_gamma_series", _STIRLING),
    polynomial("v_digamma_series", _DERIVATIVE),
    *functions("""
// sine and cosine of pi times what is left of |x| beside the nearest integer
fn v_half_turns(x: f32) -> vec2<f32> {
  let size = v_abs(x);
  let left = size - round(size);
  let near = v_abs(left);
  let far = near > 0.25;
  let turns = select(near, 0.5 - near, far);
  let angle = v_product(turns, 3.14159274);
  let low = angle.y - turns * 8.74227766e-8;
  let s = v_sin_part(angle.x, low);
  let c = v_cos_part(angle.x, low);
  return vec2<f32>(v_copysign(select(s, c, far), left), select(c, s, far));
}

// of positive x
fn v_lgamma_part(x: f32) -> f32 {
  let small = x < 0.5;
  let less = x < 1.28;
  var near = select(x, 2.0, less);
  var factor = 1.0;
  for (var i = 0; i < 6; i++) {
    let down = near > 2.5;
    near -= select(0.0, 1.0, down);
    factor *= select(1.0, near, down);
  }
  let t = select(select(near - 2.0, x - 1.0, less), x, small);
  let logarithm = v_log(select(select(factor, x, less), x * (x + 1.0), small));
  let below = t * v_gamma_near_2(t) + select(logarithm, -logarithm, less);
  let inverse = 1.0 / x;
  let rest = 0.418938533205 + inverse * v_gamma_series(inverse * inverse);
  let above = (x - 0.5) * (v_log(x) - 1.0) + rest;
  return select(above, below, x < 8.0);
}

// logarithm of the absolute value; infinite at 0 and negative integers
fn v_lgamma(x: f32) -> f32 {
  let size = v_abs(x);
  let part = v_lgamma_part(size);
  let reflected = v_log(3.14159265359 / (size * v_abs(v_half_turns(x).x))) - part;
  let sided = select(part, reflected, v_signbit(x));
  let out = select(sided, -v_log(size), v_size(x) < 0x33000000u);
  let pole = v_signbit(x) & ((v_size(x) >= 0x4b000000u) | v_eq(size, floor(size)));
  let infinite = pole | (size > 4.0850031e36) | v_iszero(x);
  return select(select(out, v_inf(), infinite), x, v_isnan(x));
}

// derivative of log gamma; NaN at negative integers
fn v_digamma(x: f32) -> f32 {
  let size = v_abs(x);
  var far = size;
  var sum = 0.0;
  for (var i = 0; i < 4; i++) {
    let up = far < 4.0;
    sum += select(0.0, 1.0 / far, up & (i > 0));
    far += select(0.0, 1.0, up);
  }
  let inverse = 1.0 / far;
  let square = inverse * inverse;
  let series = v_log(far) - (0.5 * inverse + square * v_digamma_series(square));
  let turns = v_half_turns(x);
  // 1 / |x| is in the recurrence where |x| is small, and in the reflection with the other sign
  let positive = series - sum - select(0.0, 1.0 / size, size < 4.0);
  let cotangent = 3.14159265359 * turns.y / turns.x;
  let negative = series - sum + (select(1.0 / size, 0.0, size < 4.0) + cotangent);
  let out = select(positive, negative, v_signbit(x));
  let large = select(out, v_log(size), v_size(x) >= 0x4b000000u);
  let tiny = select(large, -1.0 / x, v_size(x) < 0x30800000u);
  let known = select(tiny, v_flipped(-v_inf(), x), v_iszero(x));
  let pole = v_signbit(x) & !v_iszero(x) & ((v_size(x) >= 0x4b000000u) | v_eq(size, floor(size)));
  return select(select(known, v_nan(), pole), x, v_isnan(x));
}
"""),
)
