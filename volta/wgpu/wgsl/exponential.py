"""Exponentials and hyperbolic functions.

Reduction: W. J. Cody and W. Waite, "Software manual for the elementary functions", 1980, chapter 6.
"""

from typing import Final

from volta.wgpu.wgsl.declared import functions, polynomial

__all__ = ["FUNCTIONS"]

_TAIL: Final = (  # (eˣ − 1 − x) / x² where |x| ≤ ½ log 2, at Chebyshev points
    *(0.50000000134658092, 0.166666666816232314, 0.0416664649252859054),
    *(0.00833331092548090083, 0.00139336499963092504, 0.000198909908246736538),
)
_SINH: Final = (  # (sinh x / x − 1) / x² in x² where |x| ≤ 1, at Chebyshev points
    *(0.16666666647, 0.0083333396759, 0.00019838101969, 2.8062802582e-6),
)
_TANH: Final = (  # (tanh x / x − 1) / x² in x² where |x| ≤ 9/16, at Chebyshev points
    *(-0.333333316953, 0.133330738135, -0.0539017531646, 0.0212633534472, -0.006525572169),
)

FUNCTIONS: Final = (
    polynomial("v_exp_tail", _TAIL),
    polynomial("v_sinh_tail", _SINH),
    polynomial("v_tanh_tail", _TANH),
    *functions("""
// exp(x) - 1 where |x| is at most half of log 2; kept, as a driver adds a constant, which mostly
// follows, to x first
fn v_less_one(x: f32) -> f32 {
  return v_keep(x + x * x * v_exp_tail(x));
}

// exp(r) - 1 for x + low = n log 2 + r where |r| is at most half of log 2, and n; the first part
// of log 2 has so few digits that its product with n is exact
fn v_exp_parts(x: f32, low: f32) -> vec2<f32> {
  let n = round(x * 1.4426950408889634);
  let r = v_keep(x - n * 0.693115234375) - n * 3.194618494530942e-5;
  return vec2<f32>(v_less_one(r + low), n);
}

// exp(x + low)
fn v_exp_sum(x: f32, low: f32) -> f32 {
  let parts = v_exp_parts(clamp(x, -110.0, 100.0), low);
  let out = v_scaled(1.0 + parts.x, i32(parts.y));
  return select(select(out, 0.0, x < -104.0), v_inf(), x > 88.75);
}

fn v_exp(x: f32) -> f32 {
  let parts = v_exp_parts(clamp(x, -110.0, 100.0), 0.0);
  let out = v_scaled(1.0 + parts.x, i32(parts.y));
  let bounded = select(select(out, 0.0, x < -104.0), v_inf(), x > 88.7228317);
  return select(bounded, x, v_isnan(x));
}

fn v_exp2(x: f32) -> f32 {
  let near = clamp(x, -160.0, 130.0);
  let n = round(near);
  let out = v_scaled(1.0 + v_less_one((near - n) * 0.6931471805599453), i32(n));
  let bounded = select(select(out, 0.0, x < -150.0), v_inf(), x >= 128.0);
  return select(bounded, x, v_isnan(x));
}

fn v_expm1(x: f32) -> f32 {
  let parts = v_exp_parts(clamp(x, -20.0, 100.0), 0.0);
  let n = i32(parts.y);
  // 2^n e + (2^n - 1), both of them by 2^-half, as 2^n may be infinite
  let half = n >> 1u;
  let other = v_power_of_2(n - half);
  let rest = v_keep(other - v_power_of_2(-half));
  let out = (parts.x * other + rest) * v_power_of_2(half);
  let bounded = select(out, v_inf(), x > 88.7228317);
  return select(bounded, x, v_isnan(x) | (v_size(x) < 0x33000000u));
}

// (exp(x) + sign exp(-x)) / 2 of x that is not negative
fn v_half_sum(x: f32, sign: f32) -> f32 {
  let parts = v_exp_parts(min(x, 100.0), 0.0);
  let n = i32(parts.y);
  let up = 1.0 + parts.x;
  let down = (sign / up) * v_power_of_2(-2 * min(n, 20));
  let out = v_scaled(up + down, n - 1);
  return select(out, v_inf(), x > 89.4159850);
}

fn v_sinh(x: f32) -> f32 {
  let size = v_abs(x);
  let z = x * x;
  let near = size + size * z * v_sinh_tail(z);
  let out = select(v_half_sum(size, -1.0), near, size < 1.0);
  return select(v_copysign(out, x), x, v_isnan(x) | (v_size(x) < 0x39800000u));
}

fn v_cosh(x: f32) -> f32 {
  return select(v_half_sum(v_abs(x), 1.0), x, v_isnan(x));
}

fn v_tanh(x: f32) -> f32 {
  let size = v_abs(x);
  let z = x * x;
  let near = size + size * z * v_tanh_tail(z);
  let parts = v_exp_parts(2.0 * min(size, 10.0), 0.0);
  let far = 1.0 - 2.0 / ((1.0 + parts.x) * v_power_of_2(i32(parts.y)) + 1.0);
  let out = v_copysign(select(far, near, size < 0.5625), x);
  return select(out, x, v_isnan(x) | (v_size(x) < 0x39800000u));
}
"""),
)
