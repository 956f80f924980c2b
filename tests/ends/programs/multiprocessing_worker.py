# ends: exception
# says: ZeroDivisionError: division by zero
import multiprocessing, sys
def work(n):
    return 1 / n
if __name__ == "__main__":
    p = multiprocessing.get_context("fork").Process(target=work, args=(0,))
    p.start()
    p.join()
    sys.exit(p.exitcode)
