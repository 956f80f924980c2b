# ends: syntax_error
# says: SyntaxError
def train(:
    pass
