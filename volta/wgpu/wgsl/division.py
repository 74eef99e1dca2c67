"""Remainders of floats, which are exact, and quotients that are rounded down, as NumPy has them."""

from typing import Final

from volta.wgpu.wgsl.declared import functions

__all__ = ["FUNCTIONS"]

FUNCTIONS: Final = tuple(
    functions("""
// number of the binade, from 1 on, and digits as an integer
fn v_digits(size: u32) -> vec2<u32> {
  let normal = size >= 0x00800000u;
  let digits = (size & 0x007fffffu) | select(0u, 0x00800000u, normal);
  return vec2<u32>(max(size >> 23u, 1u), digits);
}

// what is left of finite x beside multiples of finite y towards 0, without a sign, or if asked how
// much y is more than that. A loop runs once for 8 bits of the quotient, at most 32 times.
fn v_left(x: f32, y: f32, other: bool) -> f32 {
  let a = v_digits(v_size(x));
  let b = v_digits(v_size(y));
  let divisor = max(b.y, 1u);
  var left = a.y % divisor;
  var more = a.x - b.x;
  while more > 0u {
    let step = min(more, 8u);
    left = (left << step) % divisor;
    more -= step;
  }
  left = select(left, divisor - left, other & (left != 0u));
  let shift = min(countLeadingZeros(left) - 8u, b.x - 1u);
  return v_float(select(((b.x - shift - 1u) << 23u) + (left << (shift & 31u)), 0u, left == 0u));
}

fn v_remainder_like(x: f32, y: f32, other: bool) -> f32 {
  let less = v_size(x) < v_size(y);
  var out = v_abs(x);
  if less {
    // denormal numbers are to be flushed everywhere or nowhere
    let tiny = v_size(y) < 0x0d800000u;
    let a = v_keep(out * select(1.0, v_power_of_2(24), tiny));
    let b = v_abs(y) * select(1.0, v_power_of_2(24), tiny);
    let rest = v_keep(b - a) * select(1.0, v_power_of_2(-24), tiny);
    out = select(out, select(rest, 0.0, v_iszero(a)), other);
  } else if v_isfinite(x) {
    out = v_left(x, y, other);
  }
  let undefined = !v_isfinite(x) | v_isnan(y) | v_iszero(y);
  return select(out, v_nan(), undefined);
}

// of C
fn v_fmod(x: f32, y: f32) -> f32 {
  return v_copysign(v_remainder_like(x, y, false), x);
}

// of Python
fn v_remainder(x: f32, y: f32) -> f32 {
  return v_copysign(v_remainder_like(x, y, v_signbit(x) != v_signbit(y)), y);
}

fn v_floor_divide(x: f32, y: f32) -> f32 {
  // where what is left could be a denormal number, which a driver may flush
  let small = (v_size(y) < 0x0d800000u) & (v_size(x) < 0x71800000u);
  let scale = select(1.0, v_power_of_2(24), small);
  let a = v_keep(x * scale);
  let b = v_keep(y * scale);
  let left = v_fmod(a, b);
  let differ = v_signbit(x) != v_signbit(y);
  let exact = v_keep(v_quotient(v_keep(a - left), b));
  let quotient = v_keep(exact - select(0.0, 1.0, differ & !v_iszero(left)));
  let below = floor(quotient);
  let down = below + select(0.0, 1.0, v_keep(quotient - below) > 0.5);
  let sized = select(down, quotient, v_size(quotient) >= 0x4b000000u);
  let out = select(sized, v_flipped(v_flipped(0.0, x), y), v_iszero(quotient));
  let infinite = v_flipped(v_flipped(v_inf(), x), y);
  let by_zero = select(infinite, v_nan(), v_iszero(a) | v_isnan(x));
  let number = select(out, v_nan(), !v_isfinite(x) | v_isnan(y));
  return select(number, by_zero, v_iszero(b));
}
""")
)
