"""Floats rounded to those of 16 bits, which kernels compute as 32."""

from typing import Final

from volta.wgpu.wgsl.declared import functions

__all__ = ["FUNCTIONS"]

FUNCTIONS: Final = tuple(
    functions("""
fn v_to_f16(x: f32) -> f32 {
  return f32(f16(x));
}

// to the even one of two that are as near
fn v_to_bf16(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let nearest = (bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u;
  return bitcast<f32>(select(nearest, (bits | 0x400000u) & 0xffff0000u, v_isnan(x)));
}
""")
)
