import sys

import sibling

print(sys.path[0], sibling.__file__, __file__, sys.argv)
import own
