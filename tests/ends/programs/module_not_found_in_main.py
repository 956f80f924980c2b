# ends: import_error
# says: No module named 'deepest'
def main():
    import deepest

main()
