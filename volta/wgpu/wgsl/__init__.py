"""What kernels are written in: the WebGPU Shading Language."""

__all__: list[str] = []
