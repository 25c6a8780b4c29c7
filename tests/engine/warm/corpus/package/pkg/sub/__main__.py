from .. import helper
from . import NAME

print(__package__, NAME, helper.who())
from ... import too_far
