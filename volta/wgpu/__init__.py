"""Arrays on graphics processors, through WebGPU."""
