# ends: syntax_error
# says: IndentationError
def train():
print("step")
