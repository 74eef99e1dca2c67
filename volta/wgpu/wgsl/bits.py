"""Floats by their bits: what kind they are, their order and sign, and exact sums and products."""

from typing import Final

from volta.wgpu.wgsl.declared import functions

__all__ = ["FUNCTIONS"]

# to an integer, of two that are as near the even one; the sign of a zero is that of x
_TO_INTEGER: Final = """
fn v_{name}(x: f32) -> f32 {{
  let out = v_copysign({name}(x), x);
  return select(out, x, v_size(x) >= 0x4b000000u);
}}
"""

# `|` and `&` of bools: `||` and `&&` are branches
FUNCTIONS: Final = (
    *(
        f
        for n in ("round", "trunc", "floor", "ceil")
        for f in functions(_TO_INTEGER.format(name=n))
    ),
    *functions("""
// float of these bits, of which no compiler knows anything
fn v_float(bits: u32) -> f32 {
  return bitcast<f32>(bits ^ v_zero);
}

// what is not reassociated with what it is used in
fn v_keep(x: f32) -> f32 {
  return v_float(bitcast<u32>(x));
}

fn v_inf() -> f32 {
  return v_float(0x7f800000u);
}

fn v_nan() -> f32 {
  return v_float(0x7fc00000u);
}

// bits of |x|, in the order of the numbers
fn v_size(x: f32) -> u32 {
  return bitcast<u32>(x) & 0x7fffffffu;
}

fn v_abs(x: f32) -> f32 {
  return bitcast<f32>(v_size(x));
}

fn v_sign_bit(x: f32) -> u32 {
  return bitcast<u32>(x) & 0x80000000u;
}

// x, with its sign changed where the other has one
fn v_flipped(x: f32, sign: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ v_sign_bit(sign));
}

fn v_isnan(x: f32) -> bool {
  return v_size(x) > 0x7f800000u;
}

fn v_isinf(x: f32) -> bool {
  return v_size(x) == 0x7f800000u;
}

fn v_isfinite(x: f32) -> bool {
  return v_size(x) < 0x7f800000u;
}

fn v_iszero(x: f32) -> bool {
  return v_size(x) == 0u;
}

fn v_signbit(x: f32) -> bool {
  return v_sign_bit(x) != 0u;
}

fn v_copysign(x: f32, sign: f32) -> f32 {
  return bitcast<f32>(v_size(x) | v_sign_bit(sign));
}

// an integer that is ordered as floats are, and -0 before +0
fn v_order(x: f32) -> i32 {
  let bits = bitcast<i32>(x);
  return bits ^ bitcast<i32>(bitcast<u32>(bits >> 31u) >> 1u);
}

fn v_eq(x: f32, y: f32) -> bool {
  let same = bitcast<u32>(x) == bitcast<u32>(y);
  return (same & !v_isnan(x)) | (v_iszero(x) & v_iszero(y));
}

fn v_ne(x: f32, y: f32) -> bool {
  return !v_eq(x, y);
}

// false of NaN, also where a driver turns a condition round
fn v_lt(x: f32, y: f32) -> bool {
  let number = !v_isnan(x) & !v_isnan(y);
  return number & (v_order(x) < v_order(y)) & !(v_iszero(x) & v_iszero(y));
}

fn v_le(x: f32, y: f32) -> bool {
  return v_lt(x, y) | v_eq(x, y);
}

fn v_gt(x: f32, y: f32) -> bool {
  return v_lt(y, x);
}

fn v_ge(x: f32, y: f32) -> bool {
  return v_le(y, x);
}

fn v_maximum(x: f32, y: f32) -> f32 {
  let larger = select(y, x, v_order(x) > v_order(y));
  return select(larger, v_nan(), v_isnan(x) | v_isnan(y));
}

fn v_minimum(x: f32, y: f32) -> f32 {
  let smaller = select(y, x, v_order(x) < v_order(y));
  return select(smaller, v_nan(), v_isnan(x) | v_isnan(y));
}

// -1, 0 or 1; 0 of both zeros
fn v_sign(x: f32) -> f32 {
  let one = bitcast<f32>(0x3f800000u | v_sign_bit(x));
  return select(select(one, 0.0, v_iszero(x)), v_nan(), v_isnan(x));
}

fn v_nextafter(x: f32, y: f32) -> f32 {
  let away = v_order(y) > v_order(x);
  let up = away != v_signbit(x);
  let next = bitcast<u32>(x) + select(0xffffffffu, 1u, up);
  let least = v_sign_bit(y) | 1u;
  let out = v_float(select(next, least, v_iszero(x)));
  return select(select(out, y, v_eq(x, y)), v_nan(), v_isnan(x) | v_isnan(y));
}

fn v_sqrt(x: f32) -> f32 {
  let known = select(v_nan(), x, v_iszero(x) | v_isnan(x) | !v_signbit(x));
  return select(known, sqrt(x), !v_signbit(x) & v_isfinite(x));
}

// drivers may multiply by the inverse of a divisor, which is 0 of one beyond 2^126
fn v_quotient(x: f32, y: f32) -> f32 {
  let scale = select(1.0, 0.25, v_size(y) > 0x7e000000u);
  return (x * scale) / (y * scale);
}

// 2 to the power of n from -126 to 127
fn v_power_of_2(n: i32) -> f32 {
  return bitcast<f32>(bitcast<u32>(n + 127) << 23u);
}

// x times 2 to the power of n from -252 to 254, rounded once where x is about 1
fn v_scaled(x: f32, n: i32) -> f32 {
  let half = n >> 1u;
  return v_keep(x * v_power_of_2(half)) * v_power_of_2(n - half);
}

// x + y, rounded, and what it is rounded by, where x is 0 or no smaller than y
fn v_sum(x: f32, y: f32) -> vec2<f32> {
  let out = v_keep(x + y);
  return vec2<f32>(out, y - v_keep(out - x));
}

// the first 12 digits of x
fn v_upper(x: f32) -> f32 {
  return v_float(bitcast<u32>(x) & 0xfffff000u);
}

// x * y, rounded, and what it is rounded by: T. J. Dekker, "A floating-point technique for
// extending the available precision", 1971, but split by bits
fn v_product(x: f32, y: f32) -> vec2<f32> {
  let out = v_keep(x * y);
  let x1 = v_upper(x);
  let y1 = v_upper(y);
  let x2 = x - x1;
  let y2 = y - y1;
  let rest = v_keep(x1 * y1 - out) + v_keep(x1 * y2 + x2 * y1);
  return vec2<f32>(out, rest + x2 * y2);
}
"""),
)
