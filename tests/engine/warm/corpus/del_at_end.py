"""__del__ of globals at the very end, when builtins and modules are going: what is printed of its errors."""

import json


class Logs:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        with open("order.txt", "a") as order:
            order.write(json.dumps(self.name))


one, two = Logs("one"), Logs("two")
one.other = two
two.other = one
_private = Logs("private")
