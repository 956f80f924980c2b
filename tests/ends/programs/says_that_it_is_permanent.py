# ends: permanent
print("the data set has no images", flush=True)
raise SystemExit(78)
