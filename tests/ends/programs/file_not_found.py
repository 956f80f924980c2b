# ends: exception
# says: FileNotFoundError
open('/nowhere/train.bin')
