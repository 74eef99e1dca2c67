"""Arrays on graphics processors, through WebGPU."""

__all__: list[str] = []
