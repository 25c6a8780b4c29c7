"""The criterion: the share of test points that the committee puts on the right side of the outline."""

from label import is_inside, points
from train import committee

members = committee()
test = points("test", 300)
right = sum((sum(member.vote(point) for member in members) > 0) == is_inside(point) for point in test)
print(right / len(test))
