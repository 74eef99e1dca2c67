"""Integers: quotients that are rounded down, shifts by any number, conversions of floats."""

from typing import Final

from volta.wgpu.wgsl.declared import functions

__all__ = ["FUNCTIONS"]

FUNCTIONS: Final = tuple(
    functions("""
// 0 where the divisor is 0; the smallest integer by -1 is itself, as WGSL has it
fn v_floor_divide_i32(x: i32, y: i32) -> i32 {
  let divisor = select(y, 1, y == 0);
  let quotient = x / divisor;
  let left = x - quotient * divisor;
  let down = select(0, 1, (left != 0) & ((left < 0) != (y < 0)));
  return select(quotient - down, 0, y == 0);
}

// with the sign of the divisor; 0 where that is 0
fn v_remainder_i32(x: i32, y: i32) -> i32 {
  let divisor = select(y, 1, y == 0);
  let left = x - x / divisor * divisor;
  return left + select(0, divisor, (left != 0) & ((left < 0) != (y < 0)));
}

fn v_floor_divide_u32(x: u32, y: u32) -> u32 {
  return select(x / max(y, 1u), 0u, y == 0u);
}

fn v_remainder_u32(x: u32, y: u32) -> u32 {
  return x - x / max(y, 1u) * max(y, 1u);
}

// by squares, modulo 2 to the power of 32; of a negative power what is rounded towards 0
fn v_pow_u32(x: u32, y: u32) -> u32 {
  var out = 1u;
  var base = x;
  for (var left = y; left != 0u; left >>= 1u) {
    out *= select(1u, base, (left & 1u) == 1u);
    base *= base;
  }
  return out;
}

fn v_pow_i32(x: i32, y: i32) -> i32 {
  let out = bitcast<i32>(v_pow_u32(bitcast<u32>(x), bitcast<u32>(v_abs_i32(y))));
  let inverse = select(0, select(out, 0, x != 1 && x != -1), true);
  return select(out, inverse, y < 0);
}

fn v_abs_i32(x: i32) -> i32 {
  return select(x, -x, x < 0);
}

fn v_shift_left_u32(x: u32, count: u32) -> u32 {
  return select(0u, x << (count & 31u), count < 32u);
}

fn v_shift_right_u32(x: u32, count: u32) -> u32 {
  return select(0u, x >> (count & 31u), count < 32u);
}

// by a negative number of bits as by many
fn v_shift_left_i32(x: i32, count: i32) -> i32 {
  return bitcast<i32>(v_shift_left_u32(bitcast<u32>(x), bitcast<u32>(count)));
}

fn v_shift_right_i32(x: i32, count: i32) -> i32 {
  return x >> min(bitcast<u32>(count), 31u);
}

// towards 0; the nearest integer there is where that is beyond, 0 of NaN
fn v_to_i32(x: f32) -> i32 {
  let limit = select(2147483647, -2147483647 - 1, v_signbit(x));
  let out = select(limit, i32(x), v_size(x) < 0x4f000000u);
  return select(out, 0, v_isnan(x));
}

// towards 0; negative ones wrap, others beyond are the largest, 0 of NaN
fn v_to_u32(x: f32) -> u32 {
  let large = select(0xffffffffu, u32(x), v_size(x) < 0x4f800000u);
  let out = select(large, bitcast<u32>(v_to_i32(x)), v_signbit(x));
  return select(out, 0u, v_isnan(x));
}
""")
)
