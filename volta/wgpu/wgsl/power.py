"""Powers, and the length of a hypotenuse."""

from typing import Final

from volta.wgpu.wgsl.declared import functions

__all__ = ["FUNCTIONS"]

FUNCTIONS: Final = tuple(
    functions("""
// special cases as in C99, F.10.4.4
fn v_pow(x: f32, y: f32) -> f32 {
  let parts = v_log_in_parts(x);
  let sum = v_sum(parts.x * 0.693115234375, parts.y);
  let log = v_sum(sum.x, parts.x * 3.194618494530942e-5 + (sum.y + parts.z));
  // of more the power is 0, 1 or infinite as well, and less would be lost
  let near = clamp(y, -1e12, 1e12);
  let exponent = v_product(near, log.x);
  let low = clamp(exponent.y + near * log.y, -1.0, 1.0);
  let size = v_size(x);
  let finite = v_exp_sum(exponent.x, low);
  let grows = (size > 0x3f800000u) != v_signbit(y);
  let limit = select(0.0, v_inf(), grows);
  let sized = select(finite, limit, (size == 0u) | (size >= 0x7f800000u) | v_isinf(y));
  let with_one = select(sized, 1.0, size == 0x3f800000u);
  // of y: whether it is an integer, and an odd one; its first digit has the place 127 if it is 1
  let place = v_size(y) >> 23u;
  let digits = (bitcast<u32>(y) & 0x007fffffu) | 0x00800000u;
  let after = 150u - clamp(place, 127u, 150u);
  let whole = (place >= 127u) & ((digits & ((1u << after) - 1u)) == 0u);
  let odd = whole & (place <= 150u) & (((digits >> after) & 1u) == 1u);
  let signed = select(with_one, -with_one, odd & v_signbit(x));
  let outside = v_signbit(x) & (size < 0x7f800000u) & (size > 0u) & !whole;
  let nan = outside | v_isnan(x) | v_isnan(y);
  let one = (bitcast<u32>(x) == 0x3f800000u) | v_iszero(y);
  return select(select(signed, v_nan(), nan), 1.0, one);
}

// squares neither over- nor underflow; infinite beside an infinity even of NaN
fn v_hypot(x: f32, y: f32) -> f32 {
  let more = bitcast<f32>(max(v_size(x), v_size(y)));
  let less = bitcast<f32>(min(v_size(x), v_size(y)));
  let large = v_size(more) > 0x5e000000u;  // 2^61
  let small = v_size(more) < 0x2b800000u;  // 2^-40
  let up = select(select(1.0, v_power_of_2(88), small), v_power_of_2(-88), large);
  let down = select(select(1.0, v_power_of_2(-88), small), v_power_of_2(88), large);
  let a = v_keep(more * up);
  let b = v_keep(less * up);
  let out = v_keep(sqrt(a * a + b * b)) * down;
  let number = select(out, v_nan(), v_isnan(x) | v_isnan(y));
  return select(number, v_inf(), v_isinf(x) | v_isinf(y));
}
""")
)
