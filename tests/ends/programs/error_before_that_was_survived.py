# ends: exit_code
# says: exit code 4
print("retrying: CUDA error: out of memory")
for step in range(50):
    print(f"step {step} loss 0.5")
raise SystemExit(4)
