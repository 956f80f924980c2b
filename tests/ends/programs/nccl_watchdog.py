# ends: lost_collective
# says: Watchdog caught collective operation timeout
import os, sys
sys.stderr.write("""[rank3]:[E1124 10:11:12.345678901 ProcessGroupNCCL.cpp:632] [Rank 3] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=4242, OpType=ALLREDUCE, NumelIn=1048576, NumelOut=1048576, Timeout(ms)=600000) ran for 600014 milliseconds before timing out.
[rank3]:[E1124 10:11:12.345879212 ProcessGroupNCCL.cpp:684] [Rank 3] Some NCCL operations have failed or timed out. Due to the asynchronous nature of CUDA kernels, subsequent GPU operations might run on corrupted/incomplete data.
""")
sys.stderr.flush()
os.abort()
