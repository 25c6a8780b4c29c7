"""gc: nothing is frozen, and a full collection looks at what there is."""

import gc

print(gc.get_freeze_count())
