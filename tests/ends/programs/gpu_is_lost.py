# ends: gpu_fault
import sys
sys.stderr.write('''Unable to determine the device handle for GPU0: 0000:3B:00.0: GPU is lost.  Reboot the system to recover this GPU
''')
sys.exit(255)
