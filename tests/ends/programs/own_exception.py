# ends: exception
# says: DataMissing: shard 7
class DataMissing(Exception): ...

def main():
    raise DataMissing("shard 7")

main()
