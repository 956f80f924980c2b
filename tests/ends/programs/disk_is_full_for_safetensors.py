# ends: disk_full
import sys
sys.stderr.write('''Traceback (most recent call last):
  File "train.py", line 90, in <module>
    save_file(tensors, "model.safetensors")
safetensors_rust.SafetensorError: Error while serializing: IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })
''')
sys.exit(1)
