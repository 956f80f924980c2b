# ends: non_finite
# says: Loss is nan, stopping training
import sys
print("Loss is nan, stopping training")
sys.exit(1)
