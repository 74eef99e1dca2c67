"""What kernels are written in: the WebGPU Shading Language."""
