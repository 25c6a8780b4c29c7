"""gc: nothing is frozen, and a full collection looks at what there is."""
# known: what was preloaded is frozen, so that a collection does not copy the pages that tasks share

import gc

print(gc.get_freeze_count())
