"""gc, weakref, tracemalloc, contextvars: as in a fresh process."""

import contextvars
import decimal
import gc
import tracemalloc
import weakref

print(gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.garbage, gc.callbacks)
print(tracemalloc.is_tracing(), len(contextvars.copy_context()), decimal.getcontext())


class Node:
    def __del__(self):
        print("collected", self.name)


node = Node()
node.name, node.me = "cycle", node
weakref.finalize(node, print, "finalized")
del node
print(gc.collect() > 0)
