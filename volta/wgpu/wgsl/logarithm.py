"""Logarithms and inverse hyperbolic functions.

P. T. P. Tang, "Table-driven implementation of the logarithm function", 1990, section 2, without the
table.
"""

from typing import Final

from volta.wgpu.wgsl.declared import functions, polynomial

__all__ = ["FUNCTIONS"]

_SERIES: Final = (  # (log((1 + s) / (1 − s)) / s − 2) / s² in s², |s| ≤ 3 − 2 √2, Chebyshev points
    *(0.666666665540420124, 0.400001222118106494, 0.285507786331919654),
    0.233316144718434992,
)
_REST: Final = (  # (log((1 + s) / (1 − s)) / s − 2 − ⅔ s²) / s⁴ in s², |s| ≤ 5 − 2 √6, the same
    *(0.40000000614, 0.28570347864, 0.22503556482),
)

FUNCTIONS: Final = (
    polynomial("v_log_series", _SERIES),
    polynomial("v_log_rest", _REST),
    *functions("""
// k and f of |x| = 2^k (1 + f), where 1 + f is from root to 2 root; bits of the root are given.
// Digits of denormals are moved up as integers: a driver may flush them in a product.
fn v_log_split(x: f32, root: u32) -> vec2<f32> {
  let size = v_size(x);
  let more = select(0u, countLeadingZeros(size) - 8u, size < 0x00800000u);
  let moved = (size << (more & 31u)) + (0x3f800000u - root);
  let k = i32(moved >> 23u) - 127 - i32(more);
  let f = v_float((moved & 0x007fffffu) + root) - 1.0;
  return vec2<f32>(f32(k), f);
}

// of log(1 + f + more) what is added, subtracted and added
fn v_log_parts(f: f32, more: f32) -> vec3<f32> {
  let s = f / (2.0 + f);
  let z = s * s;
  let half = 0.5 * f * f;
  return vec3<f32>(f, half, s * (half + z * v_log_series(z)) + more);
}

// a logarithm, and k times log 2 more
fn v_log_and(k: f32, parts: vec3<f32>) -> f32 {
  let rest = k * 3.194618494530942e-5 + parts.z;
  return k * 0.693115234375 + v_keep(parts.x - v_keep(parts.y - rest));
}

// the logarithm of positive finite x; those of others by rule
fn v_log_domain(x: f32, out: f32) -> f32 {
  let size = v_size(x);
  let special = select(select(v_nan(), x, v_isnan(x) | !v_signbit(x)), -v_inf(), size == 0u);
  let plain = !v_signbit(x) & (size < 0x7f800000u) & (size > 0u);
  return select(special, out, plain);
}

fn v_log(x: f32) -> f32 {
  let split = v_log_split(x, 0x3f3504f3u);
  return v_log_domain(x, v_log_and(split.x, v_log_parts(split.y, 0.0)));
}

// logarithm to a base in which those of e and 2 are given in two parts, the first of 12 digits
fn v_log_to(x: f32, of_e: vec2<f32>, of_2: vec2<f32>) -> f32 {
  let split = v_log_split(x, 0x3f3504f3u);
  let parts = v_log_parts(split.y, 0.0);
  let high = v_upper(v_keep(parts.x - parts.y));
  let low = v_keep(v_keep(parts.x - high) - parts.y) + parts.z;
  let rest = low * (of_e.x + of_e.y) + high * of_e.y + split.x * of_2.y;
  let sum = v_sum(split.x * of_2.x, high * of_e.x);
  return v_log_domain(x, sum.x + (sum.y + rest));
}

fn v_log2(x: f32) -> f32 {
  return v_log_to(x, vec2<f32>(1.44287109375, -0.000176052861037), vec2<f32>(1.0, 0.0));
}

fn v_log10(x: f32) -> f32 {
  let of_e = vec2<f32>(0.434326171875, -3.16899717482e-5);
  return v_log_to(x, of_e, vec2<f32>(0.301025390625, 4.6050389812e-6));
}

// log(1 + x + low), and as many times log 2 more
fn v_log_one_plus(x: f32, low: f32, doublings: f32) -> f32 {
  let u = v_keep(1.0 + x);
  let split = v_log_split(u, 0x3f3504f3u);
  let lost = select(x - v_keep(u - 1.0), 1.0 - v_keep(u - x), x > 1.0);
  let near = split.x == 0.0;
  let more = select(lost + low, low, near) / u;
  let f = select(split.y, x, near);
  return v_log_and(split.x + doublings, v_log_parts(f, more));
}

// kept, as what is added to it could be added to what it is a sum of
fn v_log1p(argument: f32) -> f32 {
  let x = v_keep(argument);
  let out = v_log_domain(1.0 + x, v_log_one_plus(x, 0.0, 0.0));
  let special = v_isnan(x) | (v_size(x) == 0x7f800000u) & !v_signbit(x);
  return select(out, x, special | (v_size(x) < 0x33000000u));
}

fn v_logaddexp(x: f32, y: f32) -> f32 {
  let first = v_order(x) > v_order(y);
  let larger = select(y, x, first);
  let smaller = select(x, y, first);
  let step = smaller - larger;
  let parts = v_exp_parts(max(step, -110.0), 0.0);
  let less = v_sum(1.0, parts.x);
  let n = i32(parts.y);
  let sum = larger + v_log_one_plus(v_scaled(less.x, n), v_scaled(less.y, n), 0.0);
  // of infinities and of what is lost beside the other
  let alone = !v_isfinite(x) | !v_isfinite(y) | (step < -104.0);
  let out = select(sum, larger, alone);
  return select(out, v_nan(), v_isnan(x) | v_isnan(y));
}

// log(1 + more + less), but of large x log(2 x)
fn v_log_large(x: f32, more: f32, less: f32) -> f32 {
  let large = x > 16384.0;
  let m = select(more, x - 1.0, large);
  return v_log_one_plus(m, select(less, 0.0, large), select(0.0, 1.0, large));
}

// logarithm of 1 plus x + x^2 / (1 + sqrt(1 + x^2))
fn v_asinh(x: f32) -> f32 {
  let size = v_abs(x);
  let square = size * size;
  let sum = v_sum(size, square / (1.0 + sqrt(1.0 + square)));
  let out = v_copysign(v_log_large(size, sum.x, sum.y), x);
  return select(out, x, !v_isfinite(x) | (v_size(x) < 0x39800000u));
}

// logarithm of 1 plus t + sqrt(t (2 + t)), t = x - 1
fn v_acosh(argument: f32) -> f32 {
  let x = v_keep(argument);
  let t = x - 1.0;
  let sum = v_sum(sqrt(t * t + 2.0 * t), t);
  let out = v_log_large(x, sum.x, sum.y);
  let finite = select(out, v_nan(), x < 1.0);
  return select(finite, x, v_isnan(x) | (bitcast<u32>(x) == 0x7f800000u));
}

// half the logarithm of 1 plus 2 x / (1 - x), which is 2 x + 2 x^2 / (1 - x)
fn v_atanh(x: f32) -> f32 {
  let size = v_abs(x);
  let twice = 2.0 * size;
  let below = v_keep(1.0 - size);
  let sum = v_sum(twice, twice * size / below);
  let far = size > 0.5;
  let more = select(sum.x, twice / below, far);
  let out = 0.5 * v_log_one_plus(more, select(sum.y, 0.0, far), 0.0);
  let known = select(v_nan(), v_inf(), v_size(x) == 0x3f800000u);
  let signed = v_copysign(select(known, out, v_size(x) < 0x3f800000u), x);
  return select(signed, x, v_isnan(x) | (v_size(x) < 0x39800000u));
}

// of |x| = 2^k m, k and log m in two parts, where m is from sqrt(3/4) to sqrt(3): of
// m = c (1 + s) / (1 - s), where c is 1 or 3/2, the first term is in two parts
fn v_log_in_parts(x: f32) -> vec3<f32> {
  let split = v_log_split(x, 0x3f5db3d7u);
  let upper = split.y > 0.2247448714;
  let centre = select(0.0, 0.405465096235, upper);
  let distance = v_keep(split.y - select(0.0, 0.5, upper));
  let sum = v_sum(select(2.0, 3.0, upper), distance);
  let s = v_keep(distance / sum.x);
  let back = v_product(s, sum.x);
  let s_low = (v_keep(distance - back.x) - back.y - s * sum.y) / sum.x;
  let z = s * s;
  let term = 2.0 * s_low + s * z * (0.6666666667 + z * v_log_rest(z));
  let high = v_sum(centre, 2.0 * s);
  let rest = high.y + (term + select(0.0, 1.18728893383e-8, upper));
  return vec3<f32>(split.x, high.x, rest);
}
"""),
)
