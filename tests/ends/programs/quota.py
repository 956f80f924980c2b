# ends: quota
# says: Disk quota exceeded
import errno, os
raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/home/me/checkpoints/step-1")
