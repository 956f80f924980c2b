# ends: exit_code
# says: unrecognized arguments: --learning-rat
import argparse
argparse.ArgumentParser(prog="train.py").parse_args(["--learning-rat", "1"])
