# ends: non_finite
# says: FloatingPointError
raise FloatingPointError('Minimum loss scale reached (0.0001).')
