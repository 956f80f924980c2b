# ends: exception
# says: KeyError: 'attention'
try:
    import flash_attention_9
except ImportError:
    {}["attention"]
