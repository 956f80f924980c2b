# ends: import_error
# says: No module named 'flash_attention_9'
import flash_attention_9
