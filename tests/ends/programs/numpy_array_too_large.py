# ends: host_memory
# says: Unable to allocate
# needs: torch
import numpy
numpy.empty((1 << 20, 1 << 30), dtype=numpy.float64)
