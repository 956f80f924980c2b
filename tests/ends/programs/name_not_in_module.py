# ends: import_error
# says: cannot import name 'no_such_thing'
from os import no_such_thing
