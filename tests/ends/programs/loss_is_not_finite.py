# ends: non_finite
# says: a number is not finite
loss = float("nan")
if loss != loss:
    raise ValueError(f"loss is {loss} at step 120")
